/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words out of running text in UTF-8, which may come in pieces cut anywhere.
 *
 * A word is letters, with apostrophes between them. Whatever holds a digit, an underscore, a letter
 * beyond Latin-1 or more than SPELL_TOKEN_MAX letters is nothing that can be judged, and is passed
 * over whole.
 */
#ifndef THAW_FUNCTIONS_SPELL_TEXT_H
#define THAW_FUNCTIONS_SPELL_TEXT_H

#include <stdbool.h>

#include "guest-stub/functions/spell_utf8.h"

#include <stddef.h>

#define SPELL_TOKEN_MAX 32u

struct spell_token {
	uint8_t letters[SPELL_TOKEN_MAX]; /* lower case, Latin-1 */
	size_t length;
	char text[3 * SPELL_TOKEN_MAX]; /* as it was written, UTF-8, not terminated */
	size_t text_length;
};

struct spell_text {
	void (*word)(void *context, const struct spell_token *token);
	void *context;
	struct spell_utf8 utf8;
	struct spell_token token;
	uint32_t apostrophe; /* one that stands behind a letter; it counts when another letter
				follows */
	bool unjudged;	     /* the token at hand is none for a dictionary */
	bool invalid;	     /* something was not UTF-8; it separates words */
};

/* TEXT is all zero but for word and context. */
void spell_text_add(struct spell_text *text, const void *bytes, size_t length);
void spell_text_end(struct spell_text *text);

#endif
