/* SPDX-License-Identifier: Apache-2.0 */
/* A socket of a pair is a file with two byte streams, one each way; pipe.c has the streams. */
#ifndef THAW_LINUX_PIPE_H
#define THAW_LINUX_PIPE_H

#include "guest-stub/linux/file/file.h"

/* Makes a pair of sockets and writes their descriptors to ADDRESS, which was checked. 0 or
 * -errno. */
long stream_pair(uint64_t flags, uint64_t address);

/* Whether FILE is a socket of a pair. */
bool stream_is_socket(const struct file *file);

/* Read from and write to a socket. WAIT: wait instead of returning -EAGAIN. KEEP: leave what was
 * read in the stream. RAISE: send SIGPIPE when there is no reader left. */
long stream_read(struct file *file, void *buffer, size_t length, bool wait, bool keep);
long stream_write(struct file *file, const void *buffer, size_t length, bool wait, bool raise);

/* Takes the error that a socket has pending: an errno, or 0. */
long stream_error(struct file *file);

/* Shuts a socket's directions down. */
void stream_shut(struct file *file, bool reading, bool writing);

#endif
