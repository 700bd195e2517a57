/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interleaving: the figures of a run take turns, so that a neighbour's burst, a change of clock
 * speed or a warm-up of the machine affects all of them alike and their ratios stay true.
 *
 * The run has rounds. In each round every source takes one turn, after which it has its share of
 * its samples: r/rounds of them after round r. Paced, a turn is short and a pause comes before
 * each sample: the sample shows the cost to a caller who does that one thing and nothing else,
 * and not the caches that another figure left, such as the start of a machine. Back to back,
 * there are few rounds.
 *
 * The cost with such caches matters too: a source that goes between the others takes about one
 * sample after each turn of another source.
 */
#ifndef THAW_BENCH_SCHEDULE_H
#define THAW_BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/base/config.h"
#include "bench/base/samples.h"
#include "snapshot-format/base/error.h"

#define THAW_BENCH_TURN		20u /* samples of a turn, paced */
#define THAW_BENCH_BURST_ROUNDS 10u

/* One measured figure. */
struct thaw_bench_source {
	const char *name; /* of the figure */
	int (*measure)(void *context, uint64_t *ns, struct thaw_error *err);
	void *context;
	size_t target; /* samples to take, at most THAW_BENCH_RUNS_MAX */
	bool between;  /* takes samples after the turns of others, of which there must be some */
	struct thaw_samples samples;
};

/* The samples that a source has taken after round ROUND (counted from 0) of ROUNDS. */
size_t thaw_schedule_due(size_t target, size_t round, size_t rounds);

/* The samples that a source gets whose sample takes COST_NS: RUNS, or as many as fit in
 * BUDGET_NS, but at least LEAST (or RUNS, where that is less). */
size_t thaw_schedule_target(size_t runs, uint64_t cost_ns, uint64_t budget_ns, size_t least);

struct thaw_schedule {
	struct thaw_bench_source *sources;
	size_t source_count; /* at most THAW_SCHEDULE_SOURCES */
	uint64_t pace_ns;    /* pause before each sample; 0: back to back */
	void *context;
	/* Called from time to time with the samples taken and their total; a negative return ends
	 * the run with an error. May be NULL. */
	int (*progress)(void *context, size_t done, size_t total);
};
#define THAW_SCHEDULE_SOURCES 48u

/* Takes all samples. A failing source ends the run, and the message names its figure. */
int thaw_schedule_run(const struct thaw_schedule *schedule, struct thaw_error *err);

#endif
