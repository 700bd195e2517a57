/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients: the same loads on the function, the bare echo, the echo with a hand-over and the
 * pre-forked peer, in turns. Fills the figures of many clients and of the open loop, the rates, and
 * their series against the number of clients.
 */
#ifndef THAW_BENCH_MANY_H
#define THAW_BENCH_MANY_H

#include "bench/config.h"
#include "bench/result.h"

struct thaw_subjects;

#define THAW_MANY_CLIENTS_MOST 32u /* of the series; the config may have more for the figures */

struct thaw_many {
	const struct thaw_bench_config *config;
	const struct thaw_subjects *subjects;
	struct thaw_bench_result *result; /* its limit.clone is read */
	/* What has been done of the whole; negative ends it. */
	int (*progress)(void *context, size_t done, size_t total, struct thaw_error *err);
	void *context;
};

int thaw_many_run(const struct thaw_many *many, struct thaw_error *err);

/* The bound of a fresh clone for each request: 1 / (1 / HAND_OVER + CLONE_NS / CORES), in answers
 * per second. */
double thaw_many_limit(double hand_over, double clone_ns, unsigned cores);

#endif
