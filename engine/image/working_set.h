/* SPDX-License-Identifier: Apache-2.0 */
/* An image's working set, made from notes of single pages. Internal to the engine. One thread. */
#ifndef THAW_WORKING_SET_H
#define THAW_WORKING_SET_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/image.h"

/* Notes of pages that invocations touched, in any order; bit 0 of a page: it was written. The notes
 * come from guests. Free with free(pages). */
struct thaw_recording {
	uint64_t *pages;
	size_t count, room;
};

/* Adds a note. Returns -1 when memory runs out. */
int thaw_recording_add(struct thaw_recording *recording, uint64_t page);

/* Sorts RECORDING and makes of it pieces that an image with RANGES may have (SPEC.md, M10 to M12).
 * Drops pages outside the ranges, and what exceeds the limits, pages that were only read first.
 * Sets *OUT, which the caller frees, and *COUNT, which may be 0. Returns -1 when memory runs
 * out. */
int thaw_recording_finish(struct thaw_recording *recording, const struct thaw_range *ranges,
			  size_t range_count, struct thaw_working_set_piece **out, size_t *count);

#endif
