/* SPDX-License-Identifier: Apache-2.0 */
/* What an invocation recording, as an image keeps it: made from what was noted page by page. Internal
 * to the engine. */
#ifndef THAW_WORKING_SET_H
#define THAW_WORKING_SET_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/image.h"

/* A list that grows; bit 0 of a page: it was written. Comes from a guest's side, in any order. */
struct thaw_recording {
	uint64_t *pages;
	size_t count, room;
};

/* -1 when memory runs out. */
int thaw_recording_add(struct thaw_recording *recording, uint64_t page);

/* Sorts TOUCHES and makes pieces that an image of RANGES may have (SPEC.md, M10 to M12): what is
 * not in them is left out, and so is what is beyond the limits, written pages last. Memory of
 * its own; *COUNT may be 0. */
int thaw_recording_finish(struct thaw_recording *recording, const struct thaw_range *ranges,
			  size_t range_count, struct thaw_touched **out, size_t *count);

#endif
