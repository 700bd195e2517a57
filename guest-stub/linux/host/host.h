/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invocation: the core's side of the eight hypercalls. Standard input is the request, standard
 * output the response, standard error the log, the exit code the status.
 */
#ifndef THAW_LINUX_HOST_H
#define THAW_LINUX_HOST_H

#include "guest-stub/linux/linux.h"

/* Whether the ready point is behind us. */
bool host_is_ready(void);

/* The ready point: waits for the request. Returns in each invocation. Idempotent. */
void host_ready(void);

/* The next bytes of the request, at most LENGTH; 0 at its end. Makes the guest ready first. */
long host_read(void *buffer, size_t length);

/* Bytes of the request that were not read yet. */
uint64_t host_unread(void);

/* Appends to the response. What is written before the ready point is kept (up to 64 KiB) and comes
 * first in every response. LENGTH or a negative errno. */
long host_write(const void *buffer, size_t length);

/* Standard error: whole lines go to the log, the rest waits for its end. Always takes all. */
void host_error(const void *buffer, size_t length);

/* One line of the core's own for the log. */
void host_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the invocation with STATUS (as a shell sees it, 128 + signal for a signal). Before the ready
 * point: the boot fails, with the reason. */
_Noreturn void host_end(int status);

/* The guest cannot go on. */
_Noreturn void host_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Nanoseconds; random bytes that differ in each invocation. */
uint64_t host_wall_ns(void);
uint64_t host_monotonic_ns(void);
void host_random(void *buffer, size_t length);

/* A number that changes with every invocation; 0 before the ready point. */
uint64_t host_generation(void);

#endif
