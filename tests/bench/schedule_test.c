/* SPDX-License-Identifier: Apache-2.0 */
/* Interleaving: every source gets all its samples, spread over the whole run. */
#include <criterion/criterion.h>
#include <string.h>

#include "bench/schedule.h"

struct trace {
	char order[4096];
	size_t length, fail_at;
};

struct traced {
	struct trace *trace;
	char letter;
};

static int take(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct traced *traced = context;
	struct trace *trace = traced->trace;

	if (trace->fail_at && trace->length + 1 == trace->fail_at)
		return thaw_fail(err, THAW_ERR_ENGINE, "broke");
	trace->order[trace->length++] = traced->letter;
	*ns = trace->length;
	return 0;
}

static int run_two(struct trace *trace, size_t often, size_t seldom, uint64_t pace_ns,
		   struct thaw_bench_source sources[2], struct thaw_error *err)
{
	static struct traced traced[2];
	struct thaw_schedule schedule = {.sources = sources, .source_count = 2, .pace_ns = pace_ns};

	traced[0] = (struct traced){trace, 'a'};
	traced[1] = (struct traced){trace, 'b'};
	sources[0] = (struct thaw_bench_source){"a", take, &traced[0], often};
	sources[1] = (struct thaw_bench_source){"b", take, &traced[1], seldom};
	return thaw_schedule_run(&schedule, err);
}

static void finish_two(struct thaw_bench_source sources[2])
{
	thaw_samples_finish(&sources[0].samples);
	thaw_samples_finish(&sources[1].samples);
}

static size_t count_letter(const struct trace *trace, size_t until, char letter)
{
	size_t count = 0;

	for (size_t i = 0; i < until; i++)
		count += trace->order[i] == letter;
	return count;
}

Test(schedule, all_samples_are_taken_and_spread)
{
	struct trace trace = {0};
	struct thaw_bench_source sources[2];

	cr_assert_eq(run_two(&trace, 1000, 10, 1, sources, NULL), 0);
	cr_assert_eq(sources[0].samples.count, 1000);
	cr_assert_eq(sources[1].samples.count, 10);
	/* One sample in five rounds, throughout. */
	for (size_t part = 1; part <= 10; part++)
		cr_assert_eq(count_letter(&trace, part * 101, 'b'), part);
	finish_two(sources);
}

Test(schedule, paced_sources_take_short_turns_in_changing_order)
{
	struct trace trace = {0};
	struct thaw_bench_source sources[2];
	size_t turn = THAW_BENCH_TURN, a_first = 0;

	cr_assert_eq(run_two(&trace, 100 * turn, 100 * turn, 1, sources, NULL), 0);
	for (size_t round = 0; round < 100; round++) {
		size_t first = count_letter(&trace, round * 2 * turn + turn, 'a') - round * turn;

		cr_assert_eq(count_letter(&trace, (round + 1) * 2 * turn, 'a'), (round + 1) * turn);
		cr_assert(first == 0 || first == turn);
		a_first += first == turn;
	}
	cr_assert(a_first > 25 && a_first < 75, "%zu of 100 rounds began with a", a_first);
	finish_two(sources);
}

Test(schedule, sources_between_others_come_one_at_a_time)
{
	static struct traced traced[4];
	struct thaw_bench_source sources[4] = {{"a"}, {"x"}, {"b"}, {"y"}};
	struct thaw_schedule schedule = {.sources = sources, .source_count = 4, .pace_ns = 1};
	struct trace trace = {0};
	size_t x_first = 0, y_first = 0;

	for (unsigned i = 0; i < 4; i++) {
		traced[i] = (struct traced){&trace, sources[i].name[0]};
		sources[i].measure = take;
		sources[i].context = &traced[i];
		sources[i].target = i % 2 ? 100 : 50 * THAW_BENCH_TURN;
		sources[i].between = i % 2;
	}
	cr_assert_eq(thaw_schedule_run(&schedule, NULL), 0);
	/* A hundred turns, and one sample of each after every turn. */
	for (size_t turn = 0; turn < 100; turn++) {
		const char *after = trace.order + turn * (THAW_BENCH_TURN + 2) + THAW_BENCH_TURN;

		x_first += strncmp(after, "xy", 2) == 0;
		y_first += strncmp(after, "yx", 2) == 0;
	}
	cr_assert_eq(x_first + y_first, 100);
	cr_assert(x_first >= 25 && y_first >= 25);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(sources[i].samples.count, sources[i].target);
		thaw_samples_finish(&sources[i].samples);
	}
}

Test(schedule, back_to_back_sources_take_bursts)
{
	struct trace trace = {0};
	struct thaw_bench_source sources[2];
	size_t changes = 0;

	cr_assert_eq(run_two(&trace, 1000, 1000, 0, sources, NULL), 0);
	for (size_t i = 1; i < trace.length; i++)
		changes += trace.order[i] != trace.order[i - 1];
	cr_assert(changes >= THAW_BENCH_BURST_ROUNDS && changes < 2 * THAW_BENCH_BURST_ROUNDS);
	finish_two(sources);
}

Test(schedule, a_failure_ends_the_run_and_names_the_figure)
{
	struct trace trace = {.fail_at = 7};
	struct thaw_bench_source sources[2];
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_lt(run_two(&trace, 50, 50, 1, sources, &err), 0);
	cr_assert_eq(trace.length, 6);
	cr_assert_eq(err.kind, THAW_ERR_ENGINE);
	cr_assert(!strcmp(err.message, "a: broke") || !strcmp(err.message, "b: broke"));
	finish_two(sources);
}

static int stop_at_once(void *context, size_t done, size_t total)
{
	(void)context;
	cr_assert_leq(done, total);
	return -1;
}

Test(schedule, the_caller_can_end_a_run)
{
	struct trace trace = {0};
	struct traced traced = {&trace, 'a'};
	struct thaw_bench_source source = {"a", take, &traced, 1000};
	struct thaw_schedule schedule = {
		.sources = &source, .source_count = 1, .progress = stop_at_once};
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_lt(thaw_schedule_run(&schedule, &err), 0);
	cr_assert(strstr(err.message, "interrupted"));
	cr_assert_lt(trace.length, 1000);
	thaw_samples_finish(&source.samples);
}

Test(schedule, heavy_sources_get_what_fits)
{
	cr_assert_eq(thaw_schedule_target(1000, 1000, 10000000, 5), 1000); /* all fit */
	cr_assert_eq(thaw_schedule_target(1000, 100000, 10000000, 5), 100);
	cr_assert_eq(thaw_schedule_target(1000, 9000000, 10000000, 5), 5); /* never below LEAST */
	cr_assert_eq(thaw_schedule_target(3, 9000000, 10000000, 5), 3);	   /* nor above RUNS */
	cr_assert_eq(thaw_schedule_target(1000, 0, 10000000, 5), 1000);
}
