/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of guest memory, by where its file has data; see memory_map.h. */
#include "engine/image/memory_map.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/round.h"

#define PAGE	      THAW_PAGE_SIZE
#define SHORT_GAP_MIN (16 * PAGE)
#define SHORT_GAP_MAX (UINT64_C(1) << 32)
#define PIECES_STEP   64u

/* As next_data(), by the extents; extents that touch are one piece of data. */
static int next_extents(const struct thaw_guest_memory *memory, uint64_t from, uint64_t end,
			uint64_t *data, uint64_t *data_end)
{
	const struct thaw_extent *extents = memory->extents;
	size_t low = 0, high = memory->extent_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (extents[middle].start + extents[middle].length > from)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == memory->extent_count || extents[low].start >= end)
		return 0;
	*data = extents[low].start > from ? extents[low].start : from;
	*data_end = extents[low].start + extents[low].length;
	while (++low < memory->extent_count && extents[low].start == *data_end)
		*data_end += extents[low].length;
	if (*data_end > end)
		*data_end = end;
	return 1;
}

/* Finds the next data at or after FROM and before END, as whole pages. Returns 1, 0 when there is
 * none, or -1 with errno. */
static int next_data(const struct thaw_guest_memory *memory, uint64_t from, uint64_t end,
		     uint64_t *data, uint64_t *data_end)
{
	int fd = memory->fd;
	off_t start, stop;

	if (memory->extents)
		return next_extents(memory, from, end, data, data_end);
	start = lseek(fd, (off_t)from, SEEK_DATA);
	if (start < 0)
		return errno == ENXIO ? 0 : -1;
	if ((uint64_t)start >= end)
		return 0;
	stop = lseek(fd, start, SEEK_HOLE);
	if (stop < 0)
		return -1;
	*data = thaw_round_down((uint64_t)start, PAGE);
	*data_end = thaw_round_up((uint64_t)stop, PAGE);
	if (*data_end > end)
		*data_end = end;
	return 1;
}

/* Returns as cut_range() does. */
static int append(struct thaw_memory_map *map, uint64_t start, uint64_t end, uint32_t prot,
		  bool backed)
{
	if (start == end)
		return 0;
	if (map->count == THAW_PIECES_MAX)
		return 1;
	/* Grows in small steps: most images have few pieces, and each page of fresh memory is a
	 * fault. */
	if (map->count % PIECES_STEP == 0) {
		struct thaw_piece *pieces =
			realloc(map->pieces, (map->count + PIECES_STEP) * sizeof(*pieces));

		if (!pieces)
			return -1;
		map->pieces = pieces;
	}
	map->pieces[map->count++] = (struct thaw_piece){start, end - start, prot, backed};
	return 0;
}

static int write_zeroes(int fd, uint64_t start, uint64_t end)
{
	static const char zeroes[65536];

	/* Written and not just allocated, because a page that was never written still counts as a
	 * hole. */
	while (start < end) {
		size_t piece = end - start < sizeof(zeroes) ? end - start : sizeof(zeroes);
		ssize_t done = pwrite(fd, zeroes, piece, (off_t)start);

		if (done <= 0)
			return -1;
		start += (uint64_t)done;
	}
	return 0;
}

struct cut {
	const struct thaw_guest_memory *memory;
	uint64_t short_gap; /* gaps up to this length count as data */
	bool fill;
};

/* Returns 0, 1 when there are too many pieces, -1 with errno. */
static int cut_range(const struct cut *cut, const struct thaw_range *range,
		     struct thaw_memory_map *map)
{
	uint64_t end = range->start + range->length, done = range->start, data, data_end;
	int found, result = 0;

	while ((found = next_data(cut->memory, done, end, &data, &data_end)) > 0) {
		struct thaw_piece *last = map->count ? &map->pieces[map->count - 1] : NULL;

		if (last && last->backed && last->start + last->length == done &&
		    done > range->start && data - done <= cut->short_gap) {
			if (cut->fill && write_zeroes(cut->memory->fd, done, data))
				return -1;
			last->length = data_end - last->start;
		} else {
			result = append(map, done, data, range->prot, false);
			if (!result)
				result = append(map, data, data_end, range->prot, true);
			if (result)
				return result;
		}
		done = data_end;
	}
	return found < 0 ? -1 : append(map, done, end, range->prot, false);
}

static int cut_all(const struct cut *cut, struct thaw_memory_map *map)
{
	int result = 0;

	map->count = 0;
	for (size_t i = 0; i < cut->memory->range_count && !result; i++)
		result = cut_range(cut, &cut->memory->ranges[i], map);
	return result;
}

int thaw_memory_map_make(const struct thaw_guest_memory *memory, bool fill,
			 struct thaw_memory_map *out, struct thaw_error *err)
{
	struct thaw_memory_map map = {0};
	/* Without FILL, the short gaps were filled earlier. The file then shows them as data;
	 * extents do not. */
	bool joins = fill || memory->extents;
	struct cut cut = {memory, joins ? SHORT_GAP_MIN : 0, fill};
	int result;

	while ((result = cut_all(&cut, &map)) > 0 && joins && cut.short_gap < SHORT_GAP_MAX)
		cut.short_gap *= 4;
	if (result) {
		free(map.pieces);
		return result < 0
			       ? thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
						 "cannot map the guest's memory file")
			       : thaw_fail(err, THAW_ERR_IMAGE,
					   "the guest's memory is in more than %u separate pieces",
					   THAW_PIECES_MAX);
	}
	*out = map;
	return 0;
}
