/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients at once, for a while. Closed loop: each sends its next request when it has its
 * answer. Open loop: requests arrive by themselves, at random with a given mean rate, whoever is
 * late; a request's time counts from its arrival, so that a stall is charged to all who waited for
 * its end and not only to the one who was in it.
 */
#ifndef THAW_BENCH_LOAD_H
#define THAW_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "bench/base/samples.h"

/* What is called. OPEN makes a client's own connection; CALL and CLOSE are the client's thread's.
 * OPEN is called for all clients, one after the other, before time begins. */
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

/* Parts of the time whose rates are told apart: at most so many, and none shorter than that, or a
 * rate would be whether an answer fell into it. */
#define THAW_LOAD_WINDOWS   10u
#define THAW_LOAD_WINDOW_NS 10000000u

/* Zeroed by the caller, added to by each run, freed by thaw_load_result_finish(). */
struct thaw_load_result {
	struct thaw_samples latency; /* ns, in the order of completion within a client */
	struct thaw_samples rates;   /* answers per second, one for each window of the time */
};

/* One failed call ends the run with its error. */
int thaw_load_run(const struct thaw_load_subject *target, const struct thaw_load *load,
		  struct thaw_load_result *result, struct thaw_error *err);
void thaw_load_result_finish(struct thaw_load_result *result);

/* When the next request arrives after one at AT_NS, of a stream of RATE a second; moves RANDOM on.
 * Gaps are exponential, so that arrivals know nothing of each other. */
uint64_t thaw_load_next_arrival(uint64_t at_ns, uint64_t rate, uint64_t *random);

#endif
