/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which frames of an image hold what is at a guest address, and which of them are in the memory
 * file. Internal to the engine. Any thread; a frame's state is atomic and only ever advances, all
 * else is constant.
 *
 * Addresses come from guests: any number is answered, from the image's own tables.
 */
#ifndef THAW_FRAME_MAP_H
#define THAW_FRAME_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/image/memory_map.h"
#include "snapshot-format/image.h"

enum thaw_frame_state { THAW_FRAME_ABSENT, THAW_FRAME_TAKEN, THAW_FRAME_THERE };

struct thaw_frame_map {
	unsigned frame_pages;
	size_t frame_count;
	const struct thaw_extent *extents; /* the image's */
	size_t extent_count;
	const struct thaw_memory_map *map;
	_Atomic uint8_t *states; /* enum thaw_frame_state, of each frame; owned */
};

/* IMAGE and MAP are not owned. All frames are absent at first. Returns 0 or -1. */
int thaw_frame_map_make(struct thaw_frame_map *frames, const struct thaw_image_file *image,
			const struct thaw_memory_map *map, struct thaw_error *err);
void thaw_frame_map_free(struct thaw_frame_map *frames); /* fine when all zero */

static inline bool thaw_frame_is_there(const struct thaw_frame_map *frames, size_t number)
{
	return atomic_load_explicit(&frames->states[number], memory_order_acquire) ==
	       THAW_FRAME_THERE;
}

/* The piece of the memory map that has data and holds ADDRESS, or NULL. */
const struct thaw_piece *thaw_frame_piece(const struct thaw_frame_map *frames, uint64_t address);

/* Calls VISIT with the number of each frame that has data of [START, END), until it returns other
 * than 0. Returns what VISIT returned last. */
int thaw_frame_each(const struct thaw_frame_map *frames, uint64_t start, uint64_t end,
		    int (*visit)(void *context, size_t frame, struct thaw_error *err),
		    void *context, struct thaw_error *err);

/* How far all frames are there: from ADDRESS on, up to LIMIT, and before it, down to LIMIT. Gaps in
 * the data count as there. */
uint64_t thaw_frame_run_end(const struct thaw_frame_map *frames, uint64_t address, uint64_t limit);
uint64_t thaw_frame_run_start(const struct thaw_frame_map *frames, uint64_t address,
			      uint64_t limit);

#endif
