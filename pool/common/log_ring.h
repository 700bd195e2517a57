/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function's log: a ring of fixed slots in a memory file that the front makes, so that the lines
 * outlive the worker that wrote them. While an image is replaced, two workers write at once.
 *
 * A reader trusts nothing in the ring, because a worker that was taken over may have written it.
 * Whatever the ring holds, a reader stays inside it, ends, and returns clean text. When a writer
 * laps another, lines are lost, and the ring stays intact.
 *
 * thaw_log_ring_append() and thaw_log_ring_read() take no lock. Any number of threads of any number
 * of processes that have attached the ring may call them at once. Creating, attaching and detaching
 * are for one thread at a time.
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
	uint64_t sequence;   /* of its first slot; grows from record to record */
	uint64_t wall_ns;    /* CLOCK_REALTIME */
	uint64_t invocation; /* the worker's number of the invocation; 0: none */
	enum thaw_log_level level;
	size_t length;
	char text[THAW_LOG_TEXT_MAX + 1]; /* printable, NUL-terminated */
};

/* Makes the memory file of a new, empty ring, with its size sealed. Returns its descriptor, which
 * is the caller's, or -1. */
int thaw_log_ring_create(struct thaw_error *err);

/* Maps the ring FD, which stays the caller's and may be closed afterwards. A file of the wrong size
 * is refused. Content need not be checked here, because readers never trust it. */
int thaw_log_ring_attach(int fd, struct thaw_log_ring **out, struct thaw_error *err);
void thaw_log_ring_detach(struct thaw_log_ring *ring); /* NULL is fine */

/* Appends a line of LENGTH bytes, cut at THAW_LOG_TEXT_MAX. */
void thaw_log_ring_append(struct thaw_log_ring *ring, enum thaw_log_level level,
			  uint64_t invocation, const void *text, size_t length);

/* Reads the first record at or after *SEQUENCE that is still whole, and sets *SEQUENCE to where the
 * next call goes on. False: there is no more. */
bool thaw_log_ring_read(const struct thaw_log_ring *ring, uint64_t *sequence,
			struct thaw_log_record *out);

#endif
