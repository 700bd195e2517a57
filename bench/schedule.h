/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interleaving. All figures of a run are measured through each other, so that a neighbour's burst,
 * a change of clock speed or a warm-up of the machine hits all of them alike and their ratios stay
 * true.
 *
 * The run has rounds; after round r each source has r/rounds of its samples, and took those of a
 * round in one turn. Paced, a turn is short, and a pause comes before each sample: what is measured
 * is what somebody gets who does that and nothing else, and not how cold the last figure, a
 * machine's start say, left the caches. Back to back, the rounds are few.
 *
 * How cold that is is to be known, too: sources that go between the others take one sample or so
 * after each turn of another's.
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

/* One thing that is measured. */
struct thaw_bench_source {
	const char *name; /* of the figure */
	int (*measure)(void *context, uint64_t *ns, struct thaw_error *err);
	void *context;
	size_t target; /* samples to take, at most THAW_BENCH_RUNS_MAX */
	bool between;  /* after the turns of others, which there must be */
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
