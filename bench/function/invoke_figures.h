/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invoke: the whole trip of a client: libthaw, the function's socket, the worker, a fresh
 * instance, and back. Uses the daemon that serves the function; where there is none, starts one
 * for the run.
 */
#ifndef THAW_BENCH_INVOKE_FIGURES_H
#define THAW_BENCH_INVOKE_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/base/samples.h"
#include "snapshot-format/base/error.h"

struct thaw_invoke;

struct thaw_invoke_config {
	const char *run_dir; /* where a daemon may serve */
	const char *thawd;   /* started when none does */
	const char *name;
	int image_fd;
	const void *request; /* outlives the struct thaw_invoke */
	size_t request_length;
};

/* Connects, and returns after the first answer. */
int thaw_invoke_open(const struct thaw_invoke_config *config, struct thaw_invoke **out,
		     struct thaw_error *err);
void thaw_invoke_close(struct thaw_invoke *invoke); /* NULL is fine; ends its own daemon */

/* One invocation, as a source of the schedule; INVOKE is a struct thaw_invoke. An invocation that
 * does not run is an error. */
int thaw_invoke_measure(void *invoke, uint64_t *ns, struct thaw_error *err);
/* The same, left out of thaw_invoke_tell(). */
int thaw_invoke_measure_untold(void *invoke, uint64_t *ns, struct thaw_error *err);

/* One more connection, for a client of bench/load/load.h; INVOKE is a struct thaw_invoke. */
int thaw_invoke_client_open(void *invoke, unsigned index, void **client, struct thaw_error *err);
int thaw_invoke_client_call(void *client, struct thaw_error *err);
void thaw_invoke_client_close(void *client);

/* Facts about the invocations other than their time. */
struct thaw_invoke_told {
	bool own_daemon;
	uint64_t pool, made; /* how many got an instance from the pool, and how many one made for
			        them */
	/* In ns, as the worker reports them. RUN: from the hand-over to the guest until it is
	 * done. WORKER: from the complete request until the answer is made. */
	struct thaw_samples run, worker;
};
/* Owned by INVOKE; the caller may read it and take percentiles, which sorts the samples. */
struct thaw_invoke_told *thaw_invoke_tell(struct thaw_invoke *invoke);
/* Discards the facts so far: they were a warm-up. */
void thaw_invoke_forget(struct thaw_invoke *invoke);

#endif
