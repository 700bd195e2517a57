/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a word is from what was written: the number of edits (a letter missing, one too many, a
 * wrong one, two neighbours swapped; no letter is edited twice), and how likely a writer is to make
 * just these.
 */
#ifndef THAW_FUNCTIONS_SPELL_DISTANCE_H
#define THAW_FUNCTIONS_SPELL_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

/* Longer texts than a word by the most edits are never compared. */
#define SPELL_EDITS_MAX	  2u
#define SPELL_EDIT	  256u /* cost of an edit; its unlikelihood is added and stays far below */
#define SPELL_TOO_FAR	  UINT32_MAX
#define SPELL_COMPARE_MAX 32u

/* The cheapest way from WRITTEN to WORD, both lower-case Latin-1 of at most SPELL_COMPARE_MAX
 * letters: edits * SPELL_EDIT + unlikelihood, fewest edits first. SPELL_TOO_FAR for more than
 * EDITS. */
uint32_t spell_distance(const uint8_t *written, size_t written_length, const uint8_t *word,
			size_t word_length, unsigned edits);

#endif
