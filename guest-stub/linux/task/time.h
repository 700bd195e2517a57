/* SPDX-License-Identifier: Apache-2.0 */
/* The program's notions of time. */
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

/* Nanoseconds of a timespec at ADDRESS, capped; 0, -EFAULT or -EINVAL. */
int time_get(uint64_t address, uint64_t *ns);

/* When a wait ends on the monotonic clock: the timespec at ADDRESS is relative to now, or ABSOLUTE
 * on the monotonic or the WALL clock. *DEADLINE_NS is never 0. 0, -EFAULT, -EINVAL. */
int time_deadline(uint64_t address, bool absolute, bool wall, uint64_t *deadline_ns);

/* NS from now, on the monotonic clock. */
uint64_t time_after(uint64_t ns);

/* Milliseconds as poll and epoll have them, to a deadline as these wait for it: 0 for ever, 1 not
 * at all. */
uint64_t time_of_poll(int timeout);

/* Processor time used: of the invocation, or the boot. */
uint64_t time_used_ns(void);

/* vdso.S: the page-aligned image of the vDSO. */
extern const uint8_t vdso_image[], vdso_image_end[];

#endif
