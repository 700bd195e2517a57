/* SPDX-License-Identifier: Apache-2.0 */
/* What the files without a name have in common, which exist only to be waited for. */
#ifndef THAW_LINUX_EVENT_H
#define THAW_LINUX_EVENT_H

#include "guest-stub/linux/file/file.h"

/* Operations: stat, and a release that frees `data`. */
int event_stat(struct file *file, struct stat *out);
void event_release(struct file *file);

/* Opens a file with OPERATIONS and DATA, which was malloc()ed, or is NULL if memory was out. FLAGS
 * are those of the system call. Returns the descriptor; or frees DATA and returns -errno. */
long event_install(const struct file_operations *operations, void *data, uint64_t flags);

#endif
