/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invocation: the core's side of the eight hypercalls. The request is standard input, the
 * response is standard output, the log is standard error, and the status is the exit code. This is
 * the ground floor: it knows nothing of memory, tasks or files.
 */
#ifndef THAW_LINUX_HOST_H
#define THAW_LINUX_HOST_H

#include "guest-stub/linux/linux.h"

/* Whether the guest has asked for its first request. */
bool host_is_ready(void);

/* Asks for the first request: the host freezes the guest here, and every invocation returns from
 * here with its own request. Called once, by ready_point() (task/ready.h), which prepares the
 * guest. */
void host_first_request(void);

/* Copies the next bytes of the request, at most LENGTH, to BUFFER. Returns how many; 0 at the
 * request's end and before the first request. */
long host_read(void *buffer, size_t length);

/* The same, and leaves them unread. */
long host_look(void *buffer, size_t length);

/* The number of bytes of the request that are still to be read. */
uint64_t host_unread(void);

/* Appends to the response. What the program writes before the ready point is kept whole and
 * begins every response: early.h. Returns LENGTH; the number of bytes that the host took, if fewer;
 * or -EIO. */
long host_write(const void *buffer, size_t length);

/* Standard error: logs whole lines, and keeps an unfinished one until it is finished. */
void host_error(const void *buffer, size_t length);

/* Logs one line of the core's own, without a newline in FORMAT. Cuts a long line. */
void host_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the invocation with STATUS as a shell reports it: 128 + N for signal N. Before the ready
 * point it fails the boot, with the reason. */
_Noreturn void host_end(int status);

/* Keeps the first such text, which host_end() adds to the reason of a boot that fails: why the
 * program may have ended. */
void host_remark(const char *text);

/* Ends the invocation, or the boot, as aborted: the guest cannot go on, and FORMAT says why. */
_Noreturn void host_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Starts the program's monotonic clock, before anything asks for it. */
void host_clock_init(void);

/* The wall clock and the program's monotonic clock, in nanoseconds. The latter is the host's at boot
 * and goes on in each invocation from where it stood at the ready point, so it is not the clock of
 * the request's deadline. */
uint64_t host_wall_ns(void);
uint64_t host_monotonic_ns(void);

/* Asks the host for ticks from AFTER_NS on. The wish replaces the one before it. */
void host_want_ticks(uint64_t after_ns);

/* Asks for none. Costs less than the other: the host finds out when the next tick is due. */
void host_want_no_ticks(void);

/* Fills BUFFER with random bytes that differ in every invocation. */
void host_random(void *buffer, size_t length);

/* A number that differs in every invocation; 0 before the ready point. */
uint64_t host_generation(void);

#endif
