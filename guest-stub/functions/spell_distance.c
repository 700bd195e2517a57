/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See spell_distance.h. The usual table of edit distances, computed row by row, with costs for the
 * mistakes that people make: they swap two letters, forget to double one, take one vowel for
 * another, hit the key beside. Only the cells that the allowed edits can reach are computed.
 */
#include "guest-stub/functions/spell_distance.h"

#include <stdbool.h>

#include <thaw/guest.h>

/* Unlikelihoods, found by trial; only their order matters. */
enum {
	SWAPPED = 4,
	DOUBLING = 5, /* a double letter written once, or the other way round */
	ACCENT = 2,   /* e for é */
	SILENT = 10,  /* a missing letter that is hardly heard */
	VOWEL = 12,   /* one vowel for another */
	ALIKE = 14,   /* letters that sound alike */
	MISSING = 16,
	BESIDE = 17, /* the key next to it */
	EXTRA = 18,
	WRONG = 24,
	AT_START = 12, /* the first letter is seldom wrong */
};

static bool is_in(const char *set, uint8_t letter)
{
	return letter < 0x80 && strchr(set, letter) != NULL;
}

/* The letter under the accent. */
static uint8_t plain(uint8_t letter)
{
	/* From U+00DF on; a question mark where there is no plain letter. */
	static const char under[] = "saaaaaaaceeeeiiiidnooooo?ouuuuyty";

	return letter < 0xdf ? letter : (uint8_t)under[letter - 0xdf];
}

/* Whether A and B are in one of the groups, which spaces separate. */
static bool share_group(const char *groups, uint8_t a, uint8_t b)
{
	bool has_a = false, has_b = false;

	for (; *groups; groups++) {
		has_a = *groups != ' ' && (has_a || *groups == (char)a);
		has_b = *groups != ' ' && (has_b || *groups == (char)b);
		if (has_a && has_b)
			return true;
	}
	return false;
}

static bool beside_on_keyboard(uint8_t a, uint8_t b)
{
	static const char *const rows[] = {"qwertyuiop", "asdfghjkl", "zxcvbnm"};

	for (unsigned row = 0; row < 3; row++) {
		const char *at = strchr(rows[row], a);

		if (at && (at[1] == (char)b || (at > rows[row] && at[-1] == (char)b)))
			return true;
	}
	return false;
}

static uint32_t wrong(uint8_t written, uint8_t right, bool at_start)
{
	uint32_t start = at_start ? AT_START : 0;

	written = plain(written);
	right = plain(right);
	if (written == right)
		return ACCENT;
	if (is_in("aeiouy", written) && is_in("aeiouy", right))
		return VOWEL + start;
	if (share_group("csz ckq fv gj td pb mn sx", written, right))
		return ALIKE + start;
	return (beside_on_keyboard(written, right) ? BESIDE : WRONG) + start;
}

/* The unlikelihood that WORD[I] is missing. */
static uint32_t missing(const uint8_t *word, size_t length, size_t i)
{
	uint8_t letter = word[i];

	if ((i > 0 && word[i - 1] == letter) || (i + 1 < length && word[i + 1] == letter))
		return DOUBLING;
	if (i == 0)
		return MISSING + AT_START;
	if (letter == '\'')
		return ACCENT;
	if ((letter == 'h' && is_in("cgrtwps", word[i - 1])) ||
	    (letter == 'e' && i + 1 == length) || (letter == 'u' && is_in("gqo", word[i - 1])) ||
	    letter == '\'')
		return SILENT;
	return MISSING;
}

/* The unlikelihood that WRITTEN[I] is extra. */
static uint32_t extra(const uint8_t *written, size_t length, size_t i)
{
	if ((i > 0 && written[i - 1] == written[i]) ||
	    (i + 1 < length && written[i + 1] == written[i]))
		return DOUBLING;
	return i == 0 ? EXTRA + AT_START : EXTRA;
}

/* Two texts to compare, and the part in which they differ: equal letters at either end take part in
 * no edit. */
struct pair {
	const uint8_t *written, *word;
	size_t written_length, word_length; /* whole */
	size_t start;			    /* of the different part */
	size_t rows, columns;		    /* letters of it, in each */
};

static void strip_equal_ends(struct pair *pair)
{
	size_t written_end = pair->written_length, word_end = pair->word_length, start = 0;

	while (start < written_end && start < word_end && pair->written[start] == pair->word[start])
		start++;
	while (written_end > start && word_end > start &&
	       pair->written[written_end - 1] == pair->word[word_end - 1])
		written_end--, word_end--;
	pair->start = start;
	pair->rows = written_end - start;
	pair->columns = word_end - start;
}

/* A step is weighed only while the way can still be near enough: most cells are beyond that, and
 * weighing costs most of the time. LIMIT is the most that a way may cost. */
static uint32_t step_extra(const struct pair *pair, size_t i, uint32_t from, uint32_t limit)
{
	if (from + SPELL_EDIT > limit)
		return limit + 1;
	return from + SPELL_EDIT + extra(pair->written, pair->written_length, pair->start + i);
}

static uint32_t step_missing(const struct pair *pair, size_t j, uint32_t from, uint32_t limit)
{
	if (from + SPELL_EDIT > limit)
		return limit + 1;
	return from + SPELL_EDIT + missing(pair->word, pair->word_length, pair->start + j);
}

static uint32_t step_diagonal(const struct pair *pair, size_t i, size_t j, uint32_t from,
			      uint32_t limit)
{
	uint8_t a = pair->written[pair->start + i], b = pair->word[pair->start + j];

	if (a == b)
		return from;
	if (from + SPELL_EDIT > limit)
		return limit + 1;
	return from + SPELL_EDIT + wrong(a, b, pair->start + j == 0);
}

static bool is_swap(const struct pair *pair, size_t i, size_t j)
{
	const uint8_t *a = pair->written + pair->start + i, *b = pair->word + pair->start + j;

	return i > 0 && j > 0 && a[0] == b[-1] && a[-1] == b[0] && a[0] != b[0];
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The table over the different part, a band of 2 * EDITS + 1 cells wide. */
static uint32_t cheapest_way(const struct pair *pair, unsigned edits)
{
	/* rows[i % 3][j]: the cost from the first i written letters to the first j of the word. */
	uint32_t rows[3][SPELL_COMPARE_MAX + 2];
	const uint32_t most = edits * SPELL_EDIT + SPELL_EDIT - 1, far = most + 1;

	rows[0][0] = 0;
	for (size_t j = 1; j <= pair->columns && j <= edits + 1; j++)
		rows[0][j] = j > edits ? far : step_missing(pair, j - 1, rows[0][j - 1], most);
	for (size_t i = 1; i <= pair->rows; i++) {
		uint32_t *row = rows[i % 3], *above = rows[(i - 1) % 3],
			 *second = rows[(i + 1) % 3], best = far;
		size_t first = i > edits ? i - edits : 0;
		size_t last = i + edits < pair->columns ? i + edits : pair->columns;

		/* The neighbours of the band, which later cells read. */
		if (first > 0)
			row[first - 1] = far;
		row[last + 1] = far;
		for (size_t j = first; j <= last; j++) {
			uint32_t cost = step_extra(pair, i - 1, above[j], most);

			if (j > 0) {
				cost = lower(cost,
					     step_diagonal(pair, i - 1, j - 1, above[j - 1], most));
				cost = lower(cost, step_missing(pair, j - 1, row[j - 1], most));
				if (is_swap(pair, i - 1, j - 1))
					cost = lower(cost, second[j - 2] + SPELL_EDIT + SWAPPED);
			}
			row[j] = cost;
			best = lower(best, cost);
		}
		if (best > most)
			return SPELL_TOO_FAR;
	}
	return rows[pair->rows % 3][pair->columns] <= most ? rows[pair->rows % 3][pair->columns]
							   : SPELL_TOO_FAR;
}

uint32_t spell_distance(const uint8_t *written, size_t written_length, const uint8_t *word,
			size_t word_length, unsigned edits)
{
	struct pair pair = {written, word, written_length, word_length, 0, 0, 0};
	size_t difference = written_length > word_length ? written_length - word_length
							 : word_length - written_length;

	if (difference > edits || written_length > SPELL_COMPARE_MAX ||
	    word_length > SPELL_COMPARE_MAX)
		return SPELL_TOO_FAR;
	strip_equal_ends(&pair);
	return cheapest_way(&pair, edits);
}
