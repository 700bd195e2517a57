/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that every figure is measured with, and the pause between requests. */
#ifndef THAW_BENCH_CLOCK_H
#define THAW_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t thaw_bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void thaw_bench_pause(uint64_t ns)
{
	struct timespec pause = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

	if (ns)
		nanosleep(&pause, NULL);
}

#endif
