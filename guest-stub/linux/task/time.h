/* SPDX-License-Identifier: Apache-2.0 */
/* Times and deadlines as system calls have them. */
#ifndef THAW_LINUX_TIME_H
#define THAW_LINUX_TIME_H

#include "guest-stub/linux/linux.h"

#define SECOND_NS 1000000000ull

/* The kernel's struct timespec. */
struct linux_timespec {
	int64_t seconds, nanoseconds;
};

struct linux_timeval {
	int64_t seconds, microseconds;
};

struct linux_timespec time_split(uint64_t ns);

/* Reads the timespec at ADDRESS into *NS, capped at 190 years. 0, -EFAULT or -EINVAL. */
int time_get(uint64_t address, uint64_t *ns);

/* Reads the timespec at ADDRESS as the end of a wait, on the monotonic clock. It is relative to
 * now, or ABSOLUTE on the monotonic or the WALL clock. *DEADLINE_NS is never 0. 0, -EFAULT,
 * -EINVAL. */
int time_deadline(uint64_t address, bool absolute, bool wall, uint64_t *deadline_ns);

/* The monotonic time NS from now; never 0. */
uint64_t time_after(uint64_t ns);

/* The processor time of the program: all time since the request came, or since the boot. */
uint64_t time_used_ns(void);

#endif
