/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.unix-echo: what a request must cost on this host when no work is done for it. Another
 * process takes a request of the function's size from an AF_UNIX SOCK_SEQPACKET socket and sends
 * an answer of the function's size back, with blocking recv and send on both sides: a warm,
 * shared, bare server.
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
	size_t request_length, response_length; /* 0 travels as one byte: an empty message would
						   look like the end */
	unsigned connections;			/* at most THAW_BENCH_CLIENTS_MAX, each served by a
						   thread */
	/* limit.hand-over: each thread hands the request to a waiting process of its own, by a
	 * futex, and waits for it: the price of a fresh instance behind a socket if the instance
	 * cost nothing. */
	bool hand_over;
};

/* Starts the server process. Call from a single-threaded process. */
int thaw_echo_start(const struct thaw_echo_config *config, struct thaw_echo **out,
		    struct thaw_error *err);
void thaw_echo_stop(struct thaw_echo *echo); /* NULL is fine; waits for the process */

/* One round trip on the first connection, as a source of the schedule; ECHO is a struct
 * thaw_echo. */
int thaw_echo_measure(void *echo, uint64_t *ns, struct thaw_error *err);

/* One round trip on connection INDEX. Only one thread at a time may use a connection. */
int thaw_echo_call(const struct thaw_echo *echo, unsigned index, struct thaw_error *err);

#endif
