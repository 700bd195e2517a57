/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a file in place so that it is either not there or whole, whatever is killed when.
 * thaw_image_save() is these three steps around thaw_image_write(); a caller that writes in
 * another, jailed process takes them one by one and hands the descriptor over.
 */
#ifndef THAW_SAVE_H
#define THAW_SAVE_H

#include "snapshot-format/base/error.h"

struct thaw_save {
	int fd;		    /* to be written; -1 when there is none */
	int directory_fd;   /* not owned */
	char temporary[64]; /* name in the directory; empty while the file has none */
};

#define THAW_SAVE_INIT                                                                             \
	{                                                                                          \
		.fd = -1, .directory_fd = -1                                                       \
	}

/* Makes an empty file of mode 0600 in the directory, without a name where the file system can do
 * that, and clears away what killed savers have left there. */
int thaw_save_begin(int directory_fd, struct thaw_save *save, struct thaw_error *err);
/* Flushes the file, gives it FILE_NAME in place of whatever had that name, and flushes the
 * directory. Closes the file on success. On failure thaw_save_cancel() is still due; FILE_NAME is
 * then as it was before, unless only the flush of the directory failed. */
int thaw_save_commit(struct thaw_save *save, const char *file_name, struct thaw_error *err);
/* Forgets the file. Does nothing after a commit. */
void thaw_save_cancel(struct thaw_save *save);

#endif
