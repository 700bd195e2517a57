/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run: finds out what each figure costs, takes all samples interleaved, weighs idle clones last
 * (hundreds of them would be company for every other figure).
 */
#include "bench/bench.h"

#include <stdio.h>

#include "bench/clock.h"
#include "bench/echo.h"
#include "bench/idle_memory.h"
#include "bench/invoke_figures.h"
#include "bench/schedule.h"
#include "bench/spawn_peer.h"
#include "bench/subjects.h"

#define WARM_UPS    20u
#define WARM_UP_NS  UINT64_C(200000000)	  /* and no longer than that */
#define HEAVY_NS    UINT64_C(10000000000) /* what a heavy figure may take of the run */
#define HEAVY_LEAST 5u

struct engine_source {
	struct thaw_measurer *measurer;
	enum thaw_measurement what;
};

struct run {
	const struct thaw_bench_config *config;
	struct thaw_bench_result *result;
	struct thaw_subjects subjects;
	struct engine_source cold, disk, memory, pool;
	struct thaw_bench_source sources[THAW_SCHEDULE_SOURCES];
	enum thaw_figure figures[THAW_SCHEDULE_SOURCES]; /* which figure a source fills */
	size_t source_count;
};

static int measure_engine(void *context, uint64_t *ns, struct thaw_error *err)
{
	const struct engine_source *source = context;
	struct thaw_measured measured;

	if (thaw_measurer_ask(source->measurer, source->what, 0, &measured, err))
		return -1;
	*ns = measured.value;
	return 0;
}

/* What is going on, for the caller; its wish to end is an error. */
static int say(const struct run *run, const char *stage, size_t done, size_t total,
	       struct thaw_error *err)
{
	const struct thaw_bench_config *config = run->config;

	if (config->progress && config->progress(config->context, stage, done, total) < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "the benchmark was interrupted");
	return 0;
}

static int say_measuring(void *context, size_t done, size_t total)
{
	return say(context, "measuring", done, total, NULL);
}

/* Takes the source's first samples, which are thrown away, and finds what one costs, with all that
 * it leaves to clear away. */
static int warm_up(const struct run *run, const struct thaw_bench_source *source, uint64_t *cost_ns,
		   struct thaw_error *err)
{
	uint64_t first = thaw_bench_now(), begun = first, unused;

	for (unsigned i = 0; i < WARM_UPS && (i < 2 || begun - first < WARM_UP_NS); i++) {
		thaw_bench_pause(run->result->pace_ns);
		begun = thaw_bench_now();
		if (source->measure(source->context, &unused, err))
			return thaw_error_wrap(err, "%s", source->name);
		*cost_ns = thaw_bench_now() - begun;
	}
	return 0;
}

enum source_kind {
	LIGHT = 0, /* takes as many samples as were asked for, however long that is */
	HEAVY = 1, /* takes what fits in its time */
	MAY_FAIL = 2
};

static int add_source(struct run *run, enum thaw_figure figure, int kind,
		      int (*measure)(void *context, uint64_t *ns, struct thaw_error *err),
		      void *context, struct thaw_error *err)
{
	struct thaw_bench_source source = {thaw_figure_name(figure), measure, context};
	struct thaw_error reason = THAW_ERROR_INIT;
	size_t runs = run->config->runs;
	uint64_t cost_ns = 0;

	if (say(run, "warming up", run->source_count, THAW_FIGURE_COUNT, err))
		return -1;
	if (warm_up(run, &source, &cost_ns, &reason)) {
		if (!(kind & MAY_FAIL))
			return thaw_fail(err, reason.kind, "%s", reason.message);
		thaw_bench_note(run->config, "%s is absent: %s", source.name, reason.message);
		return 0;
	}
	source.target =
		kind & HEAVY ? thaw_schedule_target(runs, cost_ns, HEAVY_NS, HEAVY_LEAST) : runs;
	run->figures[run->source_count] = figure;
	run->sources[run->source_count++] = source;
	return 0;
}

static int add_sources(struct run *run, struct thaw_error *err)
{
	struct thaw_subjects *subjects = &run->subjects;

	run->cold = (struct engine_source){subjects->opener, THAW_MEASURE_COLD};
	run->disk = (struct engine_source){subjects->opener, THAW_MEASURE_DISK};
	run->memory = (struct engine_source){subjects->standing, THAW_MEASURE_MEMORY};
	run->pool = (struct engine_source){subjects->standing, THAW_MEASURE_POOL};
	if (subjects->program_fd >= 0 &&
	    add_source(run, THAW_FIGURE_cold, HEAVY | MAY_FAIL, measure_engine, &run->cold, err))
		return -1;
	if (add_source(run, THAW_FIGURE_disk, HEAVY, measure_engine, &run->disk, err) ||
	    add_source(run, THAW_FIGURE_memory, HEAVY, measure_engine, &run->memory, err) ||
	    add_source(run, THAW_FIGURE_pool, LIGHT, measure_engine, &run->pool, err) ||
	    add_source(run, THAW_FIGURE_echo, LIGHT, thaw_echo_measure, subjects->echo, err))
		return -1;
	if (subjects->invoke) {
		if (add_source(run, THAW_FIGURE_invoke, LIGHT, thaw_invoke_measure,
			       subjects->invoke, err))
			return -1;
		thaw_invoke_forget(subjects->invoke);
	}
	if (subjects->spawn && add_source(run, THAW_FIGURE_spawn, HEAVY | MAY_FAIL,
					  thaw_spawn_measure, subjects->spawn, err))
		return -1;
	return 0;
}

static int take_samples(struct run *run, struct thaw_error *err)
{
	struct thaw_schedule schedule = {
		.sources = run->sources,
		.source_count = run->source_count,
		.pace_ns = run->result->pace_ns,
		.context = run,
		.progress = say_measuring,
	};

	if (thaw_schedule_run(&schedule, err))
		return -1;
	for (size_t i = 0; i < run->source_count; i++)
		thaw_samples_percentiles(&run->sources[i].samples,
					 &run->result->figures[run->figures[i]]);
	return 0;
}

static int weigh_clones(struct run *run, struct thaw_error *err)
{
	struct thaw_percentiles *figures = run->result->figures;
	struct thaw_idle_memory memory = {0};
	struct thaw_error reason = THAW_ERROR_INIT;

	if (say(run, "weighing idle clones", 0, 0, err))
		return -1;
	if (thaw_idle_memory_take(run->subjects.standing, THAW_BENCH_CLONES, &memory, &reason))
		thaw_bench_note(run->config, "memory.idle-clone is incomplete: %s", reason.message);
	if (memory.disturbed)
		thaw_bench_note(
			run->config,
			"memory.idle-clone: %u rounds left out, others freed memory meanwhile",
			memory.disturbed);
	thaw_samples_percentiles(&memory.system, &figures[THAW_FIGURE_idle]);
	thaw_samples_percentiles(&memory.private, &figures[THAW_FIGURE_idle_rss]);
	thaw_idle_memory_finish(&memory);
	return 0;
}

/* The stages of the invocations, as their worker told them, and how they found their instances: a
 * pool that ran dry is a different measurement. */
static void tell_invocations(const struct run *run)
{
	struct thaw_invoke_told *told;

	if (!run->subjects.invoke)
		return;
	told = thaw_invoke_tell(run->subjects.invoke);
	thaw_samples_percentiles(&told->worker, &run->result->figures[THAW_FIGURE_worker]);
	thaw_samples_percentiles(&told->run, &run->result->figures[THAW_FIGURE_run]);
	if (told->own_daemon)
		thaw_bench_note(run->config, "invoke: no daemon serves %s, so a temporary one did",
				run->config->name);
	if (told->made)
		thaw_bench_note(run->config,
				"invoke: %llu of %llu found no fresh instance and had one made",
				(unsigned long long)told->made,
				(unsigned long long)(told->made + told->pool));
}

static int measure_all(struct run *run, struct thaw_error *err)
{
	struct thaw_bench_result *result = run->result;

	result->response_bytes = run->subjects.first.response_length;
	snprintf(result->host.backend, sizeof(result->host.backend), "%s",
		 thaw_backend_name(run->subjects.first.backend));
	if (add_sources(run, err) || take_samples(run, err) || weigh_clones(run, err))
		return -1;
	tell_invocations(run);
	return 0;
}

int thaw_bench_run(const struct thaw_bench_config *config, struct thaw_bench_result *out,
		   struct thaw_error *err)
{
	struct thaw_bench_result result = {
		.runs = config->runs,
		.closed_loop = config->closed_loop,
		.pace_ns = config->closed_loop ? 0 : THAW_BENCH_PACE_NS,
		.request_bytes = config->request_length,
	};
	struct run run = {.config = config, .result = &result};
	int failed;

	thaw_assert(config->runs >= 1 && config->runs <= THAW_BENCH_RUNS_MAX);
	snprintf(result.function, sizeof(result.function), "%s", config->name);
	thaw_bench_host_read(&result.host);
	if (say(&run, "starting", 0, 0, err) || thaw_subjects_open(config, &run.subjects, err))
		return -1;
	failed = measure_all(&run, err);
	thaw_subjects_close(&run.subjects);
	for (size_t i = 0; i < run.source_count; i++)
		thaw_samples_finish(&run.sources[i].samples);
	if (!failed)
		*out = result;
	return failed;
}
