/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a word is from a written text: the number of edits, and how likely a writer is to make
 * these edits. An edit is a missing letter, an extra letter, a wrong letter or two neighbours
 * swapped; no letter is edited twice.
 */
#ifndef THAW_FUNCTIONS_SPELL_DISTANCE_H
#define THAW_FUNCTIONS_SPELL_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

#define SPELL_EDITS_MAX	  2u
#define SPELL_EDIT	  256u /* cost of an edit; its unlikelihood is added and far smaller */
#define SPELL_TOO_FAR	  UINT32_MAX
#define SPELL_COMPARE_MAX 32u

/* The cost of the cheapest way from WRITTEN to WORD, edits * SPELL_EDIT + unlikelihood, so that the
 * fewest edits win. Both are lower-case Latin-1. SPELL_TOO_FAR when it takes more than EDITS, or
 * when either has more than SPELL_COMPARE_MAX letters. */
uint32_t spell_distance(const uint8_t *written, size_t written_length, const uint8_t *word,
			size_t word_length, unsigned edits);

#endif
