/* SPDX-License-Identifier: Apache-2.0 */
/* What the rest of the core asks of the file system; fs.h is for the file system's own files. */
#ifndef THAW_LINUX_FILES_H
#define THAW_LINUX_FILES_H

#include "guest-stub/linux/file/file.h"

/* Finds the tree in guest memory, sets `config`, and opens the first three descriptors. Called
 * before the program is loaded; aborts with the reason when the tree is wrong. */
void files_init(void);

/* Opens a file of the guest as open(2) does, relative to the current directory. 0 and a file with
 * a reference for the caller in *OUT, or -errno. */
int file_open(const char *path, int flags, unsigned mode, struct file **out);

/* A new writable file in memory that no directory has, for memfd_create(). NAME is what /proc
 * shows. 0 and a file with a reference for the caller in *OUT, or -ENOMEM. */
int file_anonymous(const char *name, struct file **out);

#endif
