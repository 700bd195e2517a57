/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients: the same loads on the function, the bare echo, the echo with a hand-over and the
 * peers that are servers, in turns. Fills the figures of many clients and of the open loop, the
 * rates, and their series against the number of clients.
 */
#ifndef THAW_BENCH_MANY_H
#define THAW_BENCH_MANY_H

#include "bench/base/config.h"
#include "bench/base/result.h"

struct thaw_echo;
struct thaw_invoke;
struct thaw_server;

struct thaw_many {
	const struct thaw_bench_config *config;
	struct thaw_echo *echo, *hand_over; /* with thaw_bench_clients_most() connections each */
	struct thaw_invoke *invoke;	    /* NULL: absent; the same for the servers below */
	struct thaw_server *prefork, *wasm;
	struct thaw_bench_result *result; /* has limit.clone and peer.wasm already */
	/* Called before each load with the loads done and their total; a negative return ends the
	 * run. */
	int (*progress)(void *context, size_t done, size_t total, struct thaw_error *err);
	void *context;
};

int thaw_many_run(const struct thaw_many *many, struct thaw_error *err);

/* The bound for a fresh clone per request, in answers per second: 1 / (1 / HAND_OVER + CLONE_NS /
 * CORES). */
double thaw_many_limit(double hand_over, double clone_ns, unsigned cores);

#endif
