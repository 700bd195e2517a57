/* SPDX-License-Identifier: Apache-2.0 */
/* Positioned reads and writes that continue after a short transfer or a signal. */
#ifndef THAW_IO_H
#define THAW_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads up to LENGTH bytes at OFFSET of FD. Returns the bytes read, fewer than LENGTH only at the
 * end of the file, or -1 with errno. */
ssize_t thaw_read_at(int fd, void *bytes, size_t length, uint64_t offset);

/* Writes LENGTH bytes at OFFSET of FD. Returns LENGTH, or -1 with errno; then any part of the bytes
 * may have been written. */
ssize_t thaw_write_at(int fd, const void *bytes, size_t length, uint64_t offset);

#endif
