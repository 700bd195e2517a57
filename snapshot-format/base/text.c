/* SPDX-License-Identifier: Apache-2.0 */
/* What the strings of an image may hold. */
#include "snapshot-format/base/text.h"

#include <string.h>

#include "snapshot-format/image.h"

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool name_rest(char c)
{
	return name_start(c) || c == '.' || c == '_' || c == '-';
}

bool thaw_image_name_valid(const char *name)
{
	size_t length = 1;

	if (!name || !name_start(name[0]))
		return false;
	for (; name[length]; length++)
		if (length >= THAW_IMAGE_NAME_MAX || !name_rest(name[length]))
			return false;
	return true;
}

/* Length of the UTF-8 sequence at TEXT, 0 if it is malformed: cut short, overlong, a surrogate or
 * beyond U+10FFFF. */
static size_t utf8_sequence(const uint8_t *text, size_t left, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = text[0] < 0x80	 ? 1
			: text[0] < 0xc0 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf8 ? 4
					 : 0;

	if (length == 0 || length > left)
		return 0;
	*code = length == 1 ? text[0] : text[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (text[i] & 0x3fu);
	}
	if (*code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return length;
}

bool thaw_text_clean(const char *text, size_t length)
{
	const uint8_t *at = (const uint8_t *)text;

	while (length > 0) {
		uint32_t code;
		size_t used = utf8_sequence(at, length, &code);

		/* C1 controls drive terminals as well as C0 ones do: U+009B is ESC [. */
		if (used == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
		at += used;
		length -= used;
	}
	return true;
}
