/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of `spell`: which words are near a text that is no word.
 *
 * Symmetric deletion: two texts that are up to two edits apart become equal when up to two letters
 * are deleted from each. So the keys of a word are all texts that are left of its first seven
 * letters when up to two are deleted, and a text is looked up by its own keys. The index never
 * misses a word within the edits; the distance weeds out the other words that it finds.
 *
 * Words that begin alike share entries: they are neighbours in the dictionary, so an entry names
 * the first one and their number. The entries are one sorted array, and the sample has the first
 * key of each page, so that a look-up touches one page for each key. An entry tells the lengths of
 * its words, so that the dictionary is read only where a word can match. An image stores such
 * sorted, repetitive data in a quarter of its size.
 */
#ifndef THAW_FUNCTIONS_SPELL_INDEX_H
#define THAW_FUNCTIONS_SPELL_INDEX_H

#include "guest-stub/functions/spell_dictionary.h"

#define SPELL_PREFIX 7u

struct spell_entry {
	uint64_t key; /* letters from the top byte down; the lowest byte: number of deleted ones */
	uint32_t first; /* number of the first word */
	uint32_t group; /* of the words: their count in the low byte; from bit 8 on, a bit for each
			   length that one has, from 1 letter up */
};

struct spell_index {
	const struct spell_dictionary *dictionary;
	struct spell_entry *entries; /* page-aligned */
	uint32_t count;
	uint64_t *sample; /* the first key of each page */
	void *allocation;
};

/* Returns 0, or -1 when memory ran out. DICTIONARY must outlive INDEX. */
int spell_index_build(struct spell_index *index, const struct spell_dictionary *dictionary);
void spell_index_free(struct spell_index *index);

struct spell_suggestion {
	uint32_t word;
	uint32_t cost; /* of spell_distance(), with a surcharge for unlikely words */
};

/* Finds the words nearest to LETTERS, best first, at most MAX; returns their number. A text of up
 * to three letters is allowed one edit, a longer one two. The second edit is tried only when the
 * first finds fewer than SPELL_SUGGESTIONS_ENOUGH. */
#define SPELL_SUGGESTIONS_ENOUGH 3u
size_t spell_index_suggest(const struct spell_index *index, const uint8_t *letters, size_t length,
			   struct spell_suggestion *suggestions, size_t max);

#endif
