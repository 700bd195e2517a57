/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's memory and its file, and which of it has data, in as few pieces as possible. Internal
 * to the engine. */
#ifndef THAW_MEMORY_MAP_H
#define THAW_MEMORY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

/* The memory of a guest: its ranges, and a file that has the bytes of guest address A at offset
 * A. */
struct thaw_guest_memory {
	int fd;
	const struct thaw_range *ranges;
	size_t range_count;
	uint64_t limit; /* bytes that the guest may have mapped */
	/* Where the file has data, if the image says so; NULL: the file is asked. */
	const struct thaw_extent *extents;
	size_t extent_count;
};

/* A piece of a range: either all of it is data in the memory file, or none of it. */
struct thaw_piece {
	uint64_t start, length;
	uint32_t prot;
	bool backed;
};

#define THAW_PIECES_MAX 4096u /* in one guest */

struct thaw_memory_map {
	struct thaw_piece *pieces; /* sorted; together they are the ranges */
	size_t count;
};

/*
 * Cuts MEMORY's ranges into at most THAW_PIECES_MAX pieces. A gap in the data that is too short to
 * be worth a mapping of its own counts as data, because each mapping makes every fork dearer, while
 * a page of the image is paid for once. FILL: fills these gaps with zeroes in the file, which must
 * not be sealed yet. Returns 0 or -1; free with free(out->pieces).
 */
int thaw_memory_map_make(const struct thaw_guest_memory *memory, bool fill,
			 struct thaw_memory_map *out, struct thaw_error *err);

#endif
