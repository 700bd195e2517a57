/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.unix-echo: what a request must cost on this host when nothing is done for it. Another
 * process takes a request of the function's size from an AF_UNIX SOCK_SEQPACKET socket and sends an
 * answer of the function's size back, with blocking recv and send on both sides: a warm, shared,
 * bare server.
 */
#ifndef THAW_BENCH_ECHO_H
#define THAW_BENCH_ECHO_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/error.h"

struct thaw_echo;

/* Starts the server process. Lengths of 0 travel as one byte, since an empty message cannot be told
 * from the end. Call from a single-threaded process. */
int thaw_echo_start(size_t request_length, size_t response_length, struct thaw_echo **out,
		    struct thaw_error *err);
void thaw_echo_stop(struct thaw_echo *echo); /* NULL is fine; the process is gone when it returns */

/* One round trip of ECHO (a struct thaw_echo), as a source of the schedule. */
int thaw_echo_measure(void *echo, uint64_t *ns, struct thaw_error *err);

#endif
