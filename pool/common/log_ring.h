/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's log: a ring of fixed slots in a memory file that the front made, so that the lines
 * outlive the worker that wrote them. While an image is replaced two workers write it at once.
 *
 * Everything in the ring is hostile to its reader: a worker that was taken over may have written
 * it. Whatever it holds, a reader stays inside it, ends, and hands out clean text. What two writers
 * can lose when they lap each other is lines, never the ring.
 */
#ifndef THAW_LOG_RING_H
#define THAW_LOG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/common/log.h"
#include "snapshot-format/base/error.h"

#define THAW_LOG_RING_SIZE (256u << 10)
#define THAW_LOG_TEXT_MAX  1024u

struct thaw_log_ring;

struct thaw_log_record {
	uint64_t sequence; /* of its first slot; grows with each record */
	uint64_t wall_ns;
	uint64_t invocation; /* the number that the worker gave the invocation; 0: none */
	enum thaw_log_level level;
	size_t length;
	char text[THAW_LOG_TEXT_MAX + 1]; /* printable, NUL-terminated */
};

/* A new ring's memory file, sealed in its size. Returns the descriptor, or -1. */
int thaw_log_ring_create(struct thaw_error *err);

/* Maps the ring FD (may be closed afterwards). A file of the wrong size is refused; content is not
 * trusted, so it need not be checked here. */
int thaw_log_ring_attach(int fd, struct thaw_log_ring **out, struct thaw_error *err);
void thaw_log_ring_detach(struct thaw_log_ring *ring); /* NULL is fine */

/* Appends a line; longer ones are cut at THAW_LOG_TEXT_MAX. Any thread of any process that has the
 * ring. */
void thaw_log_ring_append(struct thaw_log_ring *ring, enum thaw_log_level level,
			  uint64_t invocation, const void *text, size_t length);

/* The first record at or after *SEQUENCE that is still whole; *SEQUENCE becomes where to go on.
 * False: no more. */
bool thaw_log_ring_read(const struct thaw_log_ring *ring, uint64_t *sequence,
			struct thaw_log_record *out);

#endif
