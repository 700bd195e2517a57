/* SPDX-License-Identifier: Apache-2.0 */
/* Positioned reads and writes that go on until they are done. */
#ifndef THAW_IO_H
#define THAW_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Both continue after a short transfer or a signal. Return the bytes transferred (for a read, fewer
 * at the end of the file), or -1 with errno. */
ssize_t thaw_read_at(int fd, void *bytes, size_t length, uint64_t offset);
ssize_t thaw_write_at(int fd, const void *bytes, size_t length, uint64_t offset);

#endif
