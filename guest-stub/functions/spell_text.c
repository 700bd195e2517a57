/* SPDX-License-Identifier: Apache-2.0 */
/* See spell_text.h. */
#include "guest-stub/functions/spell_text.h"

#include <thaw/guest.h>

#include "guest-stub/functions/spell_dictionary.h"

enum kind { SEPARATOR, LETTER, APOSTROPHE, UNJUDGED };

static enum kind kind_of(uint32_t code)
{
	if (spell_letter(code))
		return LETTER;
	if (code == '\'' || code == 0x2019 || code == 0x2bc)
		return APOSTROPHE;
	if ((code >= '0' && code <= '9') || code == '_')
		return UNJUDGED;
	/* Scripts from Latin's extensions up to U+1FFF, and from U+2C00 on everything except CJK
	 * punctuation and pictures. */
	if ((code >= 0x100 && code < 0x2000) ||
	    (code >= 0x2c00 && code < 0x1f000 && (code < 0x3000 || code >= 0x3040) &&
	     code != 0xfeff))
		return UNJUDGED;
	return SEPARATOR;
}

static void append_text(struct spell_token *token, uint32_t code)
{
	char *at = token->text + token->text_length;

	if (code < 0x80) {
		at[0] = (char)code;
		token->text_length += 1;
	} else if (code < 0x800) {
		at[0] = (char)(0xc0 | code >> 6);
		at[1] = (char)(0x80 | (code & 0x3f));
		token->text_length += 2;
	} else {
		at[0] = (char)(0xe0 | code >> 12);
		at[1] = (char)(0x80 | (code >> 6 & 0x3f));
		at[2] = (char)(0x80 | (code & 0x3f));
		token->text_length += 3;
	}
}

static void append(struct spell_text *text, uint8_t letter, uint32_t code)
{
	if (text->token.length == SPELL_TOKEN_MAX) {
		text->unjudged = true;
		return;
	}
	text->token.letters[text->token.length++] = letter;
	append_text(&text->token, code);
}

static void end_token(struct spell_text *text)
{
	if (text->token.length > 0 && !text->unjudged)
		text->word(text->context, &text->token);
	text->token.length = 0;
	text->token.text_length = 0;
	text->apostrophe = 0;
	text->unjudged = false;
}

static void add_code(struct spell_text *text, uint32_t code)
{
	enum kind kind = kind_of(code);

	if (kind == SEPARATOR || (kind == APOSTROPHE && text->apostrophe)) {
		end_token(text);
	} else if (kind == APOSTROPHE) {
		if (text->token.length > 0)
			text->apostrophe = code;
	} else if (kind == UNJUDGED) {
		text->unjudged = true;
	} else {
		if (text->apostrophe)
			append(text, '\'', text->apostrophe);
		text->apostrophe = 0;
		append(text, spell_letter(code), code);
	}
}

void spell_text_add(struct spell_text *text, const void *bytes, size_t length)
{
	const uint8_t *at = bytes, *end = at + length;

	while (at < end) {
		uint32_t code;
		enum spell_utf8_result result = spell_utf8_add(&text->utf8, *at, &code);

		if (result == SPELL_UTF8_CODE) {
			add_code(text, code);
		} else if (result != SPELL_UTF8_MORE) {
			text->invalid = true;
			end_token(text);
		}
		if (result != SPELL_UTF8_AGAIN)
			at++;
	}
}

void spell_text_end(struct spell_text *text)
{
	text->invalid |= text->utf8.missing > 0;
	end_token(text);
}
