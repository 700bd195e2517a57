/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What poll, select and epoll have in common: what a file answers, and how long they wait.
 *
 * Their deadlines are monotonic nanoseconds, with two values that no time has.
 */
#ifndef THAW_LINUX_READINESS_H
#define THAW_LINUX_READINESS_H

#include "guest-stub/linux/file/file.h"

#define WAIT_FOREVER 0ull
#define WAIT_NOT     1ull

/* The events that FILE has now. */
unsigned file_poll(struct file *file);

/* Whether a wait for reading FILE waits for the request: before the ready point, FILE is standard
 * input, or an epoll set that waits for it. */
bool file_awaits_request(const struct file *file);

/* When time alone will make FILE readable; 0: never. */
uint64_t file_due(const struct file *file);

/* The earlier of two times, of which 0 is never. */
uint64_t time_earlier(uint64_t a_ns, uint64_t b_ns);

/* A timeout in milliseconds, as a deadline; below 0 is for ever. */
uint64_t wait_milliseconds(int timeout);

/* The timespec at ADDRESS (0: for ever), as a deadline in *DEADLINE_NS. 0, -EFAULT, -EINVAL. */
int wait_timespec(uint64_t address, uint64_t *deadline_ns);

/* Takes the signal mask at ADDRESS (0: none) for the call at hand. 0, -EFAULT, -EINVAL. */
int wait_mask(uint64_t address, uint64_t size);

#endif
