/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients at once, for a limited time. Closed loop: each client sends its next request when
 * it has its answer. Open loop: requests arrive independently, at random with a given mean rate,
 * even when the server is late. A request's time counts from its arrival, so a stall is charged
 * to all requests that waited for its end and not only to the one that was being served.
 */
#ifndef THAW_BENCH_LOAD_H
#define THAW_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/base/samples.h"

/* The loaded server. OPEN makes a connection for one client; CALL and CLOSE run on the client's
 * thread. OPEN is called for all clients in turn before the load begins. */
struct thaw_load_subject {
	void *context;
	int (*open)(void *context, unsigned index, void **client, struct thaw_error *err);
	int (*call)(void *client, struct thaw_error *err);
	void (*close)(void *client);
};

struct thaw_load {
	unsigned clients; /* 1..THAW_BENCH_CLIENTS_MAX */
	uint64_t duration_ns;
	uint64_t rate; /* arrivals per second; 0: closed loop */
};

/* The time is divided into windows, each with its own rate: at most this many, and none shorter
 * than this, because the rate of a shorter window would only tell whether an answer fell into
 * it. */
#define THAW_LOAD_WINDOWS   10u
#define THAW_LOAD_WINDOW_NS 10000000u

/* The caller zeroes it; each run adds to it; thaw_load_result_finish() frees it. */
struct thaw_load_result {
	struct thaw_samples latency; /* ns, in the order of completion within a client */
	struct thaw_samples rates;   /* answers per second, one for each window of the time */
};

/* One failed call ends the run with its error. */
int thaw_load_run(const struct thaw_load_subject *target, const struct thaw_load *load,
		  struct thaw_load_result *result, struct thaw_error *err);
void thaw_load_result_finish(struct thaw_load_result *result);

/* The arrival after the one at AT_NS, in a stream of RATE a second; advances RANDOM. Gaps are
 * exponential, so arrivals are independent of each other. */
uint64_t thaw_load_next_arrival(uint64_t at_ns, uint64_t rate, uint64_t *random);

#endif
