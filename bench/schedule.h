/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interleaving. All figures of a run are measured through each other, so that a neighbour's burst,
 * a change of clock speed or a warm-up of the machine hits all of them alike and their ratios stay
 * true.
 *
 * The run has rounds; after round r each source has r/rounds of its samples. Paced, the rounds are
 * as many as the most frequent source has samples, so that sources take turns and a pause comes
 * before each sample. Back to back, the rounds are few and each source takes its share of a round
 * in one burst.
 */
#ifndef THAW_BENCH_SCHEDULE_H
#define THAW_BENCH_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "bench/samples.h"
#include "snapshot-format/error.h"

#define THAW_BENCH_RUNS_MAX	10000000u /* samples of one figure */
#define THAW_BENCH_BURST_ROUNDS 10u

/* One thing that is measured. */
struct thaw_bench_source {
	const char *name; /* of the figure */
	int (*measure)(void *context, uint64_t *ns, struct thaw_error *err);
	void *context;
	size_t target; /* samples to take, at most THAW_BENCH_RUNS_MAX */
	struct thaw_samples samples;
};

/* How many samples a source has after round ROUND (counted from 0) of ROUNDS. */
size_t thaw_schedule_due(size_t target, size_t round, size_t rounds);

/* How many samples a source whose sample takes COST_NS gets: RUNS, or what fits in BUDGET_NS, but
 * never below LEAST (or RUNS, where that is less). */
size_t thaw_schedule_target(size_t runs, uint64_t cost_ns, uint64_t budget_ns, size_t least);

struct thaw_schedule {
	struct thaw_bench_source *sources;
	size_t source_count; /* at most THAW_SCHEDULE_SOURCES */
	uint64_t pace_ns;    /* before each sample; 0 back to back */
	void *context;
	/* Called now and then with samples taken and in all; a negative return ends the run with an
	 * error. NULL is fine. */
	int (*progress)(void *context, size_t done, size_t total);
};
#define THAW_SCHEDULE_SOURCES 48u

/* Takes all samples. A source that fails ends the run, and the message names its figure. */
int thaw_schedule_run(const struct thaw_schedule *schedule, struct thaw_error *err);

#endif
