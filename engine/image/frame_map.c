/* SPDX-License-Identifier: Apache-2.0 */
/* Searches in an image's tables; see frame_map.h. */
#include "engine/image/frame_map.h"
#include "snapshot-format/base/round.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE ((uint64_t)THAW_IMAGE_PAGE) /* masks of addresses are made of it */

int thaw_frame_map_make(struct thaw_frame_map *frames, const struct thaw_image_file *image,
			const struct thaw_memory_map *map, struct thaw_error *err)
{
	*frames = (struct thaw_frame_map){.frame_pages = thaw_image_frame_pages(image), .map = map};
	frames->extents = thaw_image_extents(image, &frames->extent_count);
	thaw_image_frames(image, &frames->frame_count);
	frames->states = calloc(frames->frame_count, sizeof(*frames->states));
	if (!frames->states)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	return 0;
}

void thaw_frame_map_free(struct thaw_frame_map *frames)
{
	free(frames->states);
}

/* The index of the first extent that ends behind ADDRESS. */
static size_t extent_at(const struct thaw_frame_map *frames, uint64_t address)
{
	size_t low = 0, high = frames->extent_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (frames->extents[middle].start + frames->extents[middle].length > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct thaw_piece *thaw_frame_piece(const struct thaw_frame_map *frames, uint64_t address)
{
	size_t low = 0, high = frames->map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct thaw_piece *piece = &frames->map->pieces[middle];

		if (address - piece->start < piece->length)
			return piece->backed ? piece : NULL;
		if (address < piece->start)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static size_t frame_of(const struct thaw_frame_map *frames, const struct thaw_extent *extent,
		       uint64_t address)
{
	return (extent->store_page + (address - extent->start) / PAGE) / frames->frame_pages;
}

/* Finds where the frame that holds ADDRESS begins and ends within EXTENT. */
static void frame_bounds(const struct thaw_frame_map *frames, const struct thaw_extent *extent,
			 uint64_t address, uint64_t *start, uint64_t *end)
{
	uint64_t page = extent->store_page + (address - extent->start) / PAGE;
	uint64_t before = page % frames->frame_pages * PAGE;
	uint64_t behind = (frames->frame_pages - page % frames->frame_pages) * PAGE;

	*start = address - extent->start < before ? extent->start : address - before;
	*end = extent->start + extent->length - address < behind ? extent->start + extent->length
								 : address + behind;
}

int thaw_frame_each(const struct thaw_frame_map *frames, uint64_t start, uint64_t end,
		    int (*visit)(void *context, size_t frame, struct thaw_error *err),
		    void *context, struct thaw_error *err)
{
	size_t i = extent_at(frames, start);
	int result = 0;

	for (; i < frames->extent_count && frames->extents[i].start < end && !result; i++) {
		const struct thaw_extent *extent = &frames->extents[i];
		uint64_t from = extent->start > start ? extent->start : start;
		uint64_t to = extent->start + extent->length;
		size_t last;

		to = to < end ? to : end;
		last = frame_of(frames, extent, to - 1);
		for (size_t frame = frame_of(frames, extent, from); frame <= last && !result;
		     frame++)
			result = visit(context, frame, err);
	}
	return result;
}

uint64_t thaw_frame_run_end(const struct thaw_frame_map *frames, uint64_t address, uint64_t limit)
{
	size_t i = extent_at(frames, address);

	while (address < limit) {
		uint64_t start, end;

		if (i == frames->extent_count || frames->extents[i].start >= limit)
			return limit;
		if (address < frames->extents[i].start)
			address = frames->extents[i].start;
		if (!thaw_frame_is_there(frames, frame_of(frames, &frames->extents[i], address)))
			return address;
		frame_bounds(frames, &frames->extents[i], address, &start, &end);
		address = end;
		if (end == frames->extents[i].start + frames->extents[i].length)
			i++;
	}
	return limit;
}

uint64_t thaw_frame_run_start(const struct thaw_frame_map *frames, uint64_t address, uint64_t limit)
{
	while (address > limit) {
		/* The extent of the byte before ADDRESS, or the last one that ends before it. */
		size_t i = extent_at(frames, address - 1);
		uint64_t start, end;

		if (i == frames->extent_count || frames->extents[i].start >= address) {
			if (i == 0)
				return limit;
			end = frames->extents[i - 1].start + frames->extents[i - 1].length;
			if (end <= limit)
				return limit;
			address = end;
			continue;
		}
		if (!thaw_frame_is_there(frames,
					 frame_of(frames, &frames->extents[i], address - 1)))
			return address;
		frame_bounds(frames, &frames->extents[i], thaw_round_down(address - 1, PAGE),
			     &start, &end);
		address = start;
	}
	return limit;
}
