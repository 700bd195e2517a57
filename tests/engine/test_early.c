/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clones of a real function that run while its image is still being brought into memory. The linker
 * puts __wrap_thaw_memory_file_seal() in front of the last step of the loading. While the test
 * holds that step, every clone is early, however quick the decoding is.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/life/engine_state.h"
#include "snapshot-format/base/memory_file.h"
#include "tests/engine/guests.h"

#define REQUEST "teh wrold recieve definately thier adress seperate occured"
#define CLIENTS 6u

static atomic_bool is_held; /* the image stays incomplete */
static atomic_uint brought; /* times that a clone asked for memory that may not be there */

int __real_thaw_memory_file_seal(int fd, struct thaw_error *err);
int __wrap_thaw_memory_file_seal(int fd, struct thaw_error *err);
int __real_thaw_lazy_bring(struct thaw_lazy_load *residency, uint64_t start, uint64_t end,
			   uint64_t *run_start, uint64_t *run_end, struct thaw_error *err);
int __wrap_thaw_lazy_bring(struct thaw_lazy_load *residency, uint64_t start, uint64_t end,
			   uint64_t *run_start, uint64_t *run_end, struct thaw_error *err);

int __wrap_thaw_memory_file_seal(int fd, struct thaw_error *err)
{
	while (atomic_load(&is_held))
		usleep(1000);
	return __real_thaw_memory_file_seal(fd, err);
}

int __wrap_thaw_lazy_bring(struct thaw_lazy_load *residency, uint64_t start, uint64_t end,
			   uint64_t *run_start, uint64_t *run_end, struct thaw_error *err)
{
	atomic_fetch_add(&brought, 1);
	return __real_thaw_lazy_bring(residency, start, end, run_start, run_end, err);
}

static struct thaw_engine *open_engine(void)
{
	const struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS,
						  .max_instances = 16};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	cr_assert_eq(thaw_engine_open(&config, &engine, &err), 0, "%s", err.message);
	return engine;
}

static struct thaw_engine *load_and_start(int fd)
{
	struct thaw_engine *engine = open_engine();
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(thaw_engine_load(engine, fd, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_start(engine, &err), 0, "%s", err.message);
	return engine;
}

static char *expected(void)
{
	struct thaw_engine *engine = test_start("spell", NULL, 1);
	struct test_answer answer = test_ask_text(engine, REQUEST);

	cr_assert_eq(answer.outcome.kind, THAW_OUTCOME_finished);
	cr_assert_gt(answer.length, 50);
	thaw_engine_close(engine);
	return answer.body;
}

struct client {
	struct thaw_engine *engine;
	struct test_answer answer;
	pthread_t thread;
};

static void *ask(void *context)
{
	struct client *client = context;

	client->answer = test_ask_text(client->engine, REQUEST);
	return NULL;
}

Test(early, the_first_clones_answer_as_all_others_do)
{
	int fd = test_freeze("spell");
	char *wanted = expected();

	for (unsigned round = 0; round < 2; round++) {
		struct thaw_engine *engine = load_and_start(fd);
		struct client clients[CLIENTS];
		struct thaw_error err = THAW_ERROR_INIT;
		struct test_answer late;

		/* More than may be early: the rest waits for the image. */
		for (unsigned i = 0; i < CLIENTS; i++) {
			clients[i] = (struct client){.engine = engine};
			cr_assert_eq(pthread_create(&clients[i].thread, NULL, ask, &clients[i]), 0);
		}
		for (unsigned i = 0; i < CLIENTS; i++) {
			pthread_join(clients[i].thread, NULL);
			cr_expect_eq(clients[i].answer.outcome.kind, THAW_OUTCOME_finished, "%s",
				     clients[i].answer.outcome.message);
			cr_expect_str_eq(clients[i].answer.body, wanted);
			free(clients[i].answer.body);
		}
		cr_expect_eq(thaw_engine_await_loaded(engine, &err), 0, "%s", err.message);
		late = test_ask_text(engine, REQUEST);
		cr_expect_str_eq(late.body, wanted);
		free(late.body);
		thaw_engine_close(engine);
	}
	free(wanted);
	close(fd);
}

static void take(void *context, const void *bytes, size_t length)
{
	strncat(context, bytes, length);
}

/* The answer of INSTANCE must be WANTED. */
static void run(struct thaw_instance *instance, const char *wanted)
{
	char body[4096] = "";
	const struct thaw_run run = {.request = REQUEST,
				     .request_length = strlen(REQUEST),
				     .response_max = sizeof(body) - 1,
				     .context = body,
				     .respond = take};
	struct thaw_outcome outcome;

	thaw_instance_run(instance, &run, &outcome);
	cr_expect_eq(outcome.kind, THAW_OUTCOME_finished, "%s", outcome.message);
	cr_expect_str_eq(body, wanted);
}

static bool is_ready_in_time(const struct thaw_instance *instance)
{
	for (int i = 0; i < 30000 && !thaw_instance_ready(instance); i++)
		usleep(1000);
	return thaw_instance_ready(instance);
}

/* It comes to its rest some time after it has answered. */
static bool recycles(struct thaw_instance *instance)
{
	for (int i = 0; i < 200; i++) {
		if (thaw_instance_recycle(instance))
			return true;
		usleep(1000);
	}
	return false;
}

Test(early, the_first_two_do_not_wait_for_the_image_and_are_not_put_back)
{
	int fd = test_freeze("spell");
	char *wanted = expected();
	struct thaw_instance *instances[3];
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;
	unsigned asked;

	atomic_store(&is_held, true);
	engine = load_and_start(fd);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(thaw_instance_create(engine, &instances[i], &err), 0, "%s",
			     err.message);
	for (unsigned i = 0; i < 2; i++)
		cr_assert(is_ready_in_time(instances[i]), "clone %u waits for the image", i);
	cr_expect(!thaw_instance_ready(instances[2]), "the third waits for the image");
	run(instances[0], wanted);
	cr_expect_gt(atomic_load(&brought), 0, "it asked for what it touched");
	cr_expect(!thaw_lazy_complete(engine->lazy));
	cr_expect(!thaw_instance_ready(instances[2]));

	atomic_store(&is_held, false);
	cr_assert_eq(thaw_engine_await_loaded(engine, &err), 0, "%s", err.message);
	asked = atomic_load(&brought);
	run(instances[1], wanted);
	run(instances[2], wanted);
	cr_expect_eq(atomic_load(&brought), asked, "all of it is there");
	cr_expect(recycles(instances[2]));
	for (unsigned i = 0; i < 2; i++)
		cr_expect(!recycles(instances[i]), "an early one has mappings of its own");
	for (unsigned i = 0; i < 3; i++)
		thaw_instance_destroy(instances[i]);
	thaw_engine_close(engine);
	free(wanted);
	close(fd);
}

Test(early, one_that_waits_until_all_is_there_has_all_of_it)
{
	int fd = test_freeze("spell");
	char *wanted = expected();
	struct thaw_engine *engine = load_and_start(fd);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;

	cr_assert_eq(thaw_instance_create(engine, &instance, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_await_loaded(engine, &err), 0, "%s", err.message);
	run(instance, wanted);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
	free(wanted);
	close(fd);
}

Test(early, an_engine_that_is_closed_at_once_leaves_nothing)
{
	int fd = test_freeze("spell");
	unsigned before = test_children();

	for (unsigned round = 0; round < 5; round++) {
		struct thaw_engine *engine = load_and_start(fd);
		struct thaw_error err = THAW_ERROR_INIT;
		struct thaw_instance *instances[4];

		for (unsigned i = 0; i < 4; i++)
			cr_assert_eq(thaw_instance_create(engine, &instances[i], &err), 0, "%s",
				     err.message);
		for (unsigned i = 0; i < 4; i++)
			thaw_instance_destroy(instances[i]);
		thaw_engine_close(engine);
	}
	cr_expect_eq(test_children(), before);
	close(fd);
}

/* Else clients that give up quickly would use up all places before the image is there. */
Test(early, what_waits_for_the_image_and_is_given_up_leaves_its_place)
{
	int fd = test_freeze("spell");
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *kept[4], *instance;
	struct thaw_engine *engine;
	struct test_answer answer;

	atomic_store(&is_held, true);
	engine = load_and_start(fd);
	/* The first two are early; the others wait, some given up before others. */
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(thaw_instance_create(engine, &kept[i], &err), 0, "%s", err.message);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(thaw_instance_create(engine, &instance, &err), 0, "%u: %s", i,
			     err.message);
		thaw_instance_destroy(instance);
	}
	for (unsigned i = 0; i < 4; i++)
		thaw_instance_destroy(kept[3 - i]);
	atomic_store(&is_held, false);
	answer = test_ask_text(engine, REQUEST);
	cr_expect_eq(answer.outcome.kind, THAW_OUTCOME_finished, "%s", answer.outcome.message);
	free(answer.body);
	thaw_engine_close(engine);
	close(fd);
}

Test(early, a_damaged_image_is_refused_before_it_runs)
{
	int fd = test_freeze("spell");
	off_t end = lseek(fd, 0, SEEK_END);
	struct thaw_engine *engine = open_engine();
	struct thaw_error err = THAW_ERROR_INIT;
	uint8_t byte;

	cr_assert_eq(pread(fd, &byte, 1, end - 1), 1);
	byte ^= 0x80;
	cr_assert_eq(pwrite(fd, &byte, 1, end - 1), 1);
	cr_expect(thaw_engine_load(engine, fd, &err) || thaw_engine_start(engine, &err));
	cr_expect_eq(err.kind, THAW_ERR_IMAGE);
	cr_expect(strstr(err.message, "checksum"), "%s", err.message);
	thaw_engine_close(engine);
	close(fd);
}
