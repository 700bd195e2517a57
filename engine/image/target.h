/* SPDX-License-Identifier: Apache-2.0 */
/* Where a loaded image goes: a file whose offsets are guest addresses. Any number of threads may
 * place at once. */
#ifndef THAW_FRAME_TARGET_H
#define THAW_FRAME_TARGET_H

#include <stdint.h>

#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

struct thaw_frame_window {
	uint64_t start, length;
	uint8_t *bytes;
};

struct thaw_frame_target {
	int fd;
	/* hugetlbfs only, which has no write(2): the huge pages that get data, mapped. Sorted,
	 * disjoint. */
	struct thaw_frame_window *windows;
	size_t window_count;
};

/* FD is not owned. Every huge page that will be written is allocated here, so that running out of
 * them is an error and not a SIGBUS. */
int thaw_frame_target_open(struct thaw_frame_target *target, const struct thaw_image_file *image,
			   int fd, struct thaw_error *err);
/* Unmaps everything; fine after a failed open. */
void thaw_frame_target_close(struct thaw_frame_target *target);

/* Puts LENGTH bytes at guest address START, inside an extent of the image; TARGET is a struct
 * thaw_frame_target. Returns 0 or a negative errno value. */
int thaw_frame_target_place(void *target, uint64_t start, const void *bytes, size_t length);

#endif
