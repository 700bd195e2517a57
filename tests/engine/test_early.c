/* SPDX-License-Identifier: Apache-2.0 */
/* Clones of a real function that run while its image is still being brought into memory. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/life/engine_state.h"
#include "tests/engine/guests.h"

#define REQUEST "teh wrold recieve definately thier adress seperate occured"
#define CLIENTS 6u

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

Test(early, one_that_waits_until_all_is_there_has_all_of_it)
{
	int fd = test_freeze("spell");
	char *wanted = expected(), body[4096] = "";
	struct thaw_engine *engine = load_and_start(fd);
	const struct thaw_run run = {.request = REQUEST,
				     .request_length = strlen(REQUEST),
				     .response_max = sizeof(body) - 1,
				     .context = body,
				     .respond = take};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;
	struct thaw_outcome outcome;

	cr_assert_eq(thaw_instance_create(engine, &instance, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_await_loaded(engine, &err), 0, "%s", err.message);
	thaw_instance_run(instance, &run, &outcome);
	cr_expect_eq(outcome.kind, THAW_OUTCOME_finished, "%s", outcome.message);
	cr_expect_str_eq(body, wanted);
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
	struct thaw_engine *engine = load_and_start(fd);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *kept[4], *instance;
	struct test_answer answer;

	/* The first two are early; the others wait, some given up before others. */
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(thaw_instance_create(engine, &kept[i], &err), 0, "%s", err.message);
	for (unsigned i = 0; i < 100; i++) {
		if (thaw_instance_create(engine, &instance, &err)) {
			cr_expect(thaw_lazy_complete(engine->lazy), "%s", err.message);
			break;
		}
		thaw_instance_destroy(instance);
	}
	for (unsigned i = 0; i < 4; i++)
		thaw_instance_destroy(kept[3 - i]);
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
