/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run: finds the cost of each figure, takes all samples interleaved, then the loads of many
 * clients, and weighs clones last, because hundreds of clones would disturb every other figure.
 */
#include "bench/bench.h"

#include <stdio.h>

#include "bench/base/pause.h"
#include "bench/function/idle_memory.h"
#include "bench/function/invoke_figures.h"
#include "bench/kvm/bare_exit.h"
#include "bench/limits/echo.h"
#include "bench/limits/host_limits.h"
#include "bench/load/many_clients.h"
#include "bench/peers/criu.h"
#include "bench/peers/qemu.h"
#include "bench/peers/server.h"
#include "bench/peers/spawn.h"
#include "bench/scale/scale.h"
#include "bench/schedule.h"
#include "bench/subjects.h"
#include "snapshot-format/base/clock.h"

#define WARM_UPS    20u
#define WARM_UP_NS  UINT64_C(200000000)	  /* at most this long */
#define HEAVY_NS    UINT64_C(10000000000) /* the part of the run that a heavy figure may take */
#define HEAVY_LEAST 5u
/* The least number of clones that are idle at one time. Under KVM also the most: making one takes
 * a hundred times as long there. */
#define CLONES_LEAST 32u

struct engine_source {
	struct thaw_measurer *measurer;
	enum thaw_measurement what;
	struct thaw_samples stages[THAW_STAGES];
};

struct run {
	const struct thaw_bench_config *config;
	struct thaw_bench_result *result;
	struct thaw_subjects subjects;
	struct engine_source cold, disk, memory, pool, recycled;
	struct thaw_bench_source sources[THAW_SCHEDULE_SOURCES];
	enum thaw_figure figures[THAW_SCHEDULE_SOURCES]; /* the figure that each source fills */
	size_t source_count;
};

static int measure_engine(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct engine_source *source = context;
	struct thaw_measured measured;

	if (thaw_measurer_ask(source->measurer, source->what, 0, &measured, err))
		return -1;
	*ns = measured.value;
	for (unsigned i = 0; i < THAW_STAGES; i++)
		if (measured.stage_ns[i] &&
		    thaw_samples_add(&source->stages[i], measured.stage_ns[i], err))
			return -1;
	return 0;
}

static void forget_stages(struct engine_source *source)
{
	for (unsigned i = 0; i < THAW_STAGES; i++)
		thaw_samples_finish(&source->stages[i]);
}

/* Reports progress to the caller; the caller's wish to end the run is an error. */
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

/* Takes the source's first samples, which are discarded, and finds the cost of one, including the
 * work that it leaves behind. */
static int warm_up(const struct run *run, const struct thaw_bench_source *source, uint64_t *cost_ns,
		   struct thaw_error *err)
{
	uint64_t first = thaw_monotonic_ns(), begun = first, unused;

	for (unsigned i = 0; i < WARM_UPS && (i < 2 || begun - first < WARM_UP_NS); i++) {
		thaw_bench_pause(run->result->pace_ns);
		begun = thaw_monotonic_ns();
		if (source->measure(source->context, &unused, err))
			return -1;
		*cost_ns = thaw_monotonic_ns() - begun;
	}
	return 0;
}

enum source_kind {
	LIGHT = 0, /* takes the requested samples, however long that is */
	HEAVY = 1, /* takes what fits in its time */
	MAY_FAIL = 2,
	BETWEEN = 4, /* one sample at a time, after the turns of the other sources */
};

static int add_source(struct run *run, unsigned figure, int kind,
		      int (*measure)(void *context, uint64_t *ns, struct thaw_error *err),
		      void *context, struct thaw_error *err)
{
	struct thaw_bench_source source = {run->result->figures[figure].name, measure, context};
	struct thaw_error reason = THAW_ERROR_INIT;
	size_t runs = run->config->runs;
	uint64_t cost_ns = 0;

	if (say(run, "warming up", run->source_count, THAW_FIGURE_COUNT, err))
		return -1;
	if (warm_up(run, &source, &cost_ns, &reason)) {
		if (!(kind & MAY_FAIL))
			return thaw_fail(err, reason.kind, "%s: %s", source.name, reason.message);
		thaw_bench_note(run->config, "%s is absent: %s", source.name, reason.message);
		return 0;
	}
	source.target =
		kind & HEAVY ? thaw_schedule_target(runs, cost_ns, HEAVY_NS, HEAVY_LEAST) : runs;
	source.between = kind & BETWEEN;
	run->figures[run->source_count] = (enum thaw_figure)figure;
	run->sources[run->source_count++] = source;
	return 0;
}

static bool is_kvm(const struct run *run)
{
	return run->subjects.first.backend == THAW_BACKEND_KVM ||
	       run->subjects.first.backend == THAW_BACKEND_KVM_GENERIC;
}

static int add_engine_sources(struct run *run, struct thaw_error *err)
{
	struct thaw_subjects *subjects = &run->subjects;
	/* Where machines are made ahead, an order gets one of them. */
	enum thaw_figure ordered = is_kvm(run) ? THAW_FIGURE_shell : THAW_FIGURE_memory;

	run->cold = (struct engine_source){subjects->opener, THAW_MEASURE_COLD};
	run->disk = (struct engine_source){subjects->opener, THAW_MEASURE_DISK};
	run->memory = (struct engine_source){subjects->standing, THAW_MEASURE_MEMORY};
	run->pool = (struct engine_source){subjects->standing, THAW_MEASURE_POOL};
	run->recycled = (struct engine_source){subjects->standing, THAW_MEASURE_RECYCLED};
	if (subjects->program_fd >= 0 &&
	    add_source(run, THAW_FIGURE_cold, HEAVY | MAY_FAIL, measure_engine, &run->cold, err))
		return -1;
	if (add_source(run, THAW_FIGURE_disk, HEAVY, measure_engine, &run->disk, err) ||
	    add_source(run, ordered, HEAVY, measure_engine, &run->memory, err) ||
	    add_source(run, THAW_FIGURE_pool, LIGHT, measure_engine, &run->pool, err) ||
	    add_source(run, THAW_FIGURE_recycled, HEAVY | MAY_FAIL, measure_engine, &run->recycled,
		       err))
		return -1;
	forget_stages(&run->cold);
	forget_stages(&run->disk);
	forget_stages(&run->recycled);
	return 0;
}

static int add_limits(struct run *run, struct thaw_error *err)
{
	struct thaw_subjects *subjects = &run->subjects;

	if (add_source(run, THAW_FIGURE_echo, LIGHT, thaw_echo_measure, subjects->echo, err) ||
	    add_source(run, THAW_FIGURE_echo_between, BETWEEN, thaw_echo_measure, subjects->echo,
		       err) ||
	    add_source(run, THAW_FIGURE_hand_over, HEAVY, thaw_echo_measure, subjects->hand_over,
		       err) ||
	    add_source(run, THAW_FIGURE_fault, HEAVY | MAY_FAIL, thaw_page_fault_measure, NULL,
		       err))
		return -1;
	if (subjects->lean && add_source(run, THAW_FIGURE_clone, HEAVY | MAY_FAIL,
					 thaw_lean_measure, subjects->lean, err))
		return -1;
	if (subjects->cat && add_source(run, THAW_FIGURE_cat, HEAVY | MAY_FAIL, thaw_spawn_measure,
					subjects->cat, err))
		return -1;
	if (!subjects->kvm)
		return 0;
	return add_source(run, THAW_FIGURE_kvm_exit, HEAVY | MAY_FAIL, thaw_kvm_exit_measure,
			  subjects->kvm, err) ||
			       add_source(run, THAW_FIGURE_kvm_vm, HEAVY | MAY_FAIL,
					  thaw_kvm_create_vm_measure, NULL, err) ||
			       add_source(run, THAW_FIGURE_kvm_vcpu, HEAVY | MAY_FAIL,
					  thaw_kvm_create_vcpu_measure, NULL, err)
		       ? -1
		       : 0;
}

static int add_peers(struct run *run, struct thaw_error *err)
{
	struct thaw_subjects *subjects = &run->subjects;

	if (subjects->peers.spawn && add_source(run, THAW_FIGURE_spawn, HEAVY | MAY_FAIL,
						thaw_spawn_measure, subjects->peers.spawn, err))
		return -1;
	if (subjects->peers.prefork &&
	    add_source(run, THAW_FIGURE_prefork, HEAVY | MAY_FAIL, thaw_server_measure,
		       subjects->peers.prefork, err))
		return -1;
	if (subjects->peers.wasm && add_source(run, THAW_FIGURE_wasm, HEAVY | MAY_FAIL,
					       thaw_server_measure, subjects->peers.wasm, err))
		return -1;
	if (subjects->peers.qemu && add_source(run, THAW_FIGURE_qemu, HEAVY | MAY_FAIL,
					       thaw_qemu_measure, subjects->peers.qemu, err))
		return -1;
	if (subjects->peers.criu && add_source(run, THAW_FIGURE_criu, HEAVY | MAY_FAIL,
					       thaw_criu_measure, subjects->peers.criu, err))
		return -1;
	for (size_t i = 0; i < run->config->peer_count; i++) {
		unsigned index = THAW_FIGURE_COUNT + (unsigned)i;
		struct thaw_bench_figure *figure = &run->result->figures[index];

		snprintf(figure->name, sizeof(figure->name), "peer.%s", run->config->peers[i].name);
		snprintf(figure->text, sizeof(figure->text), "%s", run->config->peers[i].command);
		if (subjects->peers.named[i] &&
		    add_source(run, index, HEAVY | MAY_FAIL, thaw_spawn_measure,
			       subjects->peers.named[i], err))
			return -1;
	}
	return 0;
}

static int add_sources(struct run *run, struct thaw_error *err)
{
	struct thaw_subjects *subjects = &run->subjects;

	if (add_engine_sources(run, err) || add_limits(run, err))
		return -1;
	if (subjects->invoke) {
		if (add_source(run, THAW_FIGURE_invoke, LIGHT, thaw_invoke_measure,
			       subjects->invoke, err) ||
		    add_source(run, THAW_FIGURE_invoke_between, BETWEEN, thaw_invoke_measure_untold,
			       subjects->invoke, err))
			return -1;
		thaw_invoke_forget(subjects->invoke);
	}
	return add_peers(run, err);
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
		thaw_figure_take(&run->result->figures[run->figures[i]], &run->sources[i].samples);
	return 0;
}

static void take_stages(struct run *run)
{
	struct thaw_bench_figure *figures = run->result->figures;
	struct thaw_bench_figure *answer = &figures[THAW_FIGURE_disk_answer];

	thaw_figure_take(&figures[THAW_FIGURE_cold_create], &run->cold.stages[THAW_STAGE_CREATE]);
	thaw_figure_take(&figures[THAW_FIGURE_cold_load], &run->cold.stages[THAW_STAGE_LOAD]);
	thaw_figure_take(&figures[THAW_FIGURE_cold_boot], &run->cold.stages[THAW_STAGE_BOOT]);
	thaw_figure_take(&figures[THAW_FIGURE_disk_create], &run->disk.stages[THAW_STAGE_CREATE]);
	thaw_figure_take(&figures[THAW_FIGURE_disk_load], &run->disk.stages[THAW_STAGE_LOAD]);
	thaw_figure_take(&figures[THAW_FIGURE_cold_answer], &run->cold.stages[THAW_STAGE_ANSWER]);
	thaw_figure_take(answer, &run->disk.stages[THAW_STAGE_ANSWER]);
	/* Where machines are made ahead, only an image that was just loaded has none: thaw.memory
	 * is the answer stage of thaw.disk. */
	if (is_kvm(run)) {
		figures[THAW_FIGURE_memory].values = answer->values;
		figures[THAW_FIGURE_memory].distribution = answer->distribution;
		figures[THAW_FIGURE_memory].spread = answer->spread;
	}
	thaw_figure_take(&figures[THAW_FIGURE_recycle], &run->recycled.stages[THAW_STAGE_RECYCLE]);
}

static int say_loads(void *context, size_t done, size_t total, struct thaw_error *err)
{
	return say(context, "many clients", done, total, err);
}

static int take_loads(struct run *run, struct thaw_error *err)
{
	const struct thaw_many many = {
		.config = run->config,
		.echo = run->subjects.echo,
		.hand_over = run->subjects.hand_over,
		.invoke = run->subjects.invoke,
		.prefork = run->subjects.peers.prefork,
		.wasm = run->subjects.peers.wasm,
		.result = run->result,
		.progress = say_loads,
		.context = run,
	};
	struct thaw_error reason = THAW_ERROR_INIT;

	if (!thaw_many_run(&many, &reason))
		return 0;
	/* An interruption ends the run. A server that gives up under load costs its figures
	 * only. */
	if (say(run, "many clients", 0, 0, err))
		return -1;
	thaw_bench_note(run->config, "figures of many clients are absent: %s", reason.message);
	return 0;
}

/* A short run makes do with few clones. */
static unsigned clones_of(const struct run *run)
{
	size_t runs = run->config->runs;

	if (is_kvm(run) || runs < CLONES_LEAST)
		return CLONES_LEAST;
	return runs < THAW_BENCH_CLONES ? (unsigned)runs : THAW_BENCH_CLONES;
}

static int weigh_clones(struct run *run, struct thaw_error *err)
{
	struct thaw_bench_figure *figures = run->result->figures;
	struct thaw_idle_memory memory = {0};
	struct thaw_error reason = THAW_ERROR_INIT;

	if (say(run, "weighing idle clones", 0, 0, err))
		return -1;
	if (thaw_idle_memory_take(run->subjects.standing, clones_of(run), &memory, &reason))
		thaw_bench_note(run->config, "memory.idle-clone is incomplete: %s", reason.message);
	if (memory.disturbed)
		thaw_bench_note(
			run->config,
			"memory.idle-clone: %u rounds left out, in which memory use went down",
			memory.disturbed);
	thaw_figure_take(&figures[THAW_FIGURE_idle], &memory.system);
	thaw_figure_take(&figures[THAW_FIGURE_idle_rss], &memory.private);
	thaw_figure_take(&figures[THAW_FIGURE_active], &memory.active);
	thaw_idle_memory_finish(&memory);
	return 0;
}

/* Takes the stages of the invocations as the worker reported them, and notes how they got their
 * instances: an empty pool makes it a different measurement. */
static void tell_invocations(const struct run *run)
{
	struct thaw_invoke_told *told;

	if (!run->subjects.invoke)
		return;
	told = thaw_invoke_tell(run->subjects.invoke);
	thaw_figure_take(&run->result->figures[THAW_FIGURE_worker], &told->worker);
	thaw_figure_take(&run->result->figures[THAW_FIGURE_run], &told->run);
	if (told->own_daemon)
		thaw_bench_note(run->config,
				"invoke: no daemon serves %s, so a temporary one served it",
				run->config->name);
	if (told->made)
		thaw_bench_note(run->config,
				"invoke: %llu of %llu found no fresh instance and had one made",
				(unsigned long long)told->made,
				(unsigned long long)(told->made + told->pool));
}

static int say_growth(void *context, const char *what, size_t done, size_t total,
		      struct thaw_error *err)
{
	return say(context, what, done, total, err);
}

static int take_growth(struct run *run, struct thaw_error *err)
{
	const struct thaw_scale scale = {.config = run->config,
					 .function = &run->subjects.function,
					 .result = run->result,
					 .is_kvm = is_kvm(run),
					 .progress = say_growth,
					 .context = run};

	return thaw_scale_run(&scale, err);
}

static int measure_all(struct run *run, struct thaw_error *err)
{
	struct thaw_bench_result *result = run->result;

	result->response_bytes = run->subjects.first.response_length;
	snprintf(result->host.backend, sizeof(result->host.backend), "%s",
		 thaw_backend_name(run->subjects.first.backend));
	if (add_sources(run, err) || take_samples(run, err))
		return -1;
	take_stages(run);
	tell_invocations(run);
	if (take_loads(run, err) || weigh_clones(run, err))
		return -1;
	return run->config->scale ? take_growth(run, err) : 0;
}

/* ---- Notes, progress and noise ---- */

/* The context of the note callback, which keeps notes for the reports and hands them on. */
struct noted {
	struct thaw_bench_result *result;
	const struct thaw_bench_config *config;
};

static void keep_note(void *context, const char *text)
{
	const struct noted *noted = context;
	struct thaw_bench_result *result = noted->result;

	if (result->note_count < THAW_BENCH_NOTES_MAX)
		snprintf(result->notes[result->note_count++], sizeof(result->notes[0]), "%s", text);
	if (noted->config->note)
		noted->config->note(noted->config->context, text);
}

static int hand_on_progress(void *context, const char *stage, size_t done, size_t total)
{
	const struct noted *noted = context;

	return noted->config->progress
		       ? noted->config->progress(noted->config->context, stage, done, total)
		       : 0;
}

/* Steal and load tell a reader whether other work disturbed the run. */
static int measure_noise(struct run *run, struct thaw_error *err)
{
	uint64_t all, stolen, all_after, stolen_after;
	int failed;

	thaw_bench_host_time(&all, &stolen);
	failed = measure_all(run, err);
	thaw_bench_host_time(&all_after, &stolen_after);
	run->result->load_after = thaw_bench_host_load();
	if (all_after > all && stolen_after >= stolen)
		run->result->steal = (double)(stolen_after - stolen) / (double)(all_after - all);
	return failed;
}

static void finish_samples(struct run *run)
{
	for (size_t i = 0; i < run->source_count; i++)
		thaw_samples_finish(&run->sources[i].samples);
	forget_stages(&run->cold);
	forget_stages(&run->disk);
	forget_stages(&run->memory);
	forget_stages(&run->pool);
	forget_stages(&run->recycled);
}

int thaw_bench_run(const struct thaw_bench_config *wanted, struct thaw_bench_result *result,
		   struct thaw_error *err)
{
	struct noted noted = {result, wanted};
	struct thaw_bench_config config = *wanted;
	struct run run = {.config = &config, .result = result};
	int failed;

	thaw_assert(config.runs >= 1 && config.runs <= THAW_BENCH_RUNS_MAX && config.clients >= 1 &&
		    config.clients <= THAW_BENCH_CLIENTS_MAX &&
		    config.peer_count <= THAW_BENCH_PEERS_MAX);
	config.context = &noted;
	config.progress = hand_on_progress;
	config.note = keep_note;
	*result = (struct thaw_bench_result){
		.runs = config.runs,
		.closed_loop = config.closed_loop,
		.pace_ns = config.closed_loop ? 0 : THAW_BENCH_PACE_NS,
		.clients = config.clients,
		.request_bytes = config.request_length,
	};
	thaw_figures_init(result->figures, config.clients);
	snprintf(result->function, sizeof(result->function), "%s", config.name);
	thaw_bench_host_read(&result->host);
	for (size_t i = 0; i < config.note_count; i++)
		thaw_bench_note(&config, "%s", config.notes[i]);
	if (say(&run, "starting", 0, 0, err) || thaw_subjects_open(&config, &run.subjects, err))
		return -1;
	failed = measure_noise(&run, err);
	thaw_subjects_close(&run.subjects);
	finish_samples(&run);
	return failed;
}
