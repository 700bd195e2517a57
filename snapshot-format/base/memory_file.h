/* SPDX-License-Identifier: Apache-2.0 */
/* Memory files (memfd), also on kernels that lack some flags. */
#ifndef THAW_MEMORY_FILE_H
#define THAW_MEMORY_FILE_H

#include "snapshot-format/base/error.h"

enum { THAW_MEMORY_FILE_EXEC = 1 }; /* a program will be executed from the file */

/* Makes a memory file, sealable and close-on-exec. FLAGS: 0 or THAW_MEMORY_FILE_EXEC. Returns the
 * descriptor, which the caller owns, or -1. */
int thaw_memory_file(const char *name, int flags, struct thaw_error *err);
/* Seals it against every change. It must have no writable mapping. */
int thaw_memory_file_seal(int fd, struct thaw_error *err);

#endif
