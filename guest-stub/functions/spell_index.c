/* SPDX-License-Identifier: Apache-2.0 */
/* See spell_index.h. */
#include "guest-stub/functions/spell_index.h"

#include <thaw/guest.h>

#include "guest-stub/functions/spell_distance.h"

#define PAGE		 4096u
#define ENTRIES_PER_PAGE (PAGE / (unsigned)sizeof(struct spell_entry))
/* The keys of seven letters with none, one or two deleted. */
#define KEYS_MAX  (1u + SPELL_PREFIX + SPELL_PREFIX * (SPELL_PREFIX - 1) / 2)
#define GROUP_MAX 255u
#define VISITED	  256u

_Static_assert(sizeof(struct spell_entry) == 16, "a page holds a whole number of entries");
_Static_assert(8 + SPELL_LETTERS_MAX <= 32, "a bit for each length");

/* ---- Keys ---- */

static uint64_t key_of(const uint8_t *letters, size_t length, unsigned deleted)
{
	uint64_t key = deleted;

	for (size_t i = 0; i < length; i++)
		key |= (uint64_t)letters[i] << (56 - 8 * i);
	return key;
}

static uint64_t without(uint64_t key, unsigned position)
{
	uint64_t before = position > 0 ? key & ~0ull << (64 - 8 * position) : 0;
	uint64_t behind = key & ~0xffull & ~0ull >> 8 * (position + 1);

	return before | behind << 8 | ((key & 0xff) + 1);
}

static bool has_key(const uint64_t *keys, unsigned count, uint64_t key)
{
	for (unsigned i = 0; i < count; i++)
		if (keys[i] >> 8 == key >> 8)
			return true;
	return false;
}

/* Makes the keys: all texts that are left of the first letters when up to EDITS are deleted, each
 * once, with the fewest deletions that lead to it. At least one letter is left. Returns the number
 * of keys. */
static unsigned make_keys(const uint8_t *letters, size_t length, unsigned edits,
			  uint64_t keys[KEYS_MAX])
{
	unsigned count = 1, begin = 0;

	if (length > SPELL_PREFIX)
		length = SPELL_PREFIX;
	keys[0] = key_of(letters, length, 0);
	for (unsigned deleted = 1; deleted <= edits && deleted <= length; deleted++) {
		unsigned end = count;

		for (; begin < end; begin++) {
			for (unsigned at = 0; at <= length - deleted; at++) {
				uint64_t key = without(keys[begin], at);

				if (!has_key(keys, count, key))
					keys[count++] = key;
			}
		}
	}
	return count;
}

/* ---- Building ---- */

/* Counts the words from FIRST on that share their first letters, and fills in the group. */
static uint32_t measure_group(const struct spell_dictionary *dictionary, uint32_t first,
			      uint32_t *group)
{
	const struct spell_word *word = &dictionary->words[first];
	uint32_t count = 0, lengths = 0;

	/* A word shorter than the prefix has a group of its own, because its zero-padding takes
	 * part in the comparison. */
	while (first + count < dictionary->count && count < GROUP_MAX &&
	       memcmp(word[count].letters, word->letters, SPELL_PREFIX) == 0)
		lengths |= 1u << (word[count++].length - 1);
	*group = count | lengths << 8;
	return count;
}

/* Makes all entries, or only counts them when ENTRIES is NULL. */
static size_t make_entries(const struct spell_dictionary *dictionary, struct spell_entry *entries)
{
	size_t made = 0;
	uint32_t first = 0;

	while (first < dictionary->count) {
		const struct spell_word *word = &dictionary->words[first];
		uint32_t group, words = measure_group(dictionary, first, &group);
		uint64_t keys[KEYS_MAX];
		unsigned count = make_keys(word->letters, word->length, SPELL_EDITS_MAX, keys);

		for (unsigned i = 0; entries && i < count; i++)
			entries[made + i] = (struct spell_entry){keys[i], first, group};
		made += count;
		first += words;
	}
	return made;
}

static void sort_entries(struct spell_entry *entries, size_t count)
{
	uint8_t order[12];

	/* The numbers are little-endian: first the key's bytes from the top down, then the
	 * word's. */
	for (uint8_t i = 0; i < 8; i++)
		order[i] = (uint8_t)(offsetof(struct spell_entry, key) + 7 - i);
	for (uint8_t i = 0; i < 4; i++)
		order[8 + i] = (uint8_t)(offsetof(struct spell_entry, first) + 3 - i);
	spell_sort(entries, count, sizeof(*entries), order, sizeof(order));
}

int spell_index_build(struct spell_index *index, const struct spell_dictionary *dictionary)
{
	size_t count = make_entries(dictionary, NULL);
	uint32_t pages = (uint32_t)((count + ENTRIES_PER_PAGE - 1) / ENTRIES_PER_PAGE);

	*index = (struct spell_index){.dictionary = dictionary, .count = (uint32_t)count};
	index->sample = malloc(pages * sizeof(*index->sample) + 1);
	index->entries = spell_allocate_pages(count * sizeof(*index->entries), &index->allocation);
	if (!index->sample || !index->entries) {
		spell_index_free(index);
		return -1;
	}
	make_entries(dictionary, index->entries);
	sort_entries(index->entries, count);
	for (uint32_t page = 0; page < pages; page++)
		index->sample[page] = index->entries[page * ENTRIES_PER_PAGE].key;
	return 0;
}

void spell_index_free(struct spell_index *index)
{
	free(index->sample);
	free(index->allocation);
	*index = (struct spell_index){0};
}

/* ---- Asking ---- */

struct question {
	const struct spell_index *index;
	const uint8_t *letters;
	size_t length;
	unsigned edits;
	struct spell_suggestion *best;
	size_t count, max;
	/* Groups that were compared at this number of edits. Of two that share a place, one may be
	 * compared again. */
	uint32_t visited[VISITED];
};

static bool has_vowel(const struct spell_word *word)
{
	for (unsigned i = 0; i < word->length; i++)
		if (word->letters[i] >= 0x80 || strchr("aeiouy", word->letters[i]))
			return true;
	return false;
}

/* Writers mean names, abbreviations and words of one letter less often, and words that others
 * derive from more often. */
static uint32_t unlikelihood(const struct spell_word *word)
{
	uint32_t cost = 0;

	for (unsigned family = word->family; family < 15; family = 2 * family + 1)
		cost++;
	if (word->capitals)
		cost += word->capitals == 1 ? 10 : 24;
	if (word->length == 1 || !has_vowel(word))
		cost += 24;
	return cost;
}

static void consider(struct question *q, uint32_t number)
{
	const struct spell_word *word = &q->index->dictionary->words[number];
	uint32_t cost =
		spell_distance(q->letters, q->length, word->letters, word->length, q->edits);
	size_t at = q->count;

	if (cost == SPELL_TOO_FAR)
		return;
	cost += unlikelihood(word);
	for (size_t i = 0; i < q->count; i++)
		if (q->best[i].word == number)
			return;
	while (at > 0 && q->best[at - 1].cost > cost)
		at--;
	if (at == q->max)
		return;
	if (q->count < q->max)
		q->count++;
	memmove(q->best + at + 1, q->best + at, (q->count - 1 - at) * sizeof(*q->best));
	q->best[at] = (struct spell_suggestion){number, cost};
}

/* The lengths that a word may have, as the bits of an entry's group. */
static uint32_t possible_lengths(const struct question *q)
{
	size_t least = q->length > q->edits ? q->length - q->edits : 1;
	uint32_t mask = 0;

	for (size_t length = least; length <= q->length + q->edits && length <= SPELL_LETTERS_MAX;
	     length++)
		mask |= 1u << (7 + length);
	return mask;
}

static uint32_t first_entry(const struct spell_index *index, uint64_t key)
{
	uint32_t low = 0, high = (index->count + ENTRIES_PER_PAGE - 1) / ENTRIES_PER_PAGE;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (index->sample[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	high = low * ENTRIES_PER_PAGE;
	low = low > 0 ? high - ENTRIES_PER_PAGE : 0;
	if (high > index->count)
		high = index->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (index->entries[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void look_up(struct question *q, uint64_t key, uint32_t lengths)
{
	const struct spell_index *index = q->index;

	key &= ~0xffull;
	for (uint32_t i = first_entry(index, key); i < index->count; i++) {
		const struct spell_entry *entry = &index->entries[i];
		uint32_t *visited = &q->visited[entry->first % VISITED];

		if ((entry->key & ~0xffull) != key || (entry->key & 0xff) > q->edits)
			break;
		if (!(entry->group & lengths) || *visited == entry->first)
			continue;
		*visited = entry->first;
		for (uint32_t word = 0; word < (entry->group & 0xff); word++)
			consider(q, entry->first + word);
	}
}

static void ask(struct question *q, unsigned edits)
{
	uint64_t keys[KEYS_MAX];
	unsigned count = make_keys(q->letters, q->length, edits, keys);
	uint32_t lengths;

	q->edits = edits;
	memset(q->visited, 0xff, sizeof(q->visited));
	lengths = possible_lengths(q);
	for (unsigned i = 0; i < count; i++)
		look_up(q, keys[i], lengths);
}

size_t spell_index_suggest(const struct spell_index *index, const uint8_t *letters, size_t length,
			   struct spell_suggestion *suggestions, size_t max)
{
	struct question q = {.index = index,
			     .letters = letters,
			     .length = length,
			     .best = suggestions,
			     .max = max};

	if (length == 0 || length > SPELL_COMPARE_MAX || max == 0)
		return 0;
	ask(&q, 1);
	if (length > 3 && q.count < SPELL_SUGGESTIONS_ENOUGH && q.count < max)
		ask(&q, SPELL_EDITS_MAX);
	return q.count;
}
