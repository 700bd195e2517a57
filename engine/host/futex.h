/* SPDX-License-Identifier: Apache-2.0 */
/* Futexes whose word is in memory that processes share, which excludes the private forms. The word
 * is also a guest's, so it is plain, and both sides use the __atomic builtins on it. */
#ifndef THAW_FUTEX_H
#define THAW_FUTEX_H

#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "snapshot-format/base/clock.h"

static inline void thaw_futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Waits while *WORD is VALUE, until DEADLINE_NS of CLOCK_MONOTONIC (0: for ever). May return
 * early for no reason. */
static inline void thaw_futex_wait(uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
	struct timespec deadline = {(time_t)(deadline_ns / THAW_NS_PER_SEC),
				    (long)(deadline_ns % THAW_NS_PER_SEC)};

	/* Only the bitset form takes an absolute time. */
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline_ns ? &deadline : NULL, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

#endif
