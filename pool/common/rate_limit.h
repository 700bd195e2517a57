/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket: bursts up to a size, then a steady rate. Not locked: the caller serialises. */
#ifndef THAW_RATE_LIMIT_H
#define THAW_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct thaw_rate_limit {
	uint64_t burst;	      /* tokens that a full bucket holds */
	uint64_t interval_ns; /* one token comes back in this time */
	uint64_t tokens;
	uint64_t refilled_ns; /* the time up to which tokens were given back */
	uint64_t dropped;     /* refusals since thaw_rate_limit_take_dropped() */
};

void thaw_rate_limit_init(struct thaw_rate_limit *limit, uint64_t burst, uint64_t per_second,
			  uint64_t now_ns);
bool thaw_rate_limit_allow(struct thaw_rate_limit *limit, uint64_t now_ns);
/* How many were refused since the last call. */
uint64_t thaw_rate_limit_take_dropped(struct thaw_rate_limit *limit);

#endif
