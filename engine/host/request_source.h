/* SPDX-License-Identifier: Apache-2.0 */
/* What the host gives anew to every request: a generation number, entropy and the time. */
#ifndef THAW_REQUEST_SOURCE_H
#define THAW_REQUEST_SOURCE_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/host/entropy.h"
#include "engine/host/guest_clock.h"
#include "guest-stub/include/thaw/abi.h"

struct thaw_request_source {
	struct thaw_entropy entropy; /* has its own lock */
	struct thaw_tsc tsc;	     /* lock-free */
	_Atomic uint64_t generation; /* of the latest request; relaxed: it only has to differ */
};

/* Begins at a random generation and notes where the clock's measurement begins. Returns 0 or -1. */
int thaw_request_source_init(struct thaw_request_source *source, struct thaw_error *err);
void thaw_request_source_finish(struct thaw_request_source *source); /* fine when all zero */

/* Fills HEADER, all but its window_length, for a request of LENGTH bytes that is handed over now.
 * DEADLINE_NS is of CLOCK_MONOTONIC, 0 for none. Any thread. */
void thaw_request_source_fill(struct thaw_request_source *source, uint64_t length,
			      uint64_t deadline_ns, struct thaw_request_header *header);

#endif
