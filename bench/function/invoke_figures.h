/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invoke: the whole trip as a client sees it: libthaw, the function's socket, the worker, a fresh
 * instance, and back. The daemon that serves the function already is used; where there is none, the
 * benchmark starts its own for the time.
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
	const char *run_dir; /* where a daemon may live */
	const char *thawd;   /* what to start when none does */
	const char *name;
	int image_fd;
	const void *request; /* outlives what is opened */
	size_t request_length;
};

/* Connects, and returns when a first request has been answered. */
int thaw_invoke_open(const struct thaw_invoke_config *config, struct thaw_invoke **out,
		     struct thaw_error *err);
void thaw_invoke_close(struct thaw_invoke *invoke); /* NULL is fine; ends an own daemon */

/* One invocation, as a source of the schedule; INVOKE is a struct thaw_invoke. An invocation that
 * did not run is an error. */
int thaw_invoke_measure(void *invoke, uint64_t *ns, struct thaw_error *err);
/* The same, of which thaw_invoke_tell() tells nothing. */
int thaw_invoke_measure_untold(void *invoke, uint64_t *ns, struct thaw_error *err);

/* A connection of one's own, for a client of bench/load/load.h; INVOKE is a struct thaw_invoke. */
int thaw_invoke_client_open(void *invoke, unsigned index, void **client, struct thaw_error *err);
int thaw_invoke_client_call(void *client, struct thaw_error *err);
void thaw_invoke_client_close(void *client);

/* What is known of the invocations besides their time. */
struct thaw_invoke_told {
	bool own_daemon;
	uint64_t pool, made; /* how their instances were started */
	/* As the worker says, in ns: hand-over to the guest until it was done; request complete
	 * until the answer was made. */
	struct thaw_samples run, worker;
};
/* The invoke's own; for reading, and for percentiles. */
struct thaw_invoke_told *thaw_invoke_tell(struct thaw_invoke *invoke);
/* Forgets the invocations so far: they were a warm-up. */
void thaw_invoke_forget(struct thaw_invoke *invoke);

#endif
