/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting millions of small records: by one byte at a time, the most significant first ("American
 * flag"), and by insertion where few are left. In place, because working memory of the build would
 * enlarge the image.
 */
#include <thaw/guest.h>

#include "guest-stub/functions/spell_dictionary.h"

#define FEW	   24u
#define RECORD_MAX 64u

struct sorting {
	size_t size;
	const uint8_t *order;
	unsigned depth;
};

static bool less(const struct sorting *s, const uint8_t *a, const uint8_t *b, unsigned from)
{
	for (unsigned i = from; i < s->depth; i++)
		if (a[s->order[i]] != b[s->order[i]])
			return a[s->order[i]] < b[s->order[i]];
	return false;
}

static void insertion_sort(const struct sorting *s, uint8_t *records, size_t count, unsigned from)
{
	uint8_t moving[RECORD_MAX];

	for (size_t i = 1; i < count; i++) {
		size_t to = i;

		while (to > 0 && less(s, records + i * s->size, records + (to - 1) * s->size, from))
			to--;
		if (to == i)
			continue;
		memcpy(moving, records + i * s->size, s->size);
		memmove(records + (to + 1) * s->size, records + to * s->size, (i - to) * s->size);
		memcpy(records + to * s->size, moving, s->size);
	}
}

static void swap(uint8_t *a, uint8_t *b, size_t size)
{
	uint8_t kept[RECORD_MAX];

	memcpy(kept, a, size);
	memcpy(a, b, size);
	memcpy(b, kept, size);
}

/* Moves each record into the stretch of its byte. ENDS receives the ends of the stretches. */
static void distribute(const struct sorting *s, uint8_t *records, size_t count, unsigned byte,
		       uint32_t ends[256])
{
	uint32_t next[256], total = 0;

	memset(ends, 0, 256 * sizeof(*ends));
	for (size_t i = 0; i < count; i++)
		ends[records[i * s->size + byte]]++;
	for (unsigned value = 0; value < 256; value++) {
		next[value] = total;
		total += ends[value];
		ends[value] = total;
	}
	for (unsigned value = 0; value < 256; value++) {
		while (next[value] < ends[value]) {
			uint8_t *record = records + next[value] * s->size;

			if (record[byte] == value)
				next[value]++;
			else
				swap(record, records + next[record[byte]]++ * s->size, s->size);
		}
	}
}

static void radix_sort(const struct sorting *s, uint8_t *records, size_t count, unsigned from)
{
	uint32_t ends[256], start = 0;

	if (count <= FEW || from == s->depth) {
		insertion_sort(s, records, count, from);
		return;
	}
	distribute(s, records, count, s->order[from], ends);
	for (unsigned value = 0; value < 256; value++) {
		if (ends[value] - start > 1)
			radix_sort(s, records + start * s->size, ends[value] - start, from + 1);
		start = ends[value];
	}
}

void spell_sort(void *records, size_t count, size_t size, const uint8_t *order, unsigned depth)
{
	const struct sorting sorting = {size, order, depth};

	thaw_must(size <= RECORD_MAX && count <= UINT32_MAX);
	radix_sort(&sorting, records, count, 0);
}
