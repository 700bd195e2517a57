/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which a run's samples are taken. */
#include "bench/schedule.h"

#include "bench/base/pause.h"
#include "snapshot-format/base/clock.h"

struct run_state {
	const struct thaw_schedule *schedule;
	size_t done, total;
	uint32_t random;
	uint64_t next_report_ns;
};

#define REPORT_INTERVAL_NS 100000000u

size_t thaw_schedule_due(size_t target, size_t round, size_t rounds)
{
	thaw_assert(target <= THAW_BENCH_RUNS_MAX && rounds <= THAW_BENCH_RUNS_MAX &&
		    round < rounds);
	return (size_t)((uint64_t)target * (round + 1) / rounds);
}

size_t thaw_schedule_target(size_t runs, uint64_t cost_ns, uint64_t budget_ns, size_t least)
{
	uint64_t fits = budget_ns / (cost_ns ? cost_ns : 1);

	if (fits >= runs)
		return runs;
	if (fits >= least)
		return (size_t)fits;
	return least < runs ? least : runs;
}

static size_t choose_rounds(const struct thaw_schedule *schedule)
{
	size_t most = 0;

	for (size_t i = 0; i < schedule->source_count; i++)
		if (schedule->sources[i].target > most)
			most = schedule->sources[i].target;
	if (schedule->pace_ns)
		return (most + THAW_BENCH_TURN - 1) / THAW_BENCH_TURN;
	return most > THAW_BENCH_BURST_ROUNDS ? THAW_BENCH_BURST_ROUNDS : most;
}

/* A new order for each round: in a fixed order one figure would always find the caches as the
 * same other figure left them. The generator is simple and has a fixed seed, so two runs differ
 * only in the machine. */
static void shuffle(uint32_t *random, unsigned *order, unsigned count)
{
	for (unsigned i = count; i > 1; i--) {
		unsigned other, kept;

		*random = *random * 1664525u + 1013904223u;
		other = (unsigned)(((uint64_t)*random * i) >> 32);
		kept = order[i - 1];
		order[i - 1] = order[other];
		order[other] = kept;
	}
}

static int report(struct run_state *state, struct thaw_error *err)
{
	const struct thaw_schedule *schedule = state->schedule;
	uint64_t now = thaw_monotonic_ns();

	if (!schedule->progress || (now < state->next_report_ns && state->done < state->total))
		return 0;
	state->next_report_ns = now + REPORT_INTERVAL_NS;
	if (schedule->progress(schedule->context, state->done, state->total) < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "the benchmark was interrupted");
	return 0;
}

static int take_samples(struct run_state *state, struct thaw_bench_source *source, size_t until,
			struct thaw_error *err)
{
	uint64_t value;

	while (source->samples.count < until) {
		thaw_bench_pause(state->schedule->pace_ns);
		if (source->measure(source->context, &value, err))
			return thaw_error_wrap(err, "%s", source->name);
		if (thaw_samples_add(&source->samples, value, err))
			return -1;
		state->done++;
		if (report(state, err))
			return -1;
	}
	return 0;
}

/* Takes the samples that are due after turn TURN of the run's TURNS. */
static int take_between(struct run_state *state, size_t turn, size_t turns, struct thaw_error *err)
{
	const struct thaw_schedule *schedule = state->schedule;
	size_t count = schedule->source_count;

	/* The first place after a turn goes round among them. */
	for (size_t i = 0; i < count; i++) {
		struct thaw_bench_source *source = &schedule->sources[(i + turn) % count];

		if (source->between &&
		    take_samples(state, source, thaw_schedule_due(source->target, turn, turns),
				 err))
			return -1;
	}
	return 0;
}

/* Writes the indices of the sources that take turns to ORDER; returns how many there are. */
static unsigned turn_takers(const struct thaw_schedule *schedule, unsigned *order)
{
	unsigned count = 0;

	for (unsigned i = 0; i < schedule->source_count; i++)
		if (!schedule->sources[i].between)
			order[count++] = i;
	thaw_assert(count);
	return count;
}

int thaw_schedule_run(const struct thaw_schedule *schedule, struct thaw_error *err)
{
	struct run_state state = {.schedule = schedule, .random = 1};
	size_t rounds = choose_rounds(schedule);
	unsigned order[THAW_SCHEDULE_SOURCES], count;

	thaw_assert(schedule->source_count <= THAW_SCHEDULE_SOURCES);
	count = turn_takers(schedule, order);
	for (unsigned i = 0; i < schedule->source_count; i++)
		state.total += schedule->sources[i].target;
	for (size_t round = 0; round < rounds; round++) {
		shuffle(&state.random, order, count);
		for (unsigned i = 0; i < count; i++) {
			struct thaw_bench_source *source = &schedule->sources[order[i]];
			size_t due = thaw_schedule_due(source->target, round, rounds);

			if (take_samples(&state, source, due, err) ||
			    take_between(&state, round * count + i, rounds * count, err))
				return -1;
		}
	}
	return 0;
}
