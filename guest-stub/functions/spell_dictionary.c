/* SPDX-License-Identifier: Apache-2.0 */
/* See spell_dictionary.h. */
#include "guest-stub/functions/spell_dictionary.h"

#include <thaw/guest.h>

#include "guest-stub/functions/spell_utf8.h"

#define PAGE	       4096u
#define WORDS_PER_PAGE (PAGE / (unsigned)sizeof(struct spell_word))

_Static_assert(sizeof(struct spell_word) == 32, "a page holds a whole number of words");

uint8_t spell_letter(uint32_t code)
{
	if ((code >= 'a' && code <= 'z') || (code >= 0xdf && code <= 0xff && code != 0xf7))
		return (uint8_t)code;
	if ((code >= 'A' && code <= 'Z') || (code >= 0xc0 && code <= 0xde && code != 0xd7))
		return (uint8_t)(code + 0x20);
	return 0;
}

bool spell_is_possessive(const uint8_t *letters, size_t length)
{
	return length > 2 && letters[length - 2] == '\'' && letters[length - 1] == 's';
}

void *spell_allocate_pages(size_t size, void **allocation)
{
	*allocation = malloc(size + PAGE - 1);
	if (!*allocation)
		return NULL;
	return (void *)(((uintptr_t)*allocation + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
}

/* ---- Finding ---- */

/* The first eight letters as a number in the same order. */
static uint64_t head_of(const uint8_t *letters)
{
	uint64_t head = 0;

	for (unsigned i = 0; i < 8; i++)
		head = head << 8 | letters[i];
	return head;
}

/* The first page that begins with a word whose head is at least HEAD. */
static uint32_t page_from(const struct spell_dictionary *dictionary, uint64_t head)
{
	uint32_t low = 0, high = (dictionary->count + WORDS_PER_PAGE - 1) / WORDS_PER_PAGE;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (dictionary->sample[middle] < head)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t spell_dictionary_find(const struct spell_dictionary *dictionary, const uint8_t *letters,
			       size_t length)
{
	uint8_t wanted[SPELL_LETTERS_MAX] = {0};
	uint32_t low, high;
	uint64_t head;

	if (length == 0 || length > SPELL_LETTERS_MAX)
		return SPELL_NOT_FOUND;
	memcpy(wanted, letters, length);
	/* Find the pages that have words with this head. Such words may begin on the page before
	 * the first page that starts with the head. The sample alone tells this, without touching a
	 * page that is not needed. */
	head = head_of(wanted);
	low = page_from(dictionary, head);
	low = (low > 0 ? low - 1 : 0) * WORDS_PER_PAGE;
	high = page_from(dictionary, head + 1) * WORDS_PER_PAGE;
	if (high > dictionary->count)
		high = dictionary->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = memcmp(dictionary->words[middle].letters, wanted, SPELL_LETTERS_MAX);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return SPELL_NOT_FOUND;
}

bool spell_dictionary_knows(const struct spell_dictionary *dictionary, const uint8_t *letters,
			    size_t length)
{
	if (spell_dictionary_find(dictionary, letters, length) != SPELL_NOT_FOUND)
		return true;
	return spell_is_possessive(letters, length) &&
	       spell_dictionary_find(dictionary, letters, length - 2) != SPELL_NOT_FOUND;
}

/* ---- Building ---- */

/* Reads a line as a word. Returns false when it is none. */
static bool parse_word(struct spell_word *word, const char *line, size_t length)
{
	struct spell_utf8 utf8 = {0};

	*word = (struct spell_word){0};
	for (size_t i = 0; i < length; i++) {
		uint32_t code;
		uint8_t letter;

		switch (spell_utf8_add(&utf8, (uint8_t)line[i], &code)) {
		case SPELL_UTF8_MORE:
			continue;
		case SPELL_UTF8_CODE:
			break;
		default:
			return false;
		}
		letter = code == '\'' ? '\'' : spell_letter(code);
		if (letter == 0 || word->length == SPELL_LETTERS_MAX)
			return false;
		if (letter != code)
			word->capitals |= 1u << word->length;
		word->letters[word->length++] = letter;
	}
	return word->length > 0 && utf8.missing == 0;
}

/* Parses each line into WORDS, or only counts the words when WORDS is NULL. */
static size_t parse_list(struct spell_word *words, const char *list, size_t length)
{
	size_t count = 0, start = 0;

	for (size_t at = 0; at <= length; at++) {
		struct spell_word word;

		if (at < length && list[at] != '\n')
			continue;
		if (parse_word(&word, list + start, at - start)) {
			if (words)
				words[count] = word;
			count++;
		}
		start = at + 1;
	}
	return count;
}

static void sort_words(struct spell_word *words, size_t count)
{
	uint8_t order[SPELL_LETTERS_MAX + 4];

	for (uint8_t i = 0; i < SPELL_LETTERS_MAX; i++)
		order[i] = i;
	/* Among equal letters, the spelling with the fewest capitals, and those at the front, comes
	 * first. */
	for (uint8_t i = 0; i < 4; i++)
		order[SPELL_LETTERS_MAX + i] =
			(uint8_t)(offsetof(struct spell_word, capitals) + 3 - i);
	spell_sort(words, count, sizeof(*words), order, sizeof(order));
}

/* Drops spellings that differ only in capitals, and possessives, whose bases sort before them. */
static uint32_t drop_repeats(struct spell_word *words, size_t count)
{
	uint32_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		const struct spell_word *word = &words[i];
		uint8_t base[SPELL_LETTERS_MAX] = {0};
		uint32_t low = 0, high = kept;

		if (kept > 0 &&
		    memcmp(words[kept - 1].letters, word->letters, SPELL_LETTERS_MAX) == 0)
			continue;
		if (spell_is_possessive(word->letters, word->length)) {
			memcpy(base, word->letters, word->length - 2u);
			while (low < high) {
				uint32_t middle = low + (high - low) / 2;

				if (memcmp(words[middle].letters, base, SPELL_LETTERS_MAX) < 0)
					low = middle + 1;
				else
					high = middle;
			}
			if (low < kept && memcmp(words[low].letters, base, SPELL_LETTERS_MAX) == 0)
				continue;
		}
		words[kept++] = *word;
	}
	return kept;
}

static void count_families(struct spell_word *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t end = i + 1;

		while (end < count && end - i <= 255 &&
		       memcmp(words[end].letters, words[i].letters, words[i].length) == 0)
			end++;
		words[i].family = (uint8_t)(end - i - 1);
	}
}

int spell_dictionary_build(struct spell_dictionary *dictionary, const char *list, size_t length)
{
	size_t count = parse_list(NULL, list, length);
	uint32_t pages;

	*dictionary = (struct spell_dictionary){0};
	dictionary->words =
		spell_allocate_pages(count * sizeof(*dictionary->words), &dictionary->allocation);
	if (!dictionary->words)
		return -1;
	parse_list(dictionary->words, list, length);
	sort_words(dictionary->words, count);
	dictionary->count = drop_repeats(dictionary->words, count);
	dictionary->listed = (uint32_t)count;
	count_families(dictionary->words, dictionary->count);
	/* Clear the dropped words at the end, which would only enlarge the image. */
	memset(dictionary->words + dictionary->count, 0,
	       (count - dictionary->count) * sizeof(*dictionary->words));

	pages = (dictionary->count + WORDS_PER_PAGE - 1) / WORDS_PER_PAGE;
	dictionary->sample = malloc(pages * sizeof(*dictionary->sample) + 1);
	if (!dictionary->sample) {
		spell_dictionary_free(dictionary);
		return -1;
	}
	for (uint32_t page = 0; page < pages; page++)
		dictionary->sample[page] =
			head_of(dictionary->words[page * WORDS_PER_PAGE].letters);
	return 0;
}

void spell_dictionary_free(struct spell_dictionary *dictionary)
{
	free(dictionary->sample);
	free(dictionary->allocation);
	*dictionary = (struct spell_dictionary){0};
}
