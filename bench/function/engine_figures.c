/* SPDX-License-Identifier: Apache-2.0 */
/* Cold and resumed starts, timed around the engine's public interface. */
#include "bench/function/engine_figures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bench/base/pause.h"
#include "engine/jail/jail.h"
#include "snapshot-format/base/clock.h"

#define BOOT_TIMEOUT_NS UINT64_C(120000000000)
#define READY_WAIT_NS	UINT64_C(10000000000)
#define READY_POLL_NS	20000u
#define SPARE_INSTANCES                                                                            \
	8u /* beside the idle clones: one ready, one under measurement, and those that are ending */

struct thaw_engine_figures {
	const struct thaw_bench_function *function;
	struct thaw_image_file *image;
	const struct thaw_image_meta *meta; /* of IMAGE */
	struct thaw_engine *standing;	/* for MEMORY, POOL and the clones; opened at first use */
	struct thaw_instance *prepared; /* for POOL: ordered as soon as the previous one was used */
	struct thaw_instance *recycled; /* for RECYCLED: it has run, and is fresh again */
	struct thaw_instance *clones[THAW_BENCH_CLONES_MAX + THAW_BENCH_CLONES_BASE];
	size_t clone_count;
	int kvm_fd;			/* or -errno */
	enum thaw_backend_kind backend; /* AUTO until the first engine has chosen one */
};

static int open_engine(struct thaw_engine_figures *figures, struct thaw_engine **out,
		       struct thaw_error *err)
{
	unsigned clones = figures->function->clones_max;
	const int proc_fd = fcntl(THAW_JAIL_PROC_FD, F_GETFD) >= 0 ? THAW_JAIL_PROC_FD : -1;
	/* The backend that a worker would choose, whatever backend the image was booted on.
	 * Finding out that the other one does not work here is no part of a start, so the choice
	 * is kept. */
	const struct thaw_engine_config config = {
		.backend = figures->backend,
		.max_instances = (clones ? clones + THAW_BENCH_CLONES_BASE : THAW_BENCH_CLONES) +
				 SPARE_INSTANCES,
		.kvm_fd = &figures->kvm_fd,
		.proc_fd = &proc_fd};

	if (thaw_engine_open(&config, out, err))
		return -1;
	figures->backend = thaw_engine_backend(*out);
	return 0;
}

static void count_response(void *context, const void *bytes, size_t length)
{
	uint64_t *total = context;

	(void)bytes;
	*total += length;
}

static int drop_log(void *context, const char *line, size_t length)
{
	(void)context;
	(void)line;
	(void)length;
	return 0;
}

/* Runs INSTANCE once. The caller takes the time. */
static int run_once(const struct thaw_engine_figures *figures, struct thaw_instance *instance,
		    struct thaw_measured *out, struct thaw_error *err)
{
	const struct thaw_bench_function *function = figures->function;
	uint64_t timeout_ns = figures->meta->timeout_ns;
	struct thaw_run run = {
		.request = function->request,
		.request_length = function->request_length,
		.deadline_ns = timeout_ns ? thaw_monotonic_ns() + timeout_ns : 0,
		.response_max = THAW_BENCH_RESPONSE_MAX,
		.context = &out->response_length,
		.respond = count_response,
		.log = drop_log,
	};
	struct thaw_outcome outcome;

	out->response_length = 0;
	thaw_instance_run(instance, &run, &outcome);
	out->exit_code = outcome.exit_code;
	if (outcome.kind != THAW_OUTCOME_finished)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s did not answer the request: %s (%s)",
				 function->name, thaw_outcome_name(outcome.kind), outcome.message);
	return 0;
}

/* From an engine with its memory loaded to the first response. */
static int first_response(const struct thaw_engine_figures *figures, struct thaw_engine *engine,
			  struct thaw_measured *out, uint64_t start, struct thaw_error *err)
{
	struct thaw_instance *instance;
	int failed;

	if (thaw_instance_create(engine, &instance, err))
		return -1;
	failed = run_once(figures, instance, out, err);
	out->value = thaw_monotonic_ns() - start;
	thaw_instance_destroy(instance);
	return failed;
}

/* When a boot reached which point. */
struct boot_times {
	uint64_t running_ns, ready_ns;
};

static void note_stage(void *context, enum thaw_boot_stage stage, uint64_t done, uint64_t total)
{
	struct boot_times *times = context;

	(void)done;
	(void)total;
	if (stage == THAW_BOOT_RUN && !times->running_ns)
		times->running_ns = thaw_monotonic_ns();
	if (stage == THAW_BOOT_WARM && !times->ready_ns)
		times->ready_ns = thaw_monotonic_ns();
}

static int boot(const struct thaw_engine_figures *figures, struct thaw_engine *engine,
		struct boot_times *times, struct thaw_error *err)
{
	const struct thaw_image_meta *meta = figures->meta;
	struct thaw_boot_config config = {
		.name = figures->function->name,
		.program = meta->program,
		.program_fd = figures->function->program_fd,
		.args = meta->args,
		.env = meta->env,
		.memory_size = meta->memory_size,
		.timeout_ns = meta->timeout_ns,
		.boot_timeout_ns = BOOT_TIMEOUT_NS,
		.cpu_level = meta->cpu_level,
		.context = times,
		.progress = note_stage,
	};

	return thaw_engine_boot(engine, &config, err);
}

/* COLD boots and DISK loads; the rest is the same. */
static int take_whole(struct thaw_engine_figures *figures, enum thaw_measurement what,
		      struct thaw_measured *out, struct thaw_error *err)
{
	struct thaw_engine *engine = NULL;
	struct boot_times times = {0};
	uint64_t start = thaw_monotonic_ns(), opened;
	int failed = open_engine(figures, &engine, err);

	if (failed)
		return failed;
	opened = thaw_monotonic_ns();
	failed = what == THAW_MEASURE_COLD
			 ? boot(figures, engine, &times, err)
			 : thaw_engine_load(engine, figures->function->image_fd, err);
	if (!times.ready_ns)
		times.running_ns = times.ready_ns = thaw_monotonic_ns();
	if (!failed)
		failed = thaw_engine_start(engine, err);
	if (!failed)
		failed = first_response(figures, engine, out, start, err);
	out->stage_ns[THAW_STAGE_CREATE] = opened - start;
	out->stage_ns[THAW_STAGE_LOAD] = times.running_ns - opened;
	out->stage_ns[THAW_STAGE_BOOT] = times.ready_ns - times.running_ns;
	out->stage_ns[THAW_STAGE_ANSWER] = start + out->value - times.ready_ns;
	out->backend = thaw_engine_backend(engine);
	thaw_engine_close(engine);
	return failed;
}

static int open_standing(struct thaw_engine_figures *figures, struct thaw_error *err)
{
	struct thaw_engine *engine;

	if (figures->standing)
		return 0;
	if (open_engine(figures, &engine, err))
		return -1;
	if (thaw_engine_load(engine, figures->function->image_fd, err) ||
	    thaw_engine_start(engine, err) || thaw_engine_await_loaded(engine, err)) {
		thaw_engine_close(engine);
		return -1;
	}
	figures->standing = engine;
	return 0;
}

static int wait_ready(const struct thaw_instance *instance, struct thaw_error *err)
{
	uint64_t limit = thaw_monotonic_ns() + READY_WAIT_NS;

	while (!thaw_instance_ready(instance)) {
		if (thaw_monotonic_ns() > limit)
			return thaw_fail(err, THAW_ERR_ENGINE,
					 "an instance was not ready after %u seconds",
					 (unsigned)(READY_WAIT_NS / 1000000000u));
		thaw_bench_pause(READY_POLL_NS);
	}
	return 0;
}

static int take_pool(struct thaw_engine_figures *figures, struct thaw_measured *out,
		     struct thaw_error *err)
{
	struct thaw_instance *instance;
	uint64_t start;
	int failed;

	if (!figures->prepared && thaw_instance_create(figures->standing, &figures->prepared, err))
		return -1;
	if (wait_ready(figures->prepared, err))
		return -1;
	instance = figures->prepared;
	figures->prepared = NULL;
	start = thaw_monotonic_ns();
	failed = run_once(figures, instance, out, err);
	out->value = thaw_monotonic_ns() - start;
	thaw_instance_destroy(instance);
	/* The engine makes the next instance while the caller pauses. */
	if (!failed)
		failed = thaw_instance_create(figures->standing, &figures->prepared, err);
	return failed;
}

#define RECYCLE_ATTEMPTS 10u

/* Makes an instance that has run and is fresh again. On a busy machine a clone may be slow to
 * come to rest, and a slow clone is not recycled. */
static int make_recycled(struct thaw_engine_figures *figures, struct thaw_measured *out,
			 struct thaw_error *err)
{
	for (unsigned i = 0; i < RECYCLE_ATTEMPTS; i++) {
		struct thaw_instance *instance;
		int failed;

		if (thaw_instance_create(figures->standing, &instance, err))
			return -1;
		failed = run_once(figures, instance, out, err);
		if (!failed && thaw_instance_recycle(instance)) {
			figures->recycled = instance;
			return 0;
		}
		thaw_instance_destroy(instance);
		if (failed)
			return -1;
	}
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "this backend makes new instances and recycles none");
}

/* Runs the recycled instance and recycles it. If that is refused, the next sample makes
 * another. */
static int take_recycled(struct thaw_engine_figures *figures, struct thaw_measured *out,
			 struct thaw_error *err)
{
	struct thaw_instance *instance;
	uint64_t start, answered;

	if (!figures->recycled && make_recycled(figures, out, err))
		return -1;
	instance = figures->recycled;
	figures->recycled = NULL;
	start = thaw_monotonic_ns();
	if (run_once(figures, instance, out, err)) {
		thaw_instance_destroy(instance);
		return -1;
	}
	answered = thaw_monotonic_ns();
	out->value = answered - start;
	if (!thaw_instance_recycle(instance)) {
		thaw_instance_destroy(instance);
		return 0;
	}
	out->stage_ns[THAW_STAGE_RECYCLE] = thaw_monotonic_ns() - answered;
	figures->recycled = instance;
	return 0;
}

static void drop_clones(struct thaw_engine_figures *figures)
{
	while (figures->clone_count)
		thaw_instance_destroy(figures->clones[--figures->clone_count]);
}

static int add_clones(struct thaw_engine_figures *figures, uint64_t count, struct thaw_error *err)
{
	uint64_t limit = thaw_monotonic_ns() + READY_WAIT_NS;
	size_t end = figures->clone_count + count;

	thaw_assert(end <= sizeof(figures->clones) / sizeof(figures->clones[0]));
	while (figures->clone_count < end) {
		struct thaw_error reason = THAW_ERROR_INIT;

		if (!thaw_instance_create(figures->standing, &figures->clones[figures->clone_count],
					  &reason)) {
			figures->clone_count++;
			continue;
		}
		/* Clones that were dropped before may still be ending. */
		if (thaw_monotonic_ns() > limit)
			return thaw_fail(err, reason.kind, "%s", reason.message);
		thaw_bench_pause(READY_POLL_NS);
	}
	for (size_t i = end - count; i < end; i++)
		if (wait_ready(figures->clones[i], err))
			return -1;
	return 0;
}

static int run_clones(struct thaw_engine_figures *figures, struct thaw_measured *out,
		      struct thaw_error *err)
{
	for (size_t i = 0; i < figures->clone_count; i++)
		if (run_once(figures, figures->clones[i], out, err))
			return -1;
	return 0;
}

int thaw_engine_figures_take(struct thaw_engine_figures *figures, enum thaw_measurement what,
			     uint64_t argument, struct thaw_measured *out, struct thaw_error *err)
{
	*out = (struct thaw_measured){0};
	if (what == THAW_MEASURE_COLD || what == THAW_MEASURE_DISK)
		return take_whole(figures, what, out, err);
	if (open_standing(figures, err))
		return -1;
	out->backend = thaw_engine_backend(figures->standing);
	switch (what) {
	case THAW_MEASURE_MEMORY:
		return first_response(figures, figures->standing, out, thaw_monotonic_ns(), err);
	case THAW_MEASURE_POOL:
		return take_pool(figures, out, err);
	case THAW_MEASURE_RECYCLED:
		return take_recycled(figures, out, err);
	case THAW_MEASURE_CLONES_MAKE:
	case THAW_MEASURE_CLONES_MORE:
		if (what == THAW_MEASURE_CLONES_MAKE)
			drop_clones(figures);
		out->value = thaw_monotonic_ns();
		if (add_clones(figures, argument, err))
			return -1;
		out->value = thaw_monotonic_ns() - out->value;
		return 0;
	case THAW_MEASURE_CLONES_RUN:
		return run_clones(figures, out, err);
	case THAW_MEASURE_CLONES_DROP:
		drop_clones(figures);
		return 0;
	case THAW_MEASURE_COLD:
	case THAW_MEASURE_DISK:
		break;
	}
	return thaw_fail(err, THAW_ERR_USAGE, "no measurement has number %d", (int)what);
}

int thaw_engine_figures_describe(const struct thaw_engine_figures *figures,
				 struct thaw_bench_program *out, struct thaw_error *err)
{
	const struct thaw_image_meta *meta = figures->meta;
	size_t used = 0;

	*out = (struct thaw_bench_program){0};
	if (strlen(meta->program) >= sizeof(out->path))
		return thaw_fail(err, THAW_ERR_IMAGE, "the path of its program is too long");
	strcpy(out->path, meta->program);
	for (char **arg = meta->args; *arg; arg++) {
		size_t length = strlen(*arg) + 1;

		if (out->arg_count == THAW_BENCH_ARGS_MAX || length > sizeof(out->args) - used)
			return thaw_fail(err, THAW_ERR_IMAGE, "its program has too many arguments");
		memcpy(out->args + used, *arg, length);
		used += length;
		out->arg_count++;
	}
	return 0;
}

int thaw_engine_figures_open(const struct thaw_bench_function *function, int kvm_fd,
			     struct thaw_engine_figures **out, struct thaw_error *err)
{
	struct thaw_engine_figures *figures = calloc(1, sizeof(*figures));

	if (!figures)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot prepare the figures");
	figures->function = function;
	figures->kvm_fd = kvm_fd;
	if (thaw_image_open(function->image_fd, &figures->image, err)) {
		free(figures);
		return -1;
	}
	figures->meta = thaw_image_meta(figures->image);
	*out = figures;
	return 0;
}

void thaw_engine_figures_close(struct thaw_engine_figures *figures)
{
	if (!figures)
		return;
	drop_clones(figures);
	thaw_instance_destroy(figures->prepared);
	thaw_instance_destroy(figures->recycled);
	if (figures->standing)
		thaw_engine_close(figures->standing);
	thaw_image_close(figures->image);
	free(figures);
}
