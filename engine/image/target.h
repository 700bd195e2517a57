/* SPDX-License-Identifier: Apache-2.0 */
/* Where the frames of a loaded image go: a file whose offsets are guest addresses. Constant between
 * open and close, so any number of threads may place at once. */
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
	/* Only on hugetlbfs, which has no write(2): the huge pages that get data, mapped. Sorted
	 * and disjoint. */
	struct thaw_frame_window *windows;
	size_t window_count;
};

/* FD is not owned. Allocates every huge page that will be written, so that a lack of them is an
 * error here and not a SIGBUS later. */
int thaw_frame_target_open(struct thaw_frame_target *target, const struct thaw_image_file *image,
			   int fd, struct thaw_error *err);
/* Unmaps everything; also after a failed open. */
void thaw_frame_target_close(struct thaw_frame_target *target);

/* Puts LENGTH bytes at guest address START, inside an extent of the image; TARGET is a struct
 * thaw_frame_target. Returns 0 or a negative errno value. */
int thaw_frame_target_place(void *target, uint64_t start, const void *bytes, size_t length);

#endif
