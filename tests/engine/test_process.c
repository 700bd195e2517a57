/* SPDX-License-Identifier: Apache-2.0 */
/* The process backend with real guests: fresh state, outcomes, deadlines, limits, and what is left
 * behind. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/process/process.h"
#include "tests/engine/guests.h"

TestSuite(process, .timeout = 240);

static enum thaw_outcome_kind outcome_of(struct test_answer answer)
{
	free(answer.body);
	return answer.outcome.kind;
}

Test(process, a_booted_and_a_loaded_image_answer_alike)
{
	struct thaw_engine *booted = test_start("hello", NULL, 4),
			   *loaded = test_start_loaded("hello", 4);
	struct test_answer a = test_ask_text(booted, ""), b = test_ask_text(loaded, "");

	cr_assert_eq(a.outcome.kind, THAW_OUTCOME_finished);
	cr_assert_str_eq(a.body, "hello, world\n");
	cr_assert_str_eq(b.body, a.body);
	free(a.body);
	free(b.body);
	thaw_engine_close(booted);
	thaw_engine_close(loaded);
}

Test(process, each_request_finds_the_state_of_the_image)
{
	struct thaw_engine *engine = test_start_loaded("counter", 8);

	for (int i = 0; i < 500; i++) {
		struct test_answer answer = test_ask_text(engine, "");

		cr_assert_str_eq(answer.body, "1\n");
		free(answer.body);
	}
	thaw_engine_close(engine);
}

static const struct {
	const char *request;
	enum thaw_outcome_kind kind;
	int exit_code;
} ways[] = {
	{"ok", THAW_OUTCOME_finished, 0},
	{"status 3", THAW_OUTCOME_finished, 3},
	{"exit 7", THAW_OUTCOME_exited, 7},
	{"abort because", THAW_OUTCOME_aborted, 134},
	{"crash", THAW_OUTCOME_crashed, 139},
	{"crash-exec", THAW_OUTCOME_crashed, 139},
	{"crash-stack", THAW_OUTCOME_crashed, 139},
	{"write-text", THAW_OUTCOME_crashed, 139},
	{"shim", THAW_OUTCOME_crashed, 139},
	{"illegal", THAW_OUTCOME_crashed, 132},
	{"divide", THAW_OUTCOME_crashed, 136},
	{"syscall", THAW_OUTCOME_crashed, 159},
	{"fork", THAW_OUTCOME_crashed, 159},
	{"bad-hypercall", THAW_OUTCOME_violation, 159},
	{"bad-length", THAW_OUTCOME_violation, 159},
	{"answer-too-much", THAW_OUTCOME_too_much, 153},
	{"memory", THAW_OUTCOME_finished, 0},
	{"memory-holes", THAW_OUTCOME_finished, 0},
	{"wx", THAW_OUTCOME_finished, 0},
	{"low", THAW_OUTCOME_finished, 0},
};

Test(process, misbehaviour_is_an_outcome_and_hurts_nobody_else)
{
	struct thaw_engine *engine = test_start("misbehave", NULL, 8);

	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
			struct test_answer answer = test_ask_text(engine, ways[i].request);

			cr_expect_eq(answer.outcome.kind, ways[i].kind, "%s: %s: %s",
				     ways[i].request, thaw_outcome_name(answer.outcome.kind),
				     answer.outcome.message);
			cr_expect_eq(answer.outcome.exit_code, ways[i].exit_code, "%s: %d",
				     ways[i].request, answer.outcome.exit_code);
			free(answer.body);
			answer = test_ask_text(engine, "echo still here");
			cr_expect_str_eq(answer.body, "still here\n");
			free(answer.body);
		}
	thaw_engine_close(engine);
}

Test(process, a_scribbled_mailbox_ends_one_invocation_and_is_clean_for_the_next)
{
	/* One slot: the next clone gets the very mailbox that this one spoilt. */
	struct thaw_engine *engine = test_start("misbehave", NULL, 1);

	/* The guest does not call the host, which may notice the turn only at the deadline; and in an
	 * emulated machine the guest may take half a second to get that far. */
	for (int i = 0; i < 20; i++) {
		struct test_answer answer = test_ask(engine, "bad-turn", 8, 3000);

		cr_assert_eq(answer.outcome.kind, THAW_OUTCOME_violation, "%s",
			     answer.outcome.message);
		free(answer.body);
		answer = test_ask_text(engine, "echo clean");
		cr_assert_eq(answer.outcome.kind, THAW_OUTCOME_finished, "%s",
			     answer.outcome.message);
		cr_assert_str_eq(answer.body, "clean\n");
		free(answer.body);
	}
	thaw_engine_close(engine);
}

Test(process, deadlines_end_guests_that_spin_and_guests_that_call)
{
	struct thaw_engine *engine = test_start("misbehave", NULL, 4);

	for (int i = 0; i < 5; i++) {
		cr_assert_eq(outcome_of(test_ask(engine, "hang", 4, 50)), THAW_OUTCOME_deadline);
		cr_assert_eq(outcome_of(test_ask(engine, "hang-calls", 10, 50)),
			     THAW_OUTCOME_deadline);
	}
	thaw_engine_close(engine);
}

static void *kill_soon(void *instance)
{
	usleep(30000);
	thaw_instance_kill(instance);
	return NULL;
}

struct caller {
	struct process_instance *instance;
	unsigned calls, near;
};

static int look_at_caller(void *context, const char *line, size_t length)
{
	struct caller *caller = context;
	int pid = caller->instance->backend->control->pid[caller->instance->slot];
	cpu_set_t cpus;

	(void)line;
	(void)length;
	/* From when on it is a slow one. */
	if (++caller->calls > 1000 && sched_getaffinity(pid, sizeof(cpus), &cpus) == 0)
		caller->near += CPU_COUNT(&cpus) == 1 && CPU_ISSET(sched_getcpu(), &cpus);
	return 0;
}

/* However long it takes: each call would be a wake-up on another processor. */
Test(process, a_guest_that_calls_all_the_time_stays_near)
{
	struct thaw_engine *engine = test_start_loaded("misbehave", 2);
	struct caller caller = {0};
	const struct thaw_run run = {.request = "log-flood",
				     .request_length = 9,
				     .response_max = 4096,
				     .context = &caller,
				     .log = look_at_caller};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;
	struct thaw_outcome outcome;

	while (thaw_instance_create(engine, &instance, &err))
		usleep(1000);
	caller.instance = (struct process_instance *)instance;
	thaw_instance_run(instance, &run, &outcome);
	cr_assert_eq(outcome.kind, THAW_OUTCOME_finished, "%s", outcome.message);
	cr_expect_gt(caller.near, (caller.calls - 1000) / 10 * 9);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

Test(process, a_killed_run_is_cancelled)
{
	struct thaw_engine *engine = test_start("misbehave", NULL, 4);
	struct thaw_run run = {.request = "hang", .request_length = 4, .response_max = 100};
	struct thaw_outcome outcome = {0};
	struct thaw_instance *instance;
	pthread_t killer;

	cr_assert_eq(thaw_instance_create(engine, &instance, NULL), 0);
	pthread_create(&killer, NULL, kill_soon, instance);
	thaw_instance_run(instance, &run, &outcome);
	pthread_join(killer, NULL);
	thaw_instance_destroy(instance);
	cr_assert_eq(outcome.kind, THAW_OUTCOME_cancelled);
	/* Killed before it is run: the run says so at once. */
	cr_assert_eq(thaw_instance_create(engine, &instance, NULL), 0);
	thaw_instance_kill(instance);
	thaw_instance_run(instance, &run, &outcome);
	thaw_instance_destroy(instance);
	cr_assert_eq(outcome.kind, THAW_OUTCOME_cancelled);
	thaw_engine_close(engine);
}

Test(process, no_more_instances_than_were_asked_for)
{
	struct thaw_engine *engine = test_start("hello", NULL, 3);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instances[4];

	for (int i = 0; i < 3; i++)
		cr_assert_eq(thaw_instance_create(engine, &instances[i], &err), 0);
	cr_assert_lt(thaw_instance_create(engine, &instances[3], &err), 0);
	cr_assert_eq(err.kind, THAW_ERR_ENGINE);
	for (int i = 0; i < 3; i++)
		thaw_instance_destroy(instances[i]);
	free(test_ask_text(engine, "").body);
	thaw_engine_close(engine);
}

Test(process, nothing_is_left_of_instances_fresh_spent_or_never_made)
{
	struct thaw_engine *engine = test_start("hello", NULL, 64);
	struct thaw_instance *instances[64];

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 64; i++) {
			while (thaw_instance_create(engine, &instances[i], NULL))
				usleep(1000);
			if (i % 3 == 0)
				thaw_instance_destroy(instances[i]);
		}
		for (int i = 0; i < 64; i++)
			if (i % 3)
				thaw_instance_destroy(instances[i]);
	}
	/* All 64 places come back. */
	for (int i = 0; i < 64; i++)
		while (thaw_instance_create(engine, &instances[i], NULL))
			usleep(1000);
	for (int i = 0; i < 64; i++)
		thaw_instance_destroy(instances[i]);
	thaw_engine_close(engine);
	cr_assert_eq(test_children(), 0);
}

Test(process, an_idle_clone_that_dies_is_lost_and_says_so)
{
	struct thaw_engine *engine = test_start("hello", NULL, 4);
	struct thaw_run run = {.response_max = 100};
	struct thaw_instance_memory memory;
	struct thaw_outcome outcome = {0};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;

	cr_assert_eq(thaw_instance_create(engine, &instance, NULL), 0);
	while (!thaw_instance_ready(instance))
		usleep(100);
	cr_assert_eq(thaw_instance_get_memory(instance, &memory, NULL), 0);
	kill(memory.pid, SIGKILL);
	/* Until the engine knows: a zombie has no memory to tell of either, but another reason. */
	while (thaw_instance_get_memory(instance, &memory, &err) == 0 ||
	       !strstr(err.message, "not running"))
		usleep(100);
	thaw_instance_run(instance, &run, &outcome);
	thaw_instance_destroy(instance);
	cr_assert_eq(outcome.kind, THAW_OUTCOME_lost, "%s", outcome.message);
	thaw_engine_close(engine);
}

Test(process, the_death_of_the_zygote_is_told)
{
	struct thaw_engine *engine = test_start("hello", NULL, 4);
	struct thaw_instance_memory memory;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;

	cr_assert_eq(thaw_instance_create(engine, &instance, NULL), 0);
	while (!thaw_instance_ready(instance))
		usleep(100);
	cr_assert_eq(thaw_instance_get_memory(instance, &memory, NULL), 0);
	kill(getpgid(memory.pid), SIGKILL); /* the zygote leads the group */
	cr_assert_lt(thaw_engine_wait_failure(engine, &err), 0);
	cr_assert_eq(err.kind, THAW_ERR_ENGINE);
	thaw_instance_destroy(instance);
	cr_assert_lt(thaw_instance_create(engine, &instance, &err), 0);
	thaw_engine_close(engine);
	cr_assert_eq(test_children(), 0);
}

Test(process, boots_that_cannot_be_frozen_say_why)
{
	static const struct {
		const char *argument, *needle;
	} boots[] = {{"--boot=crash", "crashed"},
		     {"--boot=exit", "never asked"},
		     {"--boot=abort x", "aborted"},
		     {"--boot=syscall", "system call"}};
	struct thaw_error err = THAW_ERROR_INIT;

	for (size_t i = 0; i < sizeof(boots) / sizeof(boots[0]); i++) {
		test_boot_fails("misbehave", boots[i].argument, 20000000000u, &err);
		cr_expect_eq(err.kind, THAW_ERR_FAILURE);
		cr_expect_not_null(strstr(err.message, boots[i].needle), "%s: %s",
				   boots[i].argument, err.message);
	}
	test_boot_fails("misbehave", "--boot=hang", 200000000u, &err);
	cr_expect_eq(err.kind, THAW_ERR_DEADLINE);
	cr_assert_eq(test_children(), 0);
}
