/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks that the pool reads, in nanoseconds. */
#ifndef THAW_POOL_CLOCK_H
#define THAW_POOL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define THAW_NS_PER_MS	UINT64_C(1000000)
#define THAW_NS_PER_SEC UINT64_C(1000000000)

static inline uint64_t thaw_clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * THAW_NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* For deadlines and durations. */
static inline uint64_t thaw_monotonic_ns(void)
{
	return thaw_clock_ns(CLOCK_MONOTONIC);
}

/* For people: log records. */
static inline uint64_t thaw_wall_ns(void)
{
	return thaw_clock_ns(CLOCK_REALTIME);
}

#endif
