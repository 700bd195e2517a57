/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames have what is at an address, and how far around it all is there. Addresses are a
 * guest's word: any number gives an answer, of the image's own tables. */
#include "engine/image/lazy_internal.h"

/* The first extent that ends behind ADDRESS. */
static size_t extent_at(const struct thaw_lazy_load *lazy, uint64_t address)
{
	size_t low = 0, high = lazy->extent_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (lazy->extents[middle].start + lazy->extents[middle].length > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct thaw_piece *lazy_piece_at(const struct thaw_lazy_load *lazy, uint64_t address)
{
	size_t low = 0, high = lazy->map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct thaw_piece *piece = &lazy->map->pieces[middle];

		if (address - piece->start < piece->length)
			return piece->backed ? piece : NULL;
		if (address < piece->start)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static size_t frame_of(const struct thaw_lazy_load *lazy, const struct thaw_extent *extent,
		       uint64_t address)
{
	return (extent->store_page + (address - extent->start) / PAGE) / lazy->frame_pages;
}

/* Where the frame that ADDRESS of EXTENT is in begins and ends in this extent. */
static void frame_bounds(const struct thaw_lazy_load *lazy, const struct thaw_extent *extent,
			 uint64_t address, uint64_t *start, uint64_t *end)
{
	uint64_t page = extent->store_page + (address - extent->start) / PAGE;
	uint64_t before = page % lazy->frame_pages * PAGE;
	uint64_t behind = (lazy->frame_pages - page % lazy->frame_pages) * PAGE;

	*start = address - extent->start < before ? extent->start : address - before;
	*end = extent->start + extent->length - address < behind ? extent->start + extent->length
								 : address + behind;
}

int lazy_each_frame(struct thaw_lazy_load *lazy, uint64_t start, uint64_t end,
		    int (*visit)(struct thaw_lazy_load *lazy, size_t frame, void *context,
				 struct thaw_error *err),
		    void *context, struct thaw_error *err)
{
	size_t i = extent_at(lazy, start);
	int result = 0;

	for (; i < lazy->extent_count && lazy->extents[i].start < end && !result; i++) {
		const struct thaw_extent *extent = &lazy->extents[i];
		uint64_t from = extent->start > start ? extent->start : start;
		uint64_t to = extent->start + extent->length;
		size_t last;

		to = to < end ? to : end;
		last = frame_of(lazy, extent, to - 1);
		for (size_t frame = frame_of(lazy, extent, from); frame <= last && !result; frame++)
			result = visit(lazy, frame, context, err);
	}
	return result;
}

uint64_t lazy_run_end(const struct thaw_lazy_load *lazy, uint64_t address, uint64_t limit)
{
	size_t i = extent_at(lazy, address);

	while (address < limit) {
		uint64_t start, end;

		if (i == lazy->extent_count || lazy->extents[i].start >= limit)
			return limit;
		if (address < lazy->extents[i].start)
			address = lazy->extents[i].start;
		if (!lazy_is_there(lazy, frame_of(lazy, &lazy->extents[i], address)))
			return address;
		frame_bounds(lazy, &lazy->extents[i], address, &start, &end);
		address = end;
		if (end == lazy->extents[i].start + lazy->extents[i].length)
			i++;
	}
	return limit;
}

uint64_t lazy_run_start(const struct thaw_lazy_load *lazy, uint64_t address, uint64_t limit)
{
	while (address > limit) {
		/* The extent of the page before, or the last one before it. */
		size_t i = extent_at(lazy, address - 1);
		uint64_t start, end;

		if (i == lazy->extent_count || lazy->extents[i].start >= address) {
			if (i == 0)
				return limit;
			end = lazy->extents[i - 1].start + lazy->extents[i - 1].length;
			if (end <= limit)
				return limit;
			address = end;
			continue;
		}
		if (!lazy_is_there(lazy, frame_of(lazy, &lazy->extents[i], address - 1)))
			return address;
		frame_bounds(lazy, &lazy->extents[i], (address - 1) & ~(PAGE - 1), &start, &end);
		address = start;
	}
	return limit;
}
