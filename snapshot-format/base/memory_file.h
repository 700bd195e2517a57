/* SPDX-License-Identifier: Apache-2.0 */
/* Memory files (memfd), with what older kernels lack. Internal to the engine. */
#ifndef THAW_MEMORY_FILE_H
#define THAW_MEMORY_FILE_H

#include "snapshot-format/base/error.h"

enum { THAW_MEMORY_FILE_EXEC = 1 }; /* a program is executed from it */

/* A new memory file, sealable, close-on-exec. Returns the descriptor or -1. */
int thaw_memory_file(const char *name, int flags, struct thaw_error *err);
/* Seals it against every change. There must be no writable mapping of it. */
int thaw_memory_file_seal(int fd, struct thaw_error *err);

#endif
