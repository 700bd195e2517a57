/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dictionary of `spell`: every word of the list once, in lower case, as Latin-1 letters,
 * sorted.
 *
 * A word is a record of fixed size, so that a number names it, and neighbours in the alphabet are
 * neighbours in memory. A look-up touches the small sample and one page. The dictionary is constant
 * once built.
 */
#ifndef THAW_FUNCTIONS_SPELL_DICTIONARY_H
#define THAW_FUNCTIONS_SPELL_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPELL_LETTERS_MAX 24u
#define SPELL_NOT_FOUND	  UINT32_MAX

struct spell_word {
	uint8_t letters[SPELL_LETTERS_MAX]; /* zero-padded: records sort as bytes */
	uint8_t length;
	uint8_t family; /* other words that begin with it, up to 255; many: a common word */
	uint16_t reserved;
	uint32_t capitals; /* bit i: letter i is written in upper case */
};

struct spell_dictionary {
	struct spell_word *words; /* page-aligned */
	uint32_t count;
	uint32_t listed;  /* words of the list, with possessives and spellings in capitals */
	uint64_t *sample; /* the first eight letters of each page's first word */
	void *allocation;
};

/* Builds the dictionary from a list in UTF-8 with a word on each line. Leaves out lines that are
 * not words of Latin-1 letters and apostrophes, and possessives of words that it has. Returns 0, or
 * -1 when memory ran out. */
int spell_dictionary_build(struct spell_dictionary *dictionary, const char *list, size_t length);
void spell_dictionary_free(struct spell_dictionary *dictionary);

/* The number of the word with exactly these lower-case letters, or SPELL_NOT_FOUND. */
uint32_t spell_dictionary_find(const struct spell_dictionary *dictionary, const uint8_t *letters,
			       size_t length);

/* Whether the dictionary has the word, or the word before a possessive 's. */
bool spell_dictionary_knows(const struct spell_dictionary *dictionary, const uint8_t *letters,
			    size_t length);

/* Whether 's ends the letters and is not all of them. */
bool spell_is_possessive(const uint8_t *letters, size_t length);

/* ---- Letters ---- */

/* The letter in lower case as Latin-1, or 0 when CODE is no Latin-1 letter. */
uint8_t spell_letter(uint32_t code);

/* ---- Building ---- */

/* Sorts COUNT records of SIZE bytes in place by their bytes at the offsets ORDER[0..DEPTH), the
 * most significant first. */
void spell_sort(void *records, size_t count, size_t size, const uint8_t *order, unsigned depth);

/* Allocates memory that begins on a page. Free *ALLOCATION. */
void *spell_allocate_pages(size_t size, void **allocation);

#endif
