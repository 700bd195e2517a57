/* SPDX-License-Identifier: Apache-2.0 */
/* The pause between two paced requests. */
#ifndef THAW_BENCH_PAUSE_H
#define THAW_BENCH_PAUSE_H

#include "snapshot-format/base/clock.h"

/* Sleeps for NS nanoseconds; 0 returns at once. */
static inline void thaw_bench_pause(uint64_t ns)
{
	struct timespec pause = {(time_t)(ns / THAW_NS_PER_SEC), (long)(ns % THAW_NS_PER_SEC)};

	if (ns)
		nanosleep(&pause, NULL);
}

#endif
