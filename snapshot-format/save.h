/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a file in place atomically: whatever is killed when, the name has either the new file,
 * whole, or what it had before. thaw_image_save() is these three steps around thaw_image_write().
 * A caller that writes in another, jailed process takes the steps itself and hands over the
 * descriptor.
 */
#ifndef THAW_SAVE_H
#define THAW_SAVE_H

#include "snapshot-format/base/error.h"

struct thaw_save {
	int fd;		    /* to write to; -1: none */
	int directory_fd;   /* not owned */
	char temporary[64]; /* its name in the directory; empty while it has none */
};

#define THAW_SAVE_INIT                                                                             \
	{                                                                                          \
		.fd = -1, .directory_fd = -1                                                       \
	}

/* Makes an empty file of mode 0600 in the directory, without a name where the file system allows
 * that, and removes files that killed savers have left there. */
int thaw_save_begin(int directory_fd, struct thaw_save *save, struct thaw_error *err);
/* Flushes the file, renames it to FILE_NAME over whatever had that name, and flushes the
 * directory. Closes the file on success. After a failure call thaw_save_cancel(); FILE_NAME is as
 * before, unless only the flush of the directory failed. */
int thaw_save_commit(struct thaw_save *save, const char *file_name, struct thaw_error *err);
/* Removes the file. Does nothing after a commit. */
void thaw_save_cancel(struct thaw_save *save);

#endif
