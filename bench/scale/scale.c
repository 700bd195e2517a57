/* SPDX-License-Identifier: Apache-2.0 */
/* The series that show growth. */
#include "bench/scale/scale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/base/pause.h"
#include "bench/function/idle_memory.h"
#include "engine/jail/jail.h"
#include "snapshot-format/base/cleanup.h"

#define MIB		((uint64_t)1 << 20)
#define MEMORY_SPARE	(64 * MIB) /* beside the ballast */
#define BOOT_TIMEOUT_NS UINT64_C(600000000000)
#define TIMEOUT_NS	UINT64_C(60000000000)
#define IMAGE_SAMPLES	61u
#define PAGE_SAMPLES	21u
#define COLD_ROUNDS	4u
#define PACE_NS		2000000u
#define ROUNDS_FEW	9u /* of weighing up to FEW clones, where other processes are noticeable */
#define ROUNDS_MANY	3u
#define FEW		100u
#define PAGES_MIB	64u /* size of the image for the series of pages */

static const unsigned clone_counts[] = {1, 10, 100, 1000, 5000};
static const unsigned image_mib[] = {1, 4, 16, 64, 256, 1024};
static const unsigned page_counts[] = {1, 3, 10, 30, 100, 300, 1000, 3000, 10000};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The ends of the lists under KVM. */
#define KVM_CLONES_MAX	100u
#define KVM_CLONES_BASE 4u
#define KVM_MIB_MAX	64u
#define KVM_PAGES_MAX	3000u

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
	/* In memory: the measurement reads it through the page cache anyway. */
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
		/* The child has run a guest: its message need not end where it should. */
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

/* With fewer clones, other activity on the machine is as large as they are. */
#define WEIGHED_LEAST 10u

struct clone_samples {
	struct thaw_samples ready, memory, private;
};

static int weigh(const struct thaw_scale *scale, unsigned clones, struct clone_samples *out,
		 struct thaw_error *err)
{
	uint64_t weight, ready_ns;
	/* Once is enough: the sum is exact. Under KVM clones are not processes. */
	bool each = !out->private.count && !scale->is_kvm;
	unsigned base = scale->is_kvm ? KVM_CLONES_BASE : THAW_BENCH_CLONES_BASE;

	if (thaw_idle_memory_weigh(scale->function, base, clones, &weight, &ready_ns,
				   each ? &out->private : NULL, err))
		return -1;
	return (weight && clones >= WEIGHED_LEAST && thaw_samples_add(&out->memory, weight, err)) ||
			       thaw_samples_add(&out->ready, ready_ns, err)
		       ? -1
		       : 0;
}

/* Takes one round over all counts. Returns how many of them worked. */
static size_t weigh_round(const struct thaw_scale *scale, unsigned round, size_t count,
			  struct clone_samples *samples)
{
	struct thaw_error reason = THAW_ERROR_INIT;

	for (size_t i = 0; i < count; i++) {
		if (clone_counts[i] > FEW && round % (ROUNDS_FEW / ROUNDS_MANY) != 0)
			continue;
		if (weigh(scale, clone_counts[i], &samples[i], &reason)) {
			thaw_bench_note(scale->config, "no more than %u clones: %s",
					i ? clone_counts[i - 1] : 0, reason.message);
			return i;
		}
	}
	return count;
}

static void add_median(struct thaw_bench_series *series, double x, struct thaw_samples *samples)
{
	struct thaw_percentiles found;

	thaw_samples_percentiles(samples, &found);
	thaw_bench_series_point(series, x, (double)found.p50);
	thaw_samples_finish(samples);
}

static struct thaw_bench_series *new_series(const struct thaw_scale *scale, const char *name,
					    const char *x, const char *unit)
{
	struct thaw_bench_series *series = thaw_bench_series_add(scale->result, name, x, unit);

	thaw_assert(series);
	return series;
}

static void fit(struct thaw_bench_series *series)
{
	thaw_fit(series->points, series->count, &series->fit);
}

static int by_clones(const struct thaw_scale *scale, struct thaw_error *err)
{
	struct thaw_bench_series *ready = new_series(scale, "instantiate.clones", "clones", "ns"),
				 *memory =
					 new_series(scale, "memory.idle-clone", "clones", "bytes"),
				 *private = new_series(scale, "memory.idle-clone.rss", "clones",
						       "bytes");
	struct clone_samples samples[COUNT(clone_counts)] = {0};
	size_t count = COUNT(clone_counts);
	int failed = 0;

	while (scale->is_kvm && clone_counts[count - 1] > KVM_CLONES_MAX)
		count--;
	for (unsigned round = 0; !failed && round < ROUNDS_FEW; round++) {
		failed = say(scale, "many clones", round, ROUNDS_FEW, err);
		if (!failed)
			count = weigh_round(scale, round, count, samples);
	}
	for (size_t i = 0; i < COUNT(clone_counts); i++) {
		add_median(ready, clone_counts[i], &samples[i].ready);
		add_median(memory, clone_counts[i], &samples[i].memory);
		add_median(private, clone_counts[i], &samples[i].private);
	}
	fit(ready);
	fit(memory);
	fit(private);
	return failed;
}

/* ---- By the size of the image, and by the pages written ---- */

/* Everything that one point is measured with. */
struct point {
	double x;
	char request[16];
	struct thaw_bench_function function;
	struct thaw_measurer *measurer;
	struct thaw_samples samples;
};
#define POINTS_MAX 16u

static int start_point(struct point *point, int image_fd, struct thaw_error *err)
{
	point->function = (struct thaw_bench_function){.name = "ballast",
						       .image_fd = image_fd,
						       .program_fd = -1,
						       .request = point->request,
						       .request_length = strlen(point->request)};
	return thaw_measurer_start(&point->function, &point->measurer, err);
}

/* The point that comes I-th in a round. Each point comes first in some rounds, and follows its
 * other neighbour in the next round, because the end of one measurement overlaps the start of the
 * next. */
static size_t turn(unsigned round, size_t i, size_t count)
{
	size_t at = (i + round / 2) % count;

	return round % 2 ? count - 1 - at : at;
}

/* Takes a sample of each point in turn, so that a neighbour's burst affects all of them alike. */
static int take_points(const struct thaw_scale *scale, const char *what,
		       enum thaw_measurement measurement, unsigned samples, struct point *points,
		       size_t count, struct thaw_error *err)
{
	struct thaw_measured measured;

	/* The first few rounds find everything cold and are discarded. */
	for (unsigned round = 0; round < samples + COLD_ROUNDS; round++) {
		if (say(scale, what, round, samples + COLD_ROUNDS, err))
			return -1;
		for (size_t i = 0; i < count; i++) {
			struct point *point = &points[turn(round, i, count)];

			thaw_bench_pause(PACE_NS);
			if (thaw_measurer_ask(point->measurer, measurement, 0, &measured, err) ||
			    (round >= COLD_ROUNDS &&
			     thaw_samples_add(&point->samples, measured.value, err)))
				return -1;
		}
	}
	return 0;
}

static void end_points(struct thaw_bench_series *series, struct point *points, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		thaw_measurer_stop(points[i].measurer);
		add_median(series, points[i].x, &points[i].samples);
	}
	fit(series);
}

static int freeze_ballast(const char *program, unsigned mib, struct thaw_error *err)
{
	char argument[16];

	snprintf(argument, sizeof(argument), "%u", mib);
	return thaw_scale_freeze(program, argument, mib * MIB + MEMORY_SPARE, err);
}

/* The measurer has its own descriptor of the file. */
static int start_image(const char *program, unsigned mib, struct point *point,
		       struct thaw_error *err)
{
	thaw_autoclose int image_fd = freeze_ballast(program, mib, err);

	point->x = (double)(mib * MIB);
	snprintf(point->request, sizeof(point->request), "0");
	return image_fd < 0 ? -1 : start_point(point, image_fd, err);
}

static int by_image(const struct thaw_scale *scale, const char *program, struct thaw_error *err)
{
	struct thaw_bench_series *series = new_series(scale, "instantiate.image", "bytes", "ns");
	struct thaw_error reason = THAW_ERROR_INIT;
	struct point points[POINTS_MAX] = {0};
	size_t count = 0;
	int failed = 0;

	for (; !failed && count < COUNT(image_mib); count++) {
		if (scale->is_kvm && image_mib[count] > KVM_MIB_MAX)
			break;
		failed = say(scale, "image sizes", count, COUNT(image_mib), err);
		if (!failed && start_image(program, image_mib[count], &points[count], &reason)) {
			thaw_bench_note(scale->config, "no image of %u MiB: %s", image_mib[count],
					reason.message);
			break;
		}
	}
	if (!failed && take_points(scale, "image sizes", THAW_MEASURE_MEMORY, IMAGE_SAMPLES, points,
				   count, err))
		failed = -1;
	end_points(series, points, count);
	return failed;
}

static int by_pages(const struct thaw_scale *scale, const char *program, struct thaw_error *err)
{
	struct thaw_bench_series *series = new_series(scale, "run.pages", "pages", "ns");
	struct thaw_error reason = THAW_ERROR_INIT;
	thaw_autoclose int image_fd = freeze_ballast(program, PAGES_MIB, &reason);
	struct point points[POINTS_MAX] = {0};
	size_t count = 0;
	int failed;

	for (; image_fd >= 0 && count < COUNT(page_counts); count++) {
		if (scale->is_kvm && page_counts[count] > KVM_PAGES_MAX)
			break;
		points[count].x = page_counts[count];
		snprintf(points[count].request, sizeof(points[count].request), "%u",
			 page_counts[count]);
		if (start_point(&points[count], image_fd, &reason))
			break;
	}
	if (*reason.message)
		thaw_bench_note(scale->config, "run.pages is incomplete: %s", reason.message);
	failed = take_points(scale, "pages written", THAW_MEASURE_POOL, PAGE_SAMPLES, points, count,
			     err);
	end_points(series, points, count);
	return failed;
}

int thaw_scale_run(const struct thaw_scale *scale, struct thaw_error *err)
{
	char program[4096];

	if (by_clones(scale, err))
		return -1;
	if (find_ballast(scale->config, program, sizeof(program))) {
		thaw_bench_note(scale->config, "growth with images and pages is absent: its guest "
					       "program is missing");
		return 0;
	}
	return by_image(scale, program, err) || by_pages(scale, program, err) ? -1 : 0;
}
