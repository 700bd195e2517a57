/* SPDX-License-Identifier: Apache-2.0 */
/* A decoder of UTF-8 that accepts only the one form of each character; see text.h. */
#include "snapshot-format/base/text.h"

#include <stdint.h>

/* The length of the UTF-8 sequence at TEXT; 0 if it is malformed: cut short, overlong, a surrogate
 * or beyond U+10FFFF. */
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

		/* C1 controls drive terminals as C0 controls do: U+009B is ESC [. */
		if (used == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
		at += used;
		length -= used;
	}
	return true;
}
