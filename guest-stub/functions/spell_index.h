/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of `spell`: which words are near a text that is none.
 *
 * Symmetric deletion: two texts that are up to two edits apart become equal when up to two letters
 * are deleted from each. So every word is entered under all that is left of its first seven letters
 * when up to two are deleted, and a text is looked up under all that is left of its own. No word
 * within the edits is ever missed; what else is found is told apart by its distance.
 *
 * Words that begin alike share entries: they are neighbours in the dictionary, so an entry names
 * the first and how many. The entries are one sorted array. A look-up touches one page of it for
 * each key (an entry to the page's start is in the sample), and the entry tells the lengths of its
 * words, so that the dictionary is read only where one can match. Sorted text with much repetition
 * is also what an image stores in a quarter of its size.
 */
#ifndef THAW_FUNCTIONS_SPELL_INDEX_H
#define THAW_FUNCTIONS_SPELL_INDEX_H

#include "guest-stub/functions/spell_dictionary.h"

#define SPELL_PREFIX 7u

struct spell_entry {
	uint64_t key; /* letters from the top byte down; in the lowest byte how many were deleted */
	uint32_t first; /* word */
	uint32_t group; /* words: count in the low byte; from bit 8 on, which lengths they have,
			   from 1 letter up */
};

struct spell_index {
	const struct spell_dictionary *dictionary;
	struct spell_entry *entries; /* page-aligned */
	uint32_t count;
	uint64_t *sample; /* the first key of each page */
	void *allocation;
};

/* Returns 0, or -1 when memory ran out. DICTIONARY must outlive it. */
int spell_index_build(struct spell_index *index, const struct spell_dictionary *dictionary);
void spell_index_free(struct spell_index *index);

struct spell_suggestion {
	uint32_t word;
	uint32_t cost; /* of spell_distance(), and something for unlikely words */
};

/* The words nearest to LETTERS, best first, at most MAX; returns how many. Up to three letters are
 * allowed one edit, more are allowed two, but a second edit is considered only where the first
 * finds fewer than ENOUGH. */
#define SPELL_SUGGESTIONS_ENOUGH 3u
size_t spell_index_suggest(const struct spell_index *index, const uint8_t *letters, size_t length,
			   struct spell_suggestion *suggestions, size_t max);

#endif
