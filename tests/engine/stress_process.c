/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads make, run, kill and give up instances of one engine at the same time. A plain
 * program, so that the thread sanitizer can watch it. On a failure it says what went wrong and ends
 * with 1.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"

#define THREADS 4
#define ROUNDS	1000

static struct thaw_engine *engine;

struct answer {
	char text[64];
	size_t length;
};

static void respond(void *context, const void *bytes, size_t length)
{
	struct answer *answer = context;

	if (length > sizeof(answer->text) - answer->length)
		length = sizeof(answer->text) - answer->length;
	memcpy(answer->text + answer->length, bytes, length);
	answer->length += length;
}

static void *kill_it(void *instance)
{
	usleep(500);
	thaw_instance_kill(instance);
	return NULL;
}

static int run_one(struct thaw_instance *instance, unsigned kind)
{
	static const char *const requests[] = {"echo same", "crash", "hang", "echo same"};
	struct answer answer = {.length = 0};
	struct thaw_run run = {.request = requests[kind],
			       .request_length = strlen(requests[kind]),
			       .response_max = sizeof(answer.text),
			       .context = &answer,
			       .respond = respond};
	struct thaw_outcome outcome = {0};
	pthread_t killer;

	if (kind == 2 && pthread_create(&killer, NULL, kill_it, instance))
		return -1;
	thaw_instance_run(instance, &run, &outcome);
	if (kind == 2)
		pthread_join(killer, NULL);
	switch (kind) {
	case 1:
		return outcome.kind == THAW_OUTCOME_crashed ? 0 : -1;
	case 2:
		return outcome.kind == THAW_OUTCOME_cancelled ? 0 : -1;
	default:
		return outcome.kind == THAW_OUTCOME_finished && answer.length == 5 &&
				       !memcmp(answer.text, "same\n", 5)
			       ? 0
			       : -1;
	}
}

static void *work(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct thaw_instance *instance;
		unsigned kind = (unsigned)rand_r(&seed) % 5;

		while (thaw_instance_create(engine, &instance, NULL))
			usleep(200);
		/* One in five is given up unused, ready or not. */
		if (kind < 4 && run_one(instance, kind)) {
			fprintf(stderr, "request %u went wrong\n", kind);
			return (void *)1;
		}
		thaw_instance_destroy(instance);
	}
	return NULL;
}

static int start(const char *program, struct thaw_error *err)
{
	char path[512], *args[] = {path, NULL};
	struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS, .max_instances = 6};
	struct thaw_boot_config boot = {.name = "stress",
					.program = path,
					.args = args,
					.memory_size = 16u << 20,
					.boot_timeout_ns = 60000000000u};

	snprintf(path, sizeof(path), "%s", program);
	boot.program_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (boot.program_fd < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "cannot open %s", path);
	return thaw_engine_open(&config, &engine, err) || thaw_engine_boot(engine, &boot, err) ||
			       thaw_engine_start(engine, err)
		       ? -1
		       : close(boot.program_fd);
}

int main(int argc, char **argv)
{
	struct thaw_error err = THAW_ERROR_INIT;
	pthread_t threads[THREADS];
	int failed = 0;
	void *result;

	if (argc != 2 || start(argv[1], &err)) {
		fprintf(stderr, "stress: %s\n",
			argc == 2 ? err.message : "give the program misbehave");
		return 1;
	}
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(i + 1)))
			return 1;
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		failed |= result != NULL;
	}
	thaw_engine_close(engine);
	return failed;
}
