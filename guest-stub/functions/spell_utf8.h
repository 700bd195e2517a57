/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes UTF-8 one byte at a time, because pieces of a request may cut a character. */
#ifndef THAW_FUNCTIONS_SPELL_UTF8_H
#define THAW_FUNCTIONS_SPELL_UTF8_H

#include <stdint.h>

/* A decoder; it begins as all zero. */
struct spell_utf8 {
	uint32_t code;	  /* the bits so far */
	uint32_t least;	  /* the least code point that a sequence of this length may encode */
	unsigned missing; /* bytes still to come */
};

enum spell_utf8_result {
	SPELL_UTF8_MORE,
	SPELL_UTF8_CODE,    /* *CODE is a code point */
	SPELL_UTF8_INVALID, /* BYTE is part of none; the decoder begins anew */
	SPELL_UTF8_AGAIN,   /* a sequence ended early; add BYTE again, as a beginning */
};

static inline enum spell_utf8_result spell_utf8_add(struct spell_utf8 *utf8, uint8_t byte,
						    uint32_t *code)
{
	if (utf8->missing == 0) {
		if (byte < 0x80) {
			*code = byte;
			return SPELL_UTF8_CODE;
		}
		if (byte < 0xc2 || byte > 0xf4)
			return SPELL_UTF8_INVALID;
		utf8->missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
		utf8->least = byte < 0xe0 ? 0x80 : byte < 0xf0 ? 0x800 : 0x10000;
		utf8->code = byte & (0x3fu >> utf8->missing);
		return SPELL_UTF8_MORE;
	}
	if ((byte & 0xc0) != 0x80) {
		utf8->missing = 0;
		return SPELL_UTF8_AGAIN;
	}
	utf8->code = utf8->code << 6 | (byte & 0x3fu);
	if (--utf8->missing > 0)
		return SPELL_UTF8_MORE;
	if (utf8->code < utf8->least || utf8->code > 0x10ffff || (utf8->code >> 11) == 0x1b)
		return SPELL_UTF8_INVALID;
	*code = utf8->code;
	return SPELL_UTF8_CODE;
}

#endif
