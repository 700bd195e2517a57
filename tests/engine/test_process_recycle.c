/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recycled clones of the process backend (engine/process/recycle.c): whatever a guest does, its
 * clone is as good as new or is destroyed. guest_tamper.c does the tampering; the tests judge by
 * what the next invocation can see.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/process/process.h"
#include "snapshot-format/base/clock.h"
#include "tests/engine/guests.h"
#include "tests/engine/tamper.h"

#define SECOND	  UINT64_C(1000000000)
#define INSTANCES 4u
#define JUMP_FROM (-0x60)
#define JUMP_TO	  0x1c0

TestSuite(process_recycle, .timeout = 280);

enum worth { RECYCLED, REFUSED, LOST, ENDED, ANY };

#define TRICK(name, worth) {#name, worth},
static const struct {
	const char *name;
	enum worth worth;
} tricks[] = {TAMPER_TRICKS(TRICK)};

static bool full(void)
{
	const char *value = getenv("THAW_TEST_FULL");

	return value && *value;
}

/* The KVM lab's emulator reads the stack of a program's IRET as ring 0, which ends the lab. */
static bool no_iret(void)
{
	return getenv("THAW_LAB");
}

/* ---- Instances ---- */

static struct process_instance *of(struct thaw_instance *instance)
{
	return (struct process_instance *)instance;
}

static struct thaw_engine *start_tamper(const int *proc_fd)
{
	struct thaw_engine_config config = {
		.backend = THAW_BACKEND_PROCESS, .max_instances = INSTANCES, .proc_fd = proc_fd};
	char name[] = "guest-tamper", fsgsbase[] = "fsgsbase", none[] = "none";
	char *args[] = {name, getauxval(AT_HWCAP2) & 2 ? fsgsbase : none, NULL};
	struct thaw_boot_config boot = {.name = name,
					.program = TEST_TAMPER,
					.args = args,
					.memory_size = 16u << 20,
					.boot_timeout_ns = 30 * SECOND};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	boot.program_fd = open(TEST_TAMPER, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(boot.program_fd, 0);
	cr_assert_eq(thaw_engine_open(&config, &engine, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_boot(engine, &boot, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_start(engine, &err), 0, "%s", err.message);
	close(boot.program_fd);
	return engine;
}

static struct thaw_instance *new_instance(struct thaw_engine *engine)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;

	for (int i = 0; thaw_instance_create(engine, &instance, &err); i++) {
		cr_assert_lt(i, 5000, "%s", err.message);
		usleep(1000);
	}
	cr_assert_gt(process_wait_ready(instance), 0);
	return instance;
}

struct answer {
	struct thaw_outcome outcome;
	size_t length;
	uint8_t body[sizeof(struct tamper_seen)];
};

static void respond(void *context, const void *bytes, size_t length)
{
	struct answer *answer = context;

	if (answer->length + length <= sizeof(answer->body))
		memcpy(answer->body + answer->length, bytes, length);
	answer->length += length;
}

static void run(struct thaw_instance *instance, const void *request, size_t length,
		uint64_t time_ns, struct answer *answer)
{
	struct thaw_run run = {.request = request,
			       .request_length = length,
			       .deadline_ns = thaw_monotonic_ns() + time_ns,
			       .response_max = 1u << 20,
			       .context = answer,
			       .respond = respond};

	memset(answer, 0, sizeof(*answer));
	thaw_instance_run(instance, &run, &answer->outcome);
}

/* ---- What is in a clone ---- */

static int pid_of(struct thaw_instance *instance)
{
	return of(instance)->backend->control->pid[of(instance)->slot];
}

struct mapping {
	uint64_t start, end;
	char prot[5];
	unsigned long inode;
};

static bool next_mapping(FILE *maps, struct mapping *mapping)
{
	char line[512];

	return fgets(line, sizeof(line), maps) &&
	       sscanf(line, "%lx-%lx %4s %*x %*s %lu", &mapping->start, &mapping->end,
		      mapping->prot, &mapping->inode) == 4;
}

static FILE *open_maps(struct thaw_instance *instance)
{
	char path[64];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid_of(instance));
	maps = fopen(path, "re");
	cr_assert_not_null(maps);
	return maps;
}

static struct tamper_order new_order(struct thaw_instance *instance, enum tamper_trick trick)
{
	struct tamper_order order = {.trick = trick,
				     .wait = of(instance)->backend->control->rest_point - 2};
	FILE *maps = open_maps(instance);
	struct mapping mapping;

	cr_assert_eq(getrandom(order.secret, sizeof(order.secret), 0), sizeof(order.secret));
	for (unsigned i = 0; i < 2; i++)
		order.secret[i] = (order.secret[i] & 0x7fffffffffff) | 0x400000000001;
	while (next_mapping(maps, &mapping)) {
		if (mapping.prot[1] != 'w')
			continue;
		cr_assert_lt(order.range_count, TAMPER_RANGES);
		order.ranges[order.range_count].start = mapping.start;
		order.ranges[order.range_count++].end = mapping.end;
		if (mapping.start >= THAW_SHIM_BASE && mapping.start < THAW_MAILBOX &&
		    !mapping.inode) {
			order.bss_start = mapping.start;
			order.bss_end = mapping.end;
		}
	}
	fclose(maps);
	cr_assert(order.bss_end);
	return order;
}

/* Counts the secret in everything that the clone has mapped, its mailbox included. */
static unsigned count_secrets(struct thaw_instance *instance, const struct tamper_order *order)
{
	FILE *maps = open_maps(instance);
	struct mapping mapping;
	unsigned found = 0;

	while (next_mapping(maps, &mapping)) {
		size_t length = mapping.end - mapping.start;
		uint8_t *bytes = malloc(length);
		struct iovec local = {bytes, length}, remote = {(void *)mapping.start, length};
		ssize_t got = process_vm_readv(pid_of(instance), &local, 1, &remote, 1, 0);

		/* The kernel's own mappings, and mappings that are not readable. */
		cr_assert(got == (ssize_t)length || mapping.prot[0] != 'r' ||
			  mapping.start > THAW_MAILBOX);
		for (unsigned half = 0; half < 2 && got > 0; half++)
			for (uint8_t *at = bytes, *end = bytes + got;
			     (at = memmem(at, (size_t)(end - at), &order->secret[half], 6));
			     at += 6)
				found++;
		free(bytes);
	}
	fclose(maps);
	return found;
}

/* ---- An honest invocation ---- */

static struct answer reference; /* of a clone that ran nothing before */

static void learn_reference(struct thaw_engine *engine)
{
	struct thaw_instance *instance = new_instance(engine);
	struct tamper_order honest = new_order(instance, TAMPER_honest);

	run(instance, &honest, sizeof(honest), 60 * SECOND, &reference);
	cr_assert_eq(reference.outcome.kind, THAW_OUTCOME_finished, "%s",
		     reference.outcome.message);
	cr_assert_eq(reference.length, sizeof(struct tamper_seen));
	thaw_instance_destroy(instance);
}

/* The bit of XSTATE_BV that says that SSE is in use. Some machines set it for any task that ran
 * after another one, whatever its registers hold; so the registers are compared instead. */
#define SSE_IN_USE_AT (offsetof(struct tamper_seen, xsave) + 512)
#define SSE_IN_USE    2u

static void expect_same_processor(const struct answer *answer, const char *what)
{
	for (size_t i = 0; i < sizeof(reference.body); i++)
		if ((answer->body[i] ^ reference.body[i]) &
		    (i == SSE_IN_USE_AT ? ~SSE_IN_USE : ~0u)) {
			cr_expect_fail("%s: the processor differs at byte %zu: %#x, new %#x", what,
				       i, answer->body[i], reference.body[i]);
			return;
		}
}

/* Returns whether the clone had its turn. */
static bool run_honest(struct thaw_instance *instance, const char *what, bool may_be_lost)
{
	static const struct tamper_order honest = {.trick = TAMPER_honest};
	struct answer answer;

	run(instance, &honest, sizeof(honest), 60 * SECOND, &answer);
	if (may_be_lost && answer.outcome.kind == THAW_OUTCOME_lost) {
		cr_expect(!thaw_instance_recycle(instance), "%s: recycled though lost", what);
		return false;
	}
	cr_expect_eq(answer.outcome.kind, THAW_OUTCOME_finished, "%s: %s: %s", what,
		     thaw_outcome_name(answer.outcome.kind), answer.outcome.message);
	if (answer.outcome.kind == THAW_OUTCOME_finished)
		expect_same_processor(&answer, what);
	return true;
}

/* ---- The tricks ---- */

/* The engine refuses a clone that comes to its rest slowly, which on a slow machine may be any. */
static bool recycle_in_time(struct thaw_instance *instance)
{
	bool recycled = thaw_instance_recycle(instance);

	for (unsigned i = 0; i < 50 && !recycled; i++) {
		usleep(1000);
		recycled = thaw_instance_recycle(instance);
	}
	return recycled;
}

/* Returns false when the clone died of the trick. */
static bool prepare(struct thaw_instance *instance)
{
	const struct thaw_mailbox *mailbox = of(instance)->mailbox;

	cr_expect(thaw_instance_prepare(instance));
	while (__atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) != THAW_TURN_NONE) {
		if (atomic_load(&of(instance)->dead))
			return false;
		usleep(100);
	}
	cr_expect(thaw_instance_prepared(instance));
	return true;
}

static void expect_no_secret(struct thaw_instance *instance, const struct tamper_order *order,
			     const char *what)
{
	unsigned found = count_secrets(instance, order);

	cr_expect_eq(found, 0, "%s: the secret is there, %u times", what, found);
}

/* Examines a clone as it was recycled, or with PREPARES after it has prepared itself. */
static void check_recycled(struct thaw_instance *instance, const struct tamper_order *order,
			   const char *what, enum worth worth, bool prepares)
{
	bool ran;

	expect_no_secret(instance, order, what);
	/* Only now may the processor's state reach memory. */
	if (prepares && prepare(instance))
		expect_no_secret(instance, order, what);
	ran = run_honest(instance, what, worth == LOST || worth == ANY);
	cr_expect(worth != LOST || !ran, "%s: was not lost", what);
	if (!ran)
		return;
	cr_expect(recycle_in_time(instance), "%s: an honest one is not recycled", what);
	run_honest(instance, what, false);
}

/* Returns whether the clone was recycled. */
static bool try_trick(struct thaw_engine *engine, enum tamper_trick trick, int offset,
		      bool prepares)
{
	struct thaw_instance *instance = new_instance(engine);
	struct tamper_order order = new_order(instance, trick);
	enum worth worth = tricks[trick].worth;
	struct answer answer;
	char what[64];
	bool recycled;

	snprintf(what, sizeof(what), "%s %d%s", tricks[trick].name, offset,
		 prepares ? ", prepared" : "");
	order.offset = offset;
	/* A clone that jumps may give itself the turn before the host sees the answer, and keep
	 * it. */
	run(instance, &order, sizeof(order), trick == TAMPER_jump ? SECOND / 5 : 60 * SECOND,
	    &answer);
	if (worth == ENDED)
		cr_expect_neq(answer.outcome.kind, THAW_OUTCOME_finished, "%s", what);
	else if (trick != TAMPER_jump) /* its faults may arrive first */
		cr_expect_eq(answer.outcome.kind, THAW_OUTCOME_finished, "%s: %s: %s", what,
			     thaw_outcome_name(answer.outcome.kind), answer.outcome.message);
	recycled = worth == ANY ? thaw_instance_recycle(instance) : recycle_in_time(instance);
	cr_expect(worth == ANY || recycled == (worth == RECYCLED || worth == LOST), "%s: %s", what,
		  recycled ? "recycled" : "not recycled");
	if (recycled)
		check_recycled(instance, &order, what, worth, prepares);
	thaw_instance_destroy(instance);
	return recycled;
}

static void try_all(struct thaw_engine *engine)
{
	learn_reference(engine);
	for (unsigned round = 0; round < (full() ? 50 : 2); round++)
		for (unsigned trick = 0; trick < TAMPER_COUNT; trick++)
			/* The KVM lab's emulator reads IRET's stack as ring 0, which ends the lab.
			 */
			if (trick != TAMPER_jump &&
			    !(trick == TAMPER_trap_flag && getenv("THAW_LAB")))
				try_trick(engine, (enum tamper_trick)trick, (int)round, round % 2);
}

Test(process_recycle, no_trick_reaches_the_next_invocation)
{
	struct thaw_engine *engine = start_tamper(NULL);

	try_all(engine);
	thaw_engine_close(engine);
}

/* As on a kernel without PAGEMAP_SCAN. */
Test(process_recycle, nor_where_the_page_map_is_read)
{
	struct thaw_engine *engine = start_tamper(NULL);
	struct thaw_instance *instance = new_instance(engine);

	of(instance)->backend->recycler.by_reading = true;
	thaw_instance_destroy(instance);
	try_all(engine);
	thaw_engine_close(engine);
}

Test(process_recycle, nor_a_jump_to_any_byte_of_the_shims_wait)
{
	struct thaw_engine *engine;
	unsigned recycled = 0;

	if (no_iret())
		cr_skip_test("some byte of code is one");
	engine = start_tamper(NULL);
	learn_reference(engine);
	for (int offset = JUMP_FROM; offset < JUMP_TO; offset += full() ? 1 : 2)
		recycled += try_trick(engine, TAMPER_jump, offset, offset & 2);
	cr_expect_gt(recycled, 0); /* at least from the beginning of the wait */
	thaw_engine_close(engine);
}

/* ---- Preparing ---- */

static void read_shim(struct thaw_instance *instance, const struct process_recycler *recycler,
		      uint8_t *into)
{
	size_t length = recycler->shim_end - recycler->shim_start;
	struct iovec local = {into, length}, remote = {(void *)recycler->shim_start, length};

	cr_assert_eq(process_vm_readv(pid_of(instance), &local, 1, &remote, 1, 0), (ssize_t)length);
}

Test(process_recycle, the_shim_of_a_prepared_one_is_as_new)
{
	struct thaw_engine *engine = start_tamper(NULL);
	struct thaw_instance *instance = new_instance(engine);
	const struct process_recycler *recycler = &of(instance)->backend->recycler;
	size_t length;
	uint8_t *now;

	learn_reference(engine);
	run_honest(instance, "the first", false);
	cr_assert(recycle_in_time(instance));
	cr_assert(!thaw_instance_prepared(instance));
	cr_assert(prepare(instance));
	length = recycler->shim_end - recycler->shim_start;
	now = malloc(length);
	read_shim(instance, recycler, now);
	cr_expect_arr_eq(now, recycler->shim, length);
	free(now);
	run_honest(instance, "the second", false);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

/* The clone's preparation and its turn, in either order. */
Test(process_recycle, a_turn_may_come_while_it_prepares)
{
	struct thaw_engine *engine = start_tamper(NULL);
	struct thaw_instance *instance = new_instance(engine);

	learn_reference(engine);
	for (unsigned i = 0; i < (full() ? 20000 : 500); i++) {
		run_honest(instance, "overtaken", false);
		cr_assert(recycle_in_time(instance));
		thaw_instance_prepare(instance);
		for (volatile unsigned pause = i % 64 * 50; pause > 0; pause--)
			;
	}
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

/* ---- When not ---- */

Test(process_recycle, without_a_procfs_never)
{
	const int none = -1;
	struct thaw_engine *engine = start_tamper(&none);
	struct thaw_instance *instance = new_instance(engine);

	learn_reference(engine);
	run_honest(instance, "no procfs", false);
	cr_expect(!thaw_instance_recycle(instance));
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

Test(process_recycle, after_nothing_but_an_end_as_it_should_be)
{
	static const struct {
		const char *request;
		enum thaw_outcome_kind kind;
	} ways[] = {{"ok", THAW_OUTCOME_finished},
		    {"status 3", THAW_OUTCOME_finished},
		    {"exit 0", THAW_OUTCOME_exited},
		    {"abort because", THAW_OUTCOME_aborted},
		    {"crash", THAW_OUTCOME_crashed},
		    {"syscall", THAW_OUTCOME_crashed},
		    {"bad-hypercall", THAW_OUTCOME_violation},
		    {"bad-length", THAW_OUTCOME_violation},
		    {"answer-too-much", THAW_OUTCOME_too_much},
		    {"hang", THAW_OUTCOME_deadline}};
	struct thaw_engine *engine = test_start("misbehave", NULL, INSTANCES);

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct thaw_instance *instance = new_instance(engine);
		struct answer answer;

		run(instance, ways[i].request, strlen(ways[i].request),
		    ways[i].kind == THAW_OUTCOME_deadline ? SECOND / 10 : 60 * SECOND, &answer);
		cr_expect_eq(answer.outcome.kind, ways[i].kind, "%s: %s", ways[i].request,
			     thaw_outcome_name(answer.outcome.kind));
		cr_expect_eq(ways[i].kind == THAW_OUTCOME_finished
				     ? recycle_in_time(instance)
				     : thaw_instance_recycle(instance),
			     ways[i].kind == THAW_OUTCOME_finished, "%s", ways[i].request);
		thaw_instance_destroy(instance);
	}
	thaw_engine_close(engine);
}

/* ---- Again and again ---- */

static void many_times(const char *function, const char *const *requests, unsigned request_count)
{
	struct thaw_engine *engine = test_start_loaded(function, INSTANCES);
	struct thaw_instance *instance = new_instance(engine);
	struct answer first[4], answer;
	unsigned recycled = 0, rounds = full() ? 50000 : 1000;

	for (unsigned i = 0; i < rounds; i++) {
		const char *request = requests[i % request_count];

		run(instance, request, strlen(request), 60 * SECOND, &answer);
		cr_assert_eq(answer.outcome.kind, THAW_OUTCOME_finished, "%s %u: %s", function, i,
			     answer.outcome.message);
		if (i < request_count)
			first[i] = answer;
		cr_assert_eq(answer.length, first[i % request_count].length);
		cr_assert_arr_eq(answer.body, first[i % request_count].body, answer.length);
		if (thaw_instance_recycle(instance)) {
			recycled++;
			continue;
		}
		thaw_instance_destroy(instance);
		instance = new_instance(engine);
	}
	/* On a busy machine, a clone that comes to its rest slowly is destroyed. */
	cr_expect_gt(recycled, rounds / 2, "%s: %u of %u", function, recycled, rounds);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

Test(process_recycle, answers_stay_what_they_were)
{
	static const char *const nothing[] = {""},
				 *const texts[] = {"", "abc", "the quick brown fox"},
				 *const memory[] = {"echo clean", "low"};

	many_times("counter", nothing, 1);
	many_times("sha256", texts, 3);
	many_times("misbehave", memory, 2);
}
