/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A jailed child that takes the engine's figures as a worker would run them: in its own
 * namespaces, with an empty root and no privileges. The parent asks over a socket; the child
 * takes the time, so asking is not in it.
 *
 * A process has room for one engine, so a run has two measurers: one whose engine stays open
 * (memory, pool, clones) and one that opens an engine for each sample (cold, disk).
 */
#ifndef THAW_BENCH_MEASURER_H
#define THAW_BENCH_MEASURER_H

#include "bench/function/engine_figures.h"
#include "engine/jail/jail.h"

struct thaw_measurer;

/* Call from a single-threaded process. */
int thaw_measurer_start(const struct thaw_bench_function *function, struct thaw_measurer **out,
			struct thaw_error *err);
void thaw_measurer_stop(struct thaw_measurer *measurer); /* NULL is fine; waits for the child */

/* The image's description of its program, read in the jail and checked to be whole strings. */
int thaw_measurer_describe(struct thaw_measurer *measurer, struct thaw_bench_program *out,
			   struct thaw_error *err);

pid_t thaw_measurer_pid(const struct thaw_measurer *measurer);

int thaw_measurer_ask(struct thaw_measurer *measurer, enum thaw_measurement what, uint64_t argument,
		      struct thaw_measured *out, struct thaw_error *err);

#endif
