/* SPDX-License-Identifier: Apache-2.0 */
/* Series of growth. */
#include "bench/scale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/clock.h"
#include "bench/idle_memory.h"
#include "bench/subjects.h"
#include "engine/jail.h"
#include "snapshot-format/cleanup.h"

#define MIB		((uint64_t)1 << 20)
#define MEMORY_SPARE	(64 * MIB) /* beside the ballast */
#define BOOT_TIMEOUT_NS UINT64_C(600000000000)
#define TIMEOUT_NS	UINT64_C(60000000000)
#define SAMPLES		41u
#define PACE_NS		2000000u
#define ROUNDS_FEW	9u /* of weighing up to so many clones, since others are heard there */
#define ROUNDS_MANY	3u
#define FEW		100u
#define PAGES_MIB	64u /* the image of the series of pages */

static const unsigned clone_counts[] = {1, 10, 30, 100, 300, 1000, 3000, 5000};
static const unsigned image_mib[] = {1, 4, 16, 64, 256, 1024};
static const unsigned page_counts[] = {1, 3, 10, 30, 100, 300, 1000, 3000, 10000};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Where each list ends under KVM. */
#define KVM_CLONES_MAX 100u
#define KVM_MIB_MAX    64u
#define KVM_PAGES_MAX  3000u

static int say(const struct thaw_scale *scale, const char *what, size_t done, size_t total,
	       struct thaw_error *err)
{
	return scale->progress ? scale->progress(scale->context, what, done, total, err) : 0;
}

/* ---- A guest of any size ---- */

static int boot_and_write(const char *program, int program_fd, const char *argument,
			  uint64_t memory, int image_fd, int kvm_fd, struct thaw_error *err)
{
	const struct thaw_engine_config config = {
		.backend = THAW_BACKEND_AUTO, .max_instances = 1, .kvm_fd = &kvm_fd};
	char name[] = "ballast", *size = strdup(argument);
	char *const args[] = {name, size, NULL}, *const env[] = {NULL};
	const struct thaw_boot_config boot = {
		.name = name,
		.program = program,
		.program_fd = program_fd,
		.args = args,
		.env = env,
		.memory_size = memory,
		.timeout_ns = TIMEOUT_NS,
		.boot_timeout_ns = BOOT_TIMEOUT_NS,
	};
	struct thaw_engine *engine;
	int failed;

	if (thaw_engine_open(&config, &engine, err))
		return -1;
	failed = thaw_engine_boot(engine, &boot, err) ||
		 thaw_engine_write(engine, image_fd, 0, NULL, NULL, NULL, err);
	thaw_engine_close(engine);
	free(size);
	return failed ? -1 : 0;
}

int thaw_scale_freeze(const char *program, const char *argument, uint64_t memory,
		      struct thaw_error *err)
{
	const struct thaw_jail_config jail = {
		.uid = THAW_JAIL_UID_BASE + (uid_t)getpid() % THAW_JAIL_UIDS, .max_fds = 256};
	thaw_autoclose int program_fd = open(program, O_RDONLY | O_CLOEXEC);
	/* Memory: what is measured reads it through the page cache anyway. */
	thaw_autoclose int image_fd = memfd_create("thaw-bench-image", MFD_CLOEXEC);
	struct thaw_jail_report report = {0};
	struct thaw_error *told;
	pid_t pid;
	int status = 1;

	if (program_fd < 0 || image_fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open %s", program);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot boot %s", program);
	*told = (struct thaw_error)THAW_ERROR_INIT;
	pid = thaw_jail_clone(&report, NULL, err);
	if (pid == 0) {
		int kvm_fd = thaw_kvm_device();

		_exit(thaw_jail_enter(&jail, &report, told) ||
		      boot_and_write(program, program_fd, argument, memory, image_fd, kvm_fd,
				     told));
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && status) {
		/* It has looked at a guest: what it says need not end where it should. */
		told->message[sizeof(told->message) - 1] = '\0';
		thaw_fail(err, THAW_ERR_FAILURE, "cannot boot %s %s: %s", program, argument,
			  *told->message ? told->message : "it was killed");
	}
	munmap(told, sizeof(*told));
	return pid > 0 && status == 0 ? thaw_take_fd(&image_fd) : -1;
}

static int find_ballast(const struct thaw_bench_config *config, char *out, size_t size)
{
	static const char *const places[] = {"../bench/scale/ballast",
					     "../libexec/thaw/scale/ballast"};

	for (size_t i = 0; i < COUNT(places); i++) {
		int length = snprintf(out, size, "%s/%s", config->executable_dir, places[i]);

		if (length > 0 && (size_t)length < size && access(out, R_OK) == 0)
			return 0;
	}
	return -1;
}

/* ---- By the number of clones ---- */

/* Below this, what else happens on the machine is as large as the clones. */
#define WEIGHED_LEAST 10u

struct clone_series {
	struct thaw_bench_series *ready, *memory, *private;
};

struct clone_samples {
	struct thaw_samples ready, memory, private;
};

static int weigh_round(const struct thaw_scale *scale, unsigned clones, struct clone_samples *out,
		       struct thaw_error *err)
{
	uint64_t weight, ready_ns;
	/* Once is enough: it is exact. Machines are no processes. */
	bool each = !out->private.count && !scale->is_kvm;

	if (thaw_idle_memory_weigh(scale->standing, clones, &weight, &ready_ns,
				   each ? &out->private : NULL, err))
		return -1;
	return (weight && thaw_samples_add(&out->memory, weight, err)) ||
			       thaw_samples_add(&out->ready, ready_ns / clones, err)
		       ? -1
		       : 0;
}

static void add_median(struct thaw_bench_series *series, unsigned x, struct thaw_samples *samples)
{
	struct thaw_percentiles found;

	thaw_samples_percentiles(samples, &found);
	thaw_bench_series_point(series, x, (double)found.p50);
	thaw_samples_finish(samples);
}

static int weigh(const struct thaw_scale *scale, unsigned clones, const struct clone_series *series,
		 struct thaw_error *err)
{
	struct clone_samples samples = {0};
	unsigned rounds = clones <= FEW ? ROUNDS_FEW : ROUNDS_MANY;
	int failed = 0;

	for (unsigned i = 0; !failed && i < rounds; i++)
		failed = weigh_round(scale, clones, &samples, err);
	if (clones < WEIGHED_LEAST)
		thaw_samples_finish(&samples.memory);
	add_median(series->ready, clones, &samples.ready);
	add_median(series->memory, clones, &samples.memory);
	add_median(series->private, clones, &samples.private);
	return failed;
}

static int by_clones(const struct thaw_scale *scale, struct thaw_error *err)
{
	struct clone_series series = {
		thaw_bench_series_add(scale->result, "instantiate.clones", "clones", "ns"),
		thaw_bench_series_add(scale->result, "memory.idle-clone", "clones", "bytes"),
		thaw_bench_series_add(scale->result, "memory.idle-clone.rss", "clones", "bytes")};
	struct thaw_error reason = THAW_ERROR_INIT;

	thaw_assert(series.ready && series.memory && series.private);
	for (size_t i = 0; i < COUNT(clone_counts); i++) {
		if (scale->is_kvm && clone_counts[i] > KVM_CLONES_MAX)
			break;
		if (say(scale, "many clones", i, COUNT(clone_counts), err))
			return -1;
		if (weigh(scale, clone_counts[i], &series, &reason)) {
			thaw_bench_note(scale->config, "no more than %u clones: %s",
					i ? clone_counts[i - 1] : 0, reason.message);
			break;
		}
	}
	thaw_fit(series.ready->points, series.ready->count, &series.ready->fit);
	thaw_fit(series.memory->points, series.memory->count, &series.memory->fit);
	thaw_fit(series.private->points, series.private->count, &series.private->fit);
	return 0;
}

/* ---- By the size of the image, and by the pages that are written ---- */

static int measure_median(int image_fd, enum thaw_measurement what, const char *request,
			  uint64_t *median, struct thaw_error *err)
{
	const struct thaw_bench_function function = {.name = "ballast",
						     .image_fd = image_fd,
						     .program_fd = -1,
						     .request = request,
						     .request_length = strlen(request)};
	struct thaw_samples samples = {0};
	struct thaw_percentiles found;
	struct thaw_measurer *measurer;
	struct thaw_measured measured;
	int failed = 0;

	if (thaw_measurer_start(&function, &measurer, err))
		return -1;
	/* The first few find everything cold and are not kept. */
	for (unsigned i = 0; !failed && i < SAMPLES + 4; i++) {
		thaw_bench_pause(PACE_NS);
		failed = thaw_measurer_ask(measurer, what, 0, &measured, err) ||
			 (i >= 4 && thaw_samples_add(&samples, measured.value, err));
	}
	thaw_measurer_stop(measurer);
	thaw_samples_percentiles(&samples, &found);
	thaw_samples_finish(&samples);
	*median = found.p50;
	return failed ? -1 : 0;
}

static int freeze_ballast(const char *program, unsigned mib, struct thaw_error *err)
{
	char argument[16];

	snprintf(argument, sizeof(argument), "%u", mib);
	return thaw_scale_freeze(program, argument, mib * MIB + MEMORY_SPARE, err);
}

static int measure_image(const char *program, unsigned mib, uint64_t *median,
			 struct thaw_error *err)
{
	thaw_autoclose int image_fd = freeze_ballast(program, mib, err);

	return image_fd < 0 ? -1 : measure_median(image_fd, THAW_MEASURE_MEMORY, "0", median, err);
}

static int by_image(const struct thaw_scale *scale, const char *program, struct thaw_error *err)
{
	struct thaw_bench_series *series =
		thaw_bench_series_add(scale->result, "instantiate.image", "bytes", "ns");
	struct thaw_error reason = THAW_ERROR_INIT;
	uint64_t median;

	thaw_assert(series);
	for (size_t i = 0; i < COUNT(image_mib); i++) {
		if (scale->is_kvm && image_mib[i] > KVM_MIB_MAX)
			break;
		if (say(scale, "image sizes", i, COUNT(image_mib), err))
			return -1;
		if (measure_image(program, image_mib[i], &median, &reason)) {
			thaw_bench_note(scale->config, "no image of %u MiB: %s", image_mib[i],
					reason.message);
			break;
		}
		thaw_bench_series_point(series, (double)(image_mib[i] * MIB), (double)median);
	}
	thaw_fit(series->points, series->count, &series->fit);
	return 0;
}

static int by_pages(const struct thaw_scale *scale, const char *program, struct thaw_error *err)
{
	struct thaw_bench_series *series =
		thaw_bench_series_add(scale->result, "run.pages", "pages", "ns");
	struct thaw_error reason = THAW_ERROR_INIT;
	thaw_autoclose int image_fd = freeze_ballast(program, PAGES_MIB, &reason);
	char request[16];
	uint64_t median;

	thaw_assert(series);
	for (size_t i = 0; image_fd >= 0 && i < COUNT(page_counts); i++) {
		if (scale->is_kvm && page_counts[i] > KVM_PAGES_MAX)
			break;
		if (say(scale, "pages written", i, COUNT(page_counts), err))
			return -1;
		snprintf(request, sizeof(request), "%u", page_counts[i]);
		if (measure_median(image_fd, THAW_MEASURE_POOL, request, &median, &reason))
			break;
		thaw_bench_series_point(series, page_counts[i], (double)median);
	}
	if (*reason.message)
		thaw_bench_note(scale->config, "run.pages is incomplete: %s", reason.message);
	thaw_fit(series->points, series->count, &series->fit);
	return 0;
}

int thaw_scale_run(const struct thaw_scale *scale, struct thaw_error *err)
{
	char program[4096];

	if (by_clones(scale, err))
		return -1;
	if (find_ballast(scale->config, program, sizeof(program))) {
		thaw_bench_note(scale->config, "growth with images and pages is absent: its guest "
					       "program is not there");
		return 0;
	}
	return by_image(scale, program, err) || by_pages(scale, program, err) ? -1 : 0;
}
