/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the words in running UTF-8 text, which may come in pieces cut anywhere.
 *
 * A word is letters, with apostrophes between them. A token that has a digit, an underscore, a
 * letter beyond Latin-1 or more than SPELL_TOKEN_MAX letters cannot be judged, and is skipped
 * whole.
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
	char text[3 * SPELL_TOKEN_MAX]; /* as written, UTF-8, not terminated */
	size_t text_length;
};

struct spell_text {
	void (*word)(void *context, const struct spell_token *token);
	void *context;
	struct spell_utf8 utf8;
	struct spell_token token;
	uint32_t apostrophe; /* after a letter; it counts when another letter follows */
	bool unjudged;	     /* the current token is none for a dictionary */
	bool invalid;	     /* some bytes were not UTF-8; they separate words */
};

/* Before the first call, TEXT is all zero except for `word` and `context`. */
void spell_text_add(struct spell_text *text, const void *bytes, size_t length);
void spell_text_end(struct spell_text *text);

#endif
