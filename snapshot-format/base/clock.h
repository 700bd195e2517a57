/* SPDX-License-Identifier: Apache-2.0 */
/* The host's clocks in nanoseconds. The guest's clock is engine/host/guest_clock.h. */
#ifndef THAW_CLOCK_H
#define THAW_CLOCK_H

#include <stdint.h>
#include <time.h>

#define THAW_NS_PER_US	UINT64_C(1000)
#define THAW_NS_PER_MS	UINT64_C(1000000)
#define THAW_NS_PER_SEC UINT64_C(1000000000)

static inline uint64_t thaw_clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * THAW_NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC: for deadlines, durations and measurements. */
static inline uint64_t thaw_monotonic_ns(void)
{
	return thaw_clock_ns(CLOCK_MONOTONIC);
}

/* CLOCK_REALTIME: for dates that people read. */
static inline uint64_t thaw_wall_ns(void)
{
	return thaw_clock_ns(CLOCK_REALTIME);
}

#endif
