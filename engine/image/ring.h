/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the bulk loader through io_uring. A ring belongs to the thread that submits. It only
 * makes reading faster, so nothing here is an error: the caller does itself what the ring
 * cannot. */
#ifndef THAW_READ_RING_H
#define THAW_READ_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads in flight. From a fast disk, 1, 2 and 4 load alike, 8 is 10 % slower and 16 is 40 % slower
 * (new buffers are cold memory); 4 is for slower disks. */
#define THAW_READ_RING_DEPTH 4u

struct thaw_read_ring {
	struct io_uring ring;
	unsigned in_flight;
	bool open;
	bool usable; /* false: refused or broken; reads in flight still come back */
};

/* Sets the ring up for reads and nothing else. Leaves *RING closed where the host refuses. */
void thaw_read_ring_open(struct thaw_read_ring *ring);
void thaw_read_ring_close(struct thaw_read_ring *ring);

/* Starts a read into BUFFER, which must stay until TOKEN has come back. Returns false when the read
 * was not started. */
bool thaw_read_ring_read(struct thaw_read_ring *ring, int fd, void *buffer, unsigned length,
			 uint64_t offset, unsigned token);

/* Takes a finished read: its token, and the bytes read (0 when it failed). Returns false when none
 * has finished; with WAIT, only when none is in flight. */
bool thaw_read_ring_take(struct thaw_read_ring *ring, bool wait, unsigned *token, size_t *length);

#endif
