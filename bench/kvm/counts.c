/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the cost of an invocation under KVM: `kvm-counts [--json FILE] [--image IMAGE REQUEST]...
 * [HELLO PAGES [SPELL]]`.
 *
 * It boots the functions' programs and loads the frozen images. For runs in steady state, recycling
 * included, it counts exits, faults, calls to the kernel and time; for the programs it also counts
 * the cost of each way to start. In the lab with --icount, time is instructions and the figures
 * repeat.
 *
 * It prints a table and exits with 1 when an invariant does not hold: one KVM_RUN and at most two
 * exits for each invocation, no fault, no other call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/kvm/bare_exit.h"
#include "bench/kvm/calls.h"
#include "bench/kvm/record.h"
#include "bench/kvm/stats.h"
#include "engine/kvm/backend.h"
#include "engine/life/engine_state.h"
#include "snapshot-format/base/clock.h"

#define MEMORY	  (64u << 20)
#define WARM_RUNS 40u
/* Shorter than the kernel's tick, so that most rounds have no tick in them, and neither has the
 * median. */
#define ROUND_RUNS 50u
#define ROUNDS	   21u

/* Longer runs have ticks in them anyway. */
#define SLOW_NS 4000000u

struct effort {
	unsigned runs, round_runs, rounds;
	bool repeats; /* a round has no tick in it */
};
static const struct effort usual = {200, ROUND_RUNS, ROUNDS, true};
static const struct effort small = {20, 5, 5, false};

static int failures;

static void die(const char *what, const struct thaw_error *err)
{
	fprintf(stderr, "kvm-counts: %s: %s\n", what, err ? err->message : strerror(errno));
	exit(125);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* ---- The floor ---- */

static void record_time(const char *function, const char *what, double ns, bool exact)
{
	struct record record = {.ns = ns,
				.exact = exact,
				.exits = -1,
				.faults = -1,
				.kvm_run = -1,
				.other_ioctl = -1,
				.memory = -1};

	snprintf(record.name, sizeof(record.name), "%s%s%s", function, *function ? "." : "", what);
	record_add(&record);
}

/* Measures the two ioctls that every new machine needs. They wait for grace periods. */
static void create_ns(void)
{
	double vms[ROUNDS], vcpus[ROUNDS];
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t started_ns = thaw_monotonic_ns();
		int vm = ioctl(kvm, KVM_CREATE_VM, 0L), vcpu;

		vms[round] = (double)(thaw_monotonic_ns() - started_ns);
		started_ns = thaw_monotonic_ns();
		vcpu = ioctl(vm, KVM_CREATE_VCPU, 0L);
		vcpus[round] = (double)(thaw_monotonic_ns() - started_ns);
		if (vm < 0 || vcpu < 0)
			die("cannot make a bare machine", NULL);
		close(vcpu);
		close(vm);
	}
	close(kvm);
	record_time("", "limit.kvm-create-vm", median(vms, ROUNDS), false);
	record_time("", "limit.kvm-create-vcpu", median(vcpus, ROUNDS), false);
	printf("%-24s %10.0f ns\n%-24s %10.0f ns\n", "KVM_CREATE_VM", median(vms, ROUNDS),
	       "KVM_CREATE_VCPU", median(vcpus, ROUNDS));
}

static double bare_exit_ns(void)
{
	double rounds[ROUNDS];
	struct bare_exit bare;

	if (bare_exit_open(&bare))
		die("cannot make a bare guest", NULL);
	for (unsigned i = 0; i < WARM_RUNS; i++)
		if (bare_exit_run(&bare))
			die("the bare guest does not run", NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t started_ns = thaw_monotonic_ns();

		for (unsigned i = 0; i < ROUND_RUNS; i++)
			bare_exit_run(&bare);
		rounds[round] = (double)(thaw_monotonic_ns() - started_ns) / ROUND_RUNS;
	}
	bare_exit_close(&bare);
	return median(rounds, ROUNDS);
}

/* ---- A function ---- */

static struct thaw_engine *start(const char *program)
{
	const struct thaw_engine_config config = {.backend = THAW_BACKEND_KVM, .max_instances = 4};
	char name[] = "counted", *const args[] = {name, NULL};
	struct thaw_boot_config boot = {.name = name,
					.program = program,
					.args = args,
					.memory_size = MEMORY,
					.boot_timeout_ns = 600000000000u};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	boot.program_fd = open(program, O_RDONLY | O_CLOEXEC);
	if (boot.program_fd < 0)
		die(program, NULL);
	if (thaw_engine_open(&config, &engine, &err) || thaw_engine_boot(engine, &boot, &err) ||
	    thaw_engine_start(engine, &err))
		die(program, &err);
	close(boot.program_fd);
	return engine;
}

static struct thaw_instance *instance_of(struct thaw_engine *engine)
{
	struct thaw_instance *instance;
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_instance_create(engine, &instance, &err))
		die("cannot make an instance", &err);
	return instance;
}

static void answer(struct thaw_instance *instance, const char *request)
{
	const struct thaw_run run = {.request = request,
				     .request_length = strlen(request),
				     .deadline_ns = thaw_monotonic_ns() + 3600000000000u,
				     .response_max = 1 << 20};
	struct thaw_outcome outcome;

	thaw_instance_run(instance, &run, &outcome);
	if (outcome.kind != THAW_OUTCOME_finished || outcome.exit_code) {
		fprintf(stderr, "kvm-counts: an invocation ended: %s\n", outcome.message);
		exit(125);
	}
}

static void recycle(struct thaw_instance *instance)
{
	if (!thaw_instance_recycle(instance)) {
		fprintf(stderr, "kvm-counts: an instance could not be recycled\n");
		exit(125);
	}
}

/* Runs one invocation and recycles the instance, as the pool does. */
static void run_once(struct thaw_instance *instance, const char *request)
{
	answer(instance, request);
	recycle(instance);
}

static void expect(bool holds, const char *what, double value)
{
	if (holds)
		return;
	printf("FAILED: %s: %g\n", what, value);
	failures++;
}

/* Measures recycling alone. The figure includes one reading of the clock. */
static double recycle_ns(struct thaw_instance *instance, const char *request)
{
	double rounds[ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t started_ns;

		answer(instance, request);
		started_ns = thaw_monotonic_ns();
		recycle(instance);
		rounds[round] = (double)(thaw_monotonic_ns() - started_ns);
	}
	return median(rounds, ROUNDS);
}

/* Counts invocations of REQUEST, prints a line and returns the cost of one. */
static double measure(struct thaw_instance *instance, const char *title, const char *request,
		      double bare_ns, const struct effort *effort)
{
	double rounds[ROUNDS], runs = effort->runs, cost;
	struct record record;
	struct kvm_counts before, after;
	struct call_counts calls;
	int vcpu;

	for (unsigned i = 0; i < WARM_RUNS; i++)
		run_once(instance, request);
	vcpu = ((struct kvm_instance *)instance)->machine.vcpu_fd;
	if (kvm_stats_read(vcpu, &before))
		die("the kernel's counters", NULL);
	calls_reset();
	for (unsigned i = 0; i < effort->runs; i++)
		run_once(instance, request);
	calls_read(&calls);
	if (kvm_stats_read(vcpu, &after))
		die("the kernel's counters", NULL);
	for (unsigned round = 0; round < effort->rounds; round++) {
		uint64_t started_ns = thaw_monotonic_ns();

		for (unsigned i = 0; i < effort->round_runs; i++)
			run_once(instance, request);
		rounds[round] = (double)(thaw_monotonic_ns() - started_ns) / effort->round_runs;
	}
	/* Take the least disturbed round: now and then work of the host takes 20 us in most rounds,
	 * and instructions do not get fewer by chance. */
	qsort(rounds, effort->rounds, sizeof(rounds[0]), compare);
	cost = rounds[0];
	printf("%-24s %10.0f ns %7.2f bare exits; exits %.2f, faults %.2f, KVM_RUN %.2f, "
	       "other ioctls %.2f, memory calls %.2f\n",
	       title, cost, cost / bare_ns, (double)(after.exits - before.exits) / runs,
	       (double)(after.pf_taken - before.pf_taken) / runs, (double)calls.kvm_run / runs,
	       (double)calls.other_ioctl / runs, (double)calls.memory / runs);
	record = (struct record){.ns = cost,
				 .exact = true,
				 .exits = (double)(after.exits - before.exits) / runs,
				 .faults = (double)(after.pf_taken - before.pf_taken) / runs,
				 .kvm_run = (double)calls.kvm_run / runs,
				 .other_ioctl = (double)calls.other_ioctl / runs,
				 .memory = (double)calls.memory / runs};
	snprintf(record.name, sizeof(record.name), "invoke.%s", title);
	for (char *space = record.name; (space = strchr(space, ' '));)
		*space = '-';
	record_add(&record);
	expect(calls.kvm_run == effort->runs, "one KVM_RUN for each invocation",
	       (double)calls.kvm_run / runs);
	expect(calls.other_ioctl == 0, "no other ioctl", (double)calls.other_ioctl / runs);
	expect(calls.memory == 0, "no memory call", (double)calls.memory / runs);
	expect(after.exits - before.exits <= 2 * effort->runs,
	       "at most two exits for each invocation",
	       (double)(after.exits - before.exits) / runs);
	expect(after.pf_taken == before.pf_taken, "no fault of the second level",
	       (double)(after.pf_taken - before.pf_taken) / runs);
	return cost;
}

/* ---- Starts ---- */

/* Waits until the maker is idle: its work would be part of the measure. */
static void wait_for_stock(const struct thaw_engine *engine)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	struct kvm_backend *backend = (struct kvm_backend *)engine->state;
	bool idle = false;

	while (!idle) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&backend->lock);
		idle = backend->shell_count == KVM_SHELLS && !backend->ordered &&
		       !backend->dead_count;
		pthread_mutex_unlock(&backend->lock);
	}
}

static double first_answer_ns(struct thaw_engine *engine, bool prepared, const char *request)
{
	double rounds[ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct thaw_instance *instance;
		uint64_t started_ns;

		wait_for_stock(engine);
		started_ns = thaw_monotonic_ns();
		instance = instance_of(engine);
		if (prepared) {
			thaw_instance_prepare(instance);
			started_ns = thaw_monotonic_ns();
		}
		run_once(instance, request);
		rounds[round] = (double)(thaw_monotonic_ns() - started_ns);
		thaw_instance_destroy(instance);
	}
	return median(rounds, ROUNDS);
}

/* Only figures that repeat are compared with a baseline. A boot waits for other threads. */
static void print_start(const char *name, const char *what, double cost, double cold, bool exact)
{
	char key[32];

	snprintf(key, sizeof(key), "%s", what);
	for (char *space = key; (space = strchr(space, ' '));)
		*space = '-';
	record_time(name, key, cost, exact);
	printf("%-8s %-32s %12.0f ns, cold is %.0f times it\n", name, what, cost, cold / cost);
}

/* Measures the first answer from nothing, from a shell, from a fresh instance, and from a recycled
 * one. */
static void count_starts(const char *name, const char *program, const char *request)
{
	uint64_t started_ns = thaw_monotonic_ns();
	struct thaw_engine *engine = start(program);
	struct thaw_instance *instance = instance_of(engine);
	double cold, shell, rounds[ROUNDS];

	run_once(instance, request);
	cold = (double)(thaw_monotonic_ns() - started_ns);
	print_start(name, "cold", cold, cold, false);
	for (unsigned i = 0; i < WARM_RUNS; i++)
		run_once(instance, request);
	wait_for_stock(engine);
	for (unsigned round = 0; round < ROUNDS; round++) {
		started_ns = thaw_monotonic_ns();
		run_once(instance, request);
		rounds[round] = (double)(thaw_monotonic_ns() - started_ns);
	}
	shell = first_answer_ns(engine, false, request);
	print_start(name, "shell", shell, cold, true);
	print_start(name, "fresh", first_answer_ns(engine, true, request), cold, true);
	print_start(name, "recycled", median(rounds, ROUNDS), cold, true);
	print_start(name, "recycle alone", recycle_ns(instance, request), cold, true);
	expect(cold >= 50 * shell, "a thaw from a shell is 50 times cheaper than a cold start",
	       cold / shell);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

static void count_hello(const char *program, double bare_ns)
{
	struct thaw_engine *engine = start(program);
	struct thaw_instance *instance = instance_of(engine);
	double cost = measure(instance, "hello", "", bare_ns, &usual);

	expect(cost <= 2.5 * bare_ns, "hello costs at most 2.5 bare exits", cost / bare_ns);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

static void count_pages(const char *program, double bare_ns)
{
	static const unsigned counts[] = {0, 1, 10, 100, 1000};
	struct thaw_engine *engine = start(program);
	struct thaw_instance *instance = instance_of(engine);
	double none = 0, cost;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		char title[32], request[16];

		snprintf(title, sizeof(title), "%u pages written", counts[i]);
		snprintf(request, sizeof(request), "%u", counts[i]);
		cost = measure(instance, title, request, bare_ns, &usual);
		if (counts[i] == 0) {
			none = cost;
			continue;
		}
		printf("%-24s %10.0f ns %7.2f bare exits\n", "  for each of them",
		       (cost - none) / counts[i], (cost - none) / counts[i] / bare_ns);
		expect((cost - none) / counts[i] <= 0.25 * bare_ns,
		       "a page written costs at most a quarter of a bare exit",
		       (cost - none) / counts[i] / bare_ns);
	}
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

static struct thaw_engine *load(const char *path)
{
	const struct thaw_engine_config config = {.backend = THAW_BACKEND_KVM, .max_instances = 4};
	struct thaw_error err = THAW_ERROR_INIT;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct thaw_engine *engine;

	if (fd < 0)
		die(path, NULL);
	if (thaw_engine_open(&config, &engine, &err) || thaw_engine_load(engine, fd, &err) ||
	    thaw_engine_start(engine, &err))
		die(path, &err);
	close(fd);
	return engine;
}

static void count_image(const char *path, const char *request, double bare_ns)
{
	struct thaw_engine *engine = load(path);
	struct thaw_instance *instance = instance_of(engine);
	uint64_t started_ns;
	char title[48];

	/* A request that is a number tells figures of one image apart, and may be part of a
	 * name. */
	if (request[strspn(request, "0123456789")])
		snprintf(title, sizeof(title), "%s", thaw_engine_meta(engine)->name);
	else
		snprintf(title, sizeof(title), "%s %s", thaw_engine_meta(engine)->name, request);
	run_once(instance, request);
	started_ns = thaw_monotonic_ns();
	run_once(instance, request);
	measure(instance, title, request, bare_ns,
		thaw_monotonic_ns() - started_ns < SLOW_NS ? &usual : &small);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

static void count_programs(char **programs, int count, double bare_ns)
{
	create_ns();
	count_hello(programs[0], bare_ns);
	count_pages(programs[1], bare_ns);
	count_starts("hello", programs[0], "");
	if (count == 3)
		count_starts("spell", programs[2], "Teh quick borwn fox");
}

int main(int argc, char **argv)
{
	const char *json = NULL;
	double bare_ns = bare_exit_ns();

	record_time("", "limit.kvm-exit", bare_ns, true);
	printf("%-24s %10.0f ns\n", "bare exit", bare_ns);
	for (argv++, argc--; argc > 1 && **argv == '-'; argv += 2, argc -= 2) {
		if (!strcmp(*argv, "--json")) {
			json = argv[1];
		} else if (!strcmp(*argv, "--image") && argc > 2) {
			count_image(argv[1], argv[2], bare_ns);
			argv++;
			argc--;
		} else {
			break;
		}
	}
	if (argc == 2 || argc == 3) {
		count_programs(argv, argc, bare_ns);
	} else if (argc) {
		fprintf(stderr, "usage: kvm-counts [--json FILE] [--image IMAGE REQUEST]... "
				"[HELLO PAGES [SPELL]]\n");
		return 2;
	}
	if (json && record_write(json))
		die(json, NULL);
	return failures ? 1 : 0;
}
