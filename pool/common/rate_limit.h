/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket: bursts up to a size, then a steady rate. It has no lock. Its owner serialises
 * all calls on one bucket: the front has one thread, and a worker holds the lock that guards the
 * bucket.
 */
#ifndef THAW_RATE_LIMIT_H
#define THAW_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* Written by the functions below alone. */
struct thaw_rate_limit {
	uint64_t burst;	      /* tokens in a full bucket */
	uint64_t interval_ns; /* one token comes back in this time */
	uint64_t tokens;
	uint64_t refilled_ns; /* the time up to which tokens were given back */
	uint64_t dropped;     /* refusals since thaw_rate_limit_take_dropped() */
};

/* Makes LIMIT a full bucket of BURST tokens that regains PER_SECOND (not 0) of them each second.
 * NOW_NS here and below is of CLOCK_MONOTONIC. */
void thaw_rate_limit_init(struct thaw_rate_limit *limit, uint64_t burst, uint64_t per_second,
			  uint64_t now_ns);
/* Takes a token. False: there is none, and the refusal is counted. */
bool thaw_rate_limit_allow(struct thaw_rate_limit *limit, uint64_t now_ns);
/* Returns how many calls were refused since this was last called. */
uint64_t thaw_rate_limit_take_dropped(struct thaw_rate_limit *limit);

#endif
