/* SPDX-License-Identifier: Apache-2.0 */
/* Byte streams within the program. A socket of a pair is a file with two of them, one each way; an end
 * of a pipe has one. */
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

/* Whether FILE is an end of a pipe; and whether the two are ends of the same, OTHER for writing. */
bool stream_is_pipe(const struct file *file);
bool stream_is_same(const struct file *one, const struct file *other);

/*
 * For splice and its like, between ends of pipes. The first two wait, or return -EAGAIN; the first
 * returns 0, the second how much room there is, or -EPIPE. The others do not wait, and return how many
 * bytes they moved: from pipe to pipe (KEEP: the first keeps them), and from memory into a pipe.
 */
long stream_await_content(struct file *file, bool wait);
long stream_await_room(struct file *file, bool wait);
long stream_move(struct file *from, struct file *to, size_t length, bool keep);
long stream_splice(struct file *file, const void *bytes, size_t length);

/* Takes COUNT bytes that a look has found. */
void stream_skip(struct file *file, size_t count);

/* Takes the error that a socket has pending: an errno, or 0. */
long stream_error(struct file *file);

/* Shuts a socket's directions down. */
void stream_shut(struct file *file, bool reading, bool writing);

#endif
