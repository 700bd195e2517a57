/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.unix-echo: what a request must cost on this host when nothing is done for it. Another
 * process takes a request of the function's size from an AF_UNIX SOCK_SEQPACKET socket and sends an
 * answer of the function's size back, with blocking recv and send on both sides: a warm, shared,
 * bare server.
 */
#ifndef THAW_BENCH_ECHO_H
#define THAW_BENCH_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/base/config.h"
#include "snapshot-format/base/error.h"

struct thaw_echo;

struct thaw_echo_config {
	size_t request_length, response_length; /* 0 travels as one byte, since an empty message
						   cannot be told from the end */
	unsigned connections;			/* each served by a thread of the server's; at most
						   THAW_BENCH_CLIENTS_MAX */
	/* Each thread hands the request to a waiting process of its own, by a futex, and waits for
	 * it: what a fresh instance behind a socket costs if it costs nothing. */
	bool hand_over;
};

/* Starts the server process. Call from a single-threaded process. */
int thaw_echo_start(const struct thaw_echo_config *config, struct thaw_echo **out,
		    struct thaw_error *err);
void thaw_echo_stop(struct thaw_echo *echo); /* NULL is fine; the process is gone when it returns */

/* One round trip on the first connection of ECHO (a struct thaw_echo), as a source of the schedule.
 */
int thaw_echo_measure(void *echo, uint64_t *ns, struct thaw_error *err);

/* One round trip on connection INDEX; a connection is one thread's at a time. */
int thaw_echo_call(const struct thaw_echo *echo, unsigned index, struct thaw_error *err);

#endif
