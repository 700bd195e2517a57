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

/*
 * A deadline is a time of the monotonic clock, in nanoseconds and never 0, or with TIME_WALL in it one
 * of the wall clock. The monotonic clock goes on from the ready point in each invocation, so what was
 * left of a deadline is left; the wall clock does not wait.
 */
#define TIME_WALL (UINT64_C(1) << 63)

/* The time now on the clock of DEADLINE_NS, as a deadline: the two can be compared and subtracted. */
uint64_t time_now_for(uint64_t deadline_ns);

/* Whether it is DEADLINE_NS, or later. */
bool time_has_come(uint64_t deadline_ns);

/* What is left until DEADLINE_NS; 0 once it has come. */
uint64_t time_left(uint64_t deadline_ns);

/* Reads the timespec at ADDRESS as a deadline. It is relative to now, or ABSOLUTE on the monotonic or
 * the WALL clock. 0, -EFAULT, -EINVAL. */
int time_deadline(uint64_t address, bool absolute, bool wall, uint64_t *deadline_ns);

/* The monotonic time NS from now; never 0. */
uint64_t time_after(uint64_t ns);

/* Notes the time at which the program starts. */
void time_init(void);

/* When the program started, on the monotonic clock. */
uint64_t time_started_ns(void);

/* The processor time of the program: all time since its start that the monotonic clock counts. */
uint64_t time_used_ns(void);

#endif
