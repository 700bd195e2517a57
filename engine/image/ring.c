/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads through io_uring; see ring.h. The ring is still open when the process is jailed, and
 * seccomp does not see a ring's operations, because they are not system calls. So the ring is
 * restricted to plain reads before it is first enabled: an attacker who takes the process over
 * finds nothing in it that read(2) could not do. On a kernel without restrictions no ring is used.
 *
 * Buffers are not registered: that saves pinning pages for direct I/O, and these reads go through
 * the page cache.
 */
#include "engine/image/ring.h"

#include <errno.h>
#include <time.h>

#include "snapshot-format/base/error.h"

/* Uses the raw call, because liburing 2.3 declares functions for these two but does not export
 * them. */
static int restrict_to_reads(const struct io_uring *ring)
{
	struct io_uring_restriction reads_only = {.opcode = IORING_RESTRICTION_SQE_OP,
						  .sqe_op = IORING_OP_READ};
	unsigned fd = (unsigned)ring->ring_fd;
	int result = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, &reads_only, 1);

	return result < 0 ? result : io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

void thaw_read_ring_open(struct thaw_read_ring *ring)
{
	*ring = (struct thaw_read_ring){0};
	if (io_uring_queue_init(THAW_READ_RING_DEPTH, &ring->ring, IORING_SETUP_R_DISABLED) < 0)
		return;
	/* A child must not see its parent's queues. */
	if (restrict_to_reads(&ring->ring) < 0 || io_uring_ring_dontfork(&ring->ring) < 0) {
		io_uring_queue_exit(&ring->ring);
		return;
	}
	ring->open = ring->usable = true;
}

void thaw_read_ring_close(struct thaw_read_ring *ring)
{
	thaw_assert(ring->in_flight == 0);
	if (ring->open)
		io_uring_queue_exit(&ring->ring);
	ring->open = ring->usable = false;
}

bool thaw_read_ring_read(struct thaw_read_ring *ring, int fd, void *buffer, unsigned length,
			 uint64_t offset, unsigned token)
{
	struct io_uring_sqe *sqe;

	if (!ring->usable)
		return false;
	sqe = io_uring_get_sqe(&ring->ring);
	thaw_assert(
		sqe); /* as many entries as the caller has buffers, and each is submitted at once */
	io_uring_prep_read(sqe, fd, buffer, length, offset);
	io_uring_sqe_set_data64(sqe, token);
	/* A failed submission stays in the queue, and the next one would start it, with a buffer
	 * that is in other use by then. So nothing is submitted after a failure. */
	if (io_uring_submit(&ring->ring) != 1) {
		ring->usable = false;
		return false;
	}
	ring->in_flight++;
	return true;
}

/* The kernel owns the buffers until their completions arrive, so this cannot give up: where the
 * kernel refuses to wait, it polls the queue in shared memory. */
static bool next_completion(struct thaw_read_ring *ring, bool wait, struct io_uring_cqe **cqe)
{
	static const struct timespec pause = {.tv_nsec = 1000000};

	for (;;) {
		bool block = wait && ring->usable;
		int result = block ? io_uring_wait_cqe(&ring->ring, cqe)
				   : io_uring_peek_cqe(&ring->ring, cqe);

		if (result == 0)
			return true;
		if (!wait)
			return false;
		if (!block)
			nanosleep(&pause, NULL);
		else if (result != -EINTR)
			ring->usable = false;
	}
}

bool thaw_read_ring_take(struct thaw_read_ring *ring, bool wait, unsigned *token, size_t *length)
{
	struct io_uring_cqe *cqe;

	if (!ring->in_flight || !next_completion(ring, wait, &cqe))
		return false;
	*token = (unsigned)io_uring_cqe_get_data64(cqe);
	*length = cqe->res > 0 ? (size_t)cqe->res : 0;
	io_uring_cqe_seen(&ring->ring, cqe);
	ring->in_flight--;
	return true;
}
