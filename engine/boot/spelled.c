/* SPDX-License-Identifier: Apache-2.0 */
/* Text for the record, with C's escapes; see spelled.h. */
#include "engine/boot/spelled.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot-format/base/text.h"

#define SPELLED_MAX 4u /* \x1b */

static bool is_plain(unsigned char byte, bool ascii_only)
{
	return byte >= ' ' && byte != 0x7f && byte != '\\' && !(ascii_only && byte >= 0x80);
}

static void spell(char *out, const char *text, bool ascii_only)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (is_plain(byte, ascii_only))
			*out++ = *text;
		else if (byte == '\n' || byte == '\t' || byte == '\\')
			out += sprintf(out, "\\%c", byte == '\n' ? 'n' : byte == '\t' ? 't' : '\\');
		else
			out += sprintf(out, "\\x%02x", byte);
	}
	*out = '\0';
}

char *thaw_spelled(const char *text)
{
	char *out;

	if (thaw_text_clean(text, strlen(text)))
		return strdup(text);
	out = malloc(strlen(text) * SPELLED_MAX + 1);
	if (!out)
		return NULL;
	spell(out, text, false);
	/* The rest of the trouble is above ASCII: bytes that are not UTF-8, or C1 controls. */
	if (!thaw_text_clean(out, strlen(out)))
		spell(out, text, true);
	return out;
}
