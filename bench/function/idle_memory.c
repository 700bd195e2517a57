/* SPDX-License-Identifier: Apache-2.0 */
/* Weighs idle clones. */
#include "bench/function/idle_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench/base/measured_host.h"
#include "bench/base/pause.h"
#include "bench/function/process_memory.h"
#include "snapshot-format/base/cleanup.h"

/* Exited processes return their page tables and stacks some grace periods later; the more
 * processes, the longer it takes. */
static uint64_t settle_ns(unsigned clones)
{
	return 50000000u + (uint64_t)clones * 400000u;
}

/* Each processor counts for itself, and the totals lag behind; reading this file, where it is
 * allowed, brings them up to date. */
static void refresh_counters(void)
{
	thaw_autoclose int fd = open("/proc/sys/vm/stat_refresh", O_RDONLY | O_CLOEXEC);
	char byte;

	/* A failed read costs a few KiB of exactness. */
	if (fd >= 0 && read(fd, &byte, 1) < 0)
		return;
}

static int read_used(uint64_t *bytes, struct thaw_error *err)
{
	thaw_autoclose int fd = -1;
	char text[8192];
	ssize_t got;

	refresh_counters();
	fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read /proc/meminfo");
	text[got] = '\0';
	if (thaw_memory_used(text, bytes))
		return thaw_fail(err, THAW_ERR_FAILURE, "/proc/meminfo lacks a line");
	return 0;
}

static int ask(struct thaw_measurer *measurer, enum thaw_measurement what, uint64_t argument,
	       uint64_t *value, struct thaw_error *err)
{
	struct thaw_measured measured;

	if (thaw_measurer_ask(measurer, what, argument, &measured, err))
		return -1;
	*value = measured.value;
	return 0;
}

/* The clones are the measurer's children; so is the zygote that forks them, which leads their
 * process group. */
static int weigh_each(const struct thaw_measurer *measurer, struct thaw_samples *private,
		      struct thaw_error *err)
{
	static pid_t children[THAW_BENCH_CLONES_MAX + THAW_BENCH_CLONES_BASE + 64];
	size_t count;
	uint64_t bytes;

	if (thaw_process_children(thaw_measurer_pid(measurer), children,
				  sizeof(children) / sizeof(children[0]), &count, err))
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (getpgid(children[i]) == children[i])
			continue;
		if (thaw_process_private_bytes(children[i], &bytes, err) ||
		    thaw_samples_add(private, bytes, err))
			return -1;
	}
	return 0;
}

static int weigh_all(struct thaw_measurer *measurer, unsigned clones, struct thaw_idle_memory *out,
		     struct thaw_error *err)
{
	uint64_t before, after, answered, unused;

	thaw_bench_pause(settle_ns(clones));
	if (read_used(&before, err) ||
	    ask(measurer, THAW_MEASURE_CLONES_MAKE, clones, &unused, err) || read_used(&after, err))
		return -1;
	/* Once is enough: all clones are alike. */
	if (!out->private.count && weigh_each(measurer, &out->private, err))
		return -1;
	if (ask(measurer, THAW_MEASURE_CLONES_RUN, 0, &unused, err) || read_used(&answered, err) ||
	    ask(measurer, THAW_MEASURE_CLONES_DROP, 0, &unused, err))
		return -1;
	if (after <= before || answered <= before) {
		out->disturbed++;
		return 0;
	}
	return thaw_samples_add(&out->system, (after - before) / clones, err) ||
			       thaw_samples_add(&out->active, (answered - before) / clones, err)
		       ? -1
		       : 0;
}

static int weigh_more(struct thaw_measurer *measurer, unsigned base, unsigned clones,
		      uint64_t *bytes, uint64_t *ready_ns, struct thaw_samples *private,
		      struct thaw_error *err)
{
	uint64_t before, after, unused;

	if (ask(measurer, THAW_MEASURE_CLONES_MAKE, base, &unused, err))
		return -1;
	thaw_bench_pause(settle_ns(clones + base));
	if (read_used(&before, err) ||
	    ask(measurer, THAW_MEASURE_CLONES_MORE, clones, ready_ns, err) ||
	    read_used(&after, err) || (private && weigh_each(measurer, private, err)))
		return -1;
	*bytes = after > before ? (after - before) / clones : 0;
	return 0;
}

int thaw_idle_memory_weigh(const struct thaw_bench_function *function, unsigned base,
			   unsigned clones, uint64_t *bytes, uint64_t *ready_ns,
			   struct thaw_samples *private, struct thaw_error *err)
{
	struct thaw_measurer *measurer;
	int failed;

	if (thaw_measurer_start(function, &measurer, err))
		return -1;
	failed = weigh_more(measurer, base, clones, bytes, ready_ns, private, err);
	thaw_measurer_stop(measurer);
	return failed;
}

int thaw_idle_memory_take(struct thaw_measurer *measurer, unsigned clones,
			  struct thaw_idle_memory *out, struct thaw_error *err)
{
	uint64_t unused;

	/* One round without weighing: the engine's own tables for that many instances are no cost
	 * of a clone. */
	if (ask(measurer, THAW_MEASURE_CLONES_MAKE, clones, &unused, err) ||
	    ask(measurer, THAW_MEASURE_CLONES_DROP, 0, &unused, err))
		return -1;
	for (unsigned i = 0;
	     i < THAW_IDLE_MEMORY_ATTEMPTS && out->system.count < THAW_IDLE_MEMORY_ROUNDS; i++)
		if (weigh_all(measurer, clones, out, err))
			return -1;
	return 0;
}

void thaw_idle_memory_finish(struct thaw_idle_memory *memory)
{
	thaw_samples_finish(&memory->system);
	thaw_samples_finish(&memory->private);
	thaw_samples_finish(&memory->active);
}
