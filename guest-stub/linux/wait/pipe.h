/* SPDX-License-Identifier: Apache-2.0 */
/* What sockets are made of: two streams of bytes, one each way. */
#ifndef THAW_LINUX_PIPE_H
#define THAW_LINUX_PIPE_H

#include "guest-stub/linux/fs/file.h"

/* A pair of sockets, its descriptors written to ADDRESS, which was checked. 0 or -errno. */
long stream_pair(uint64_t flags, uint64_t address);
bool stream_is_socket(const struct file *file);

/* WAIT says whether to; KEEP leaves what was read in the stream; RAISE has a write that nobody can
 * read send SIGPIPE. */
long stream_read(struct file *file, void *buffer, size_t length, bool wait, bool keep);
long stream_write(struct file *file, const void *buffer, size_t length, bool wait, bool raise);

/* Ends a socket's directions. */
void stream_shut(struct file *file, bool reading, bool writing);

#endif
