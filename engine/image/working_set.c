/* SPDX-License-Identifier: Apache-2.0 */
/* From notes of pages to pieces; see working_set.h. */
#include "engine/image/working_set.h"

#include <stdlib.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"

int thaw_recording_add(struct thaw_recording *recording, uint64_t page)
{
	if (recording->count == recording->room) {
		size_t room = recording->room ? 2 * recording->room : 1024;
		uint64_t *pages = reallocarray(recording->pages, room, sizeof(*pages));

		if (!pages)
			return -1;
		recording->pages = pages;
		recording->room = room;
	}
	recording->pages[recording->count++] = page;
	return 0;
}

static int by_page(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Whether PAGE is in one of the ranges, which permits such a touch. *RANGE advances from call to
 * call. */
static bool allowed(uint64_t page, const struct thaw_range *ranges, size_t count, size_t *range)
{
	uint64_t address = page & ~UINT64_C(1);

	while (*range < count && ranges[*range].start + ranges[*range].length <= address)
		++*range;
	return *range < count && ranges[*range].start <= address && address % THAW_PAGE_SIZE == 0 &&
	       (!(page & 1) || ranges[*range].prot & THAW_PROT_WRITE);
}

/* A page that was read and then written is there twice; after sorting, the written one is last. */
static void drop_doubles(struct thaw_recording *recording)
{
	size_t left = 0;

	for (size_t i = 0; i < recording->count; i++) {
		if (left && recording->pages[left - 1] >> 1 == recording->pages[i] >> 1)
			left--;
		recording->pages[left++] = recording->pages[i];
	}
	recording->count = left;
}

struct pieces {
	struct thaw_working_set_piece *at;
	size_t count, range; /* range: the index of the last piece's */
	uint32_t pages, written;
};

/* Returns false when there is no room for PAGE. */
static bool append(struct pieces *pieces, uint64_t page, size_t range)
{
	uint64_t start = page & ~UINT64_C(1);
	struct thaw_working_set_piece *last = pieces->count ? &pieces->at[pieces->count - 1] : NULL;

	if (pieces->pages == THAW_IMAGE_WORKING_SET_PAGES_MAX ||
	    (page & 1 && pieces->written == THAW_IMAGE_WORKING_SET_WRITTEN_MAX))
		return false;
	if (last && last->start + last->pages * THAW_PAGE_SIZE == start &&
	    last->written == (page & 1) && pieces->range == range) {
		last->pages++;
	} else if (pieces->count == THAW_IMAGE_WORKING_SET_PIECES_MAX) {
		return false;
	} else {
		pieces->at[pieces->count++] = (struct thaw_working_set_piece){start, 1, page & 1};
		pieces->range = range;
	}
	pieces->pages++;
	pieces->written += page & 1;
	return true;
}

/* Takes all pages, or the written ones alone. Returns whether all of them found room. */
static bool fill(struct pieces *pieces, const struct thaw_recording *recording,
		 const struct thaw_range *ranges, size_t range_count, bool written_only)
{
	size_t range = 0;
	bool all = true;

	for (size_t i = 0; i < recording->count; i++)
		if (allowed(recording->pages[i], ranges, range_count, &range) &&
		    (recording->pages[i] & 1 || !written_only))
			all &= append(pieces, recording->pages[i], range);
	return all;
}

int thaw_recording_finish(struct thaw_recording *recording, const struct thaw_range *ranges,
			  size_t range_count, struct thaw_working_set_piece **out, size_t *count)
{
	struct pieces pieces = {.at = calloc(THAW_IMAGE_WORKING_SET_PIECES_MAX,
					     sizeof(struct thaw_working_set_piece))};

	if (!pieces.at)
		return -1;
	if (recording->count)
		qsort(recording->pages, recording->count, sizeof(*recording->pages), by_page);
	drop_doubles(recording);
	if (!fill(&pieces, recording, ranges, range_count, false)) {
		/* Pages that are only read are worth less: they are shared with the image, and a
		 * fault on one maps its neighbours too. */
		pieces.count = 0;
		pieces.pages = pieces.written = 0;
		fill(&pieces, recording, ranges, range_count, true);
	}
	*out = pieces.at;
	*count = pieces.count;
	return 0;
}
