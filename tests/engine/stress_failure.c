/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines that fail while many threads use them, and instances that are killed before they are
 * made; a plain program, so that the thread sanitizer can watch it. The linker's --wrap makes
 * frames come slowly, and then not at all. Says what went wrong and ends with 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine.h"

#define THREADS	  4
#define ROUNDS	  8
#define INSTANCES 4u

ssize_t __real_pread64(int fd, void *bytes, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t length, off_t offset);

static pthread_t main_thread;
static atomic_bool unreadable;

ssize_t __wrap_pread64(int fd, void *bytes, size_t length, off_t offset)
{
	if (!pthread_equal(pthread_self(), main_thread))
		usleep(5000);
	if (atomic_load(&unreadable)) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, bytes, length, offset);
}

static int freeze(const char *program, struct thaw_error *err)
{
	char path[512], *args[] = {path, NULL};
	struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS, .max_instances = 1};
	struct thaw_boot_config boot = {.name = "stress",
					.program = path,
					.args = args,
					.memory_size = 64u << 20,
					.boot_timeout_ns = 60000000000u};
	int fd = memfd_create("stress-image", MFD_CLOEXEC), result;
	struct thaw_engine *engine;

	snprintf(path, sizeof(path), "%s", program);
	boot.program_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (boot.program_fd < 0 || fd < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "cannot open %s", path);
	if (thaw_engine_open(&config, &engine, err))
		return -1;
	result = thaw_engine_boot(engine, &boot, err) ||
		 thaw_engine_write(engine, fd, 0, NULL, NULL, NULL, err);
	thaw_engine_close(engine);
	close(boot.program_fd);
	return result ? -1 : fd;
}

static struct thaw_engine *start(int image, struct thaw_error *err)
{
	struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS,
					    .max_instances = INSTANCES,
					    .load_threads = 2,
					    .no_uring = true};
	struct thaw_engine *engine;

	if (thaw_engine_open(&config, &engine, err))
		return NULL;
	if (thaw_engine_load(engine, image, err) || thaw_engine_start(engine, err)) {
		thaw_engine_close(engine);
		return NULL;
	}
	return engine;
}

static void *run_it(void *instance)
{
	struct thaw_run run = {.request = "wrod", .request_length = 4, .response_max = 4096};
	static _Thread_local struct thaw_outcome outcome;

	thaw_instance_run(instance, &run, &outcome);
	return outcome.kind == THAW_OUTCOME_finished || outcome.kind == THAW_OUTCOME_cancelled
		       ? NULL
		       : (void *)1;
}

/* All but the first two wait for the whole image, and are killed while a thread runs them. */
static int kill_what_waits(int image, struct thaw_error *err)
{
	struct thaw_engine *engine = start(image, err);
	struct thaw_instance *instances[INSTANCES];
	pthread_t threads[INSTANCES];
	int wrong = 0;
	void *result;

	if (!engine)
		return -1;
	for (unsigned i = 0; i < INSTANCES; i++)
		if (thaw_instance_create(engine, &instances[i], err) ||
		    pthread_create(&threads[i], NULL, run_it, instances[i]))
			return -1;
	usleep(2000);
	for (unsigned i = 0; i < INSTANCES; i++)
		thaw_instance_kill(instances[i]);
	for (unsigned i = 0; i < INSTANCES; i++) {
		pthread_join(threads[i], &result);
		wrong |= result != NULL;
		thaw_instance_destroy(instances[i]);
	}
	thaw_engine_close(engine);
	return wrong ? thaw_fail(err, THAW_ERR_FAILURE, "a killed run ended otherwise") : 0;
}

/* Orders instances until the engine says that it failed. The reason is one of two, whole. */
static void *order(void *engine)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;

	for (;;) {
		if (thaw_instance_create(engine, &instance, &err) == 0)
			thaw_instance_destroy(instance);
		else if (!strncmp(err.message, "all ", 4))
			usleep(50);
		else
			break;
	}
	if (!strcmp(err.message, "the zygote is gone (signal 9): nothing can be thawed any more") ||
	    !strncmp(err.message, "cannot read", 11))
		return NULL;
	fprintf(stderr, "the reason for a failure was: %s\n", err.message);
	return (void *)1;
}

static pid_t zygote_of(struct thaw_engine *engine, struct thaw_error *err)
{
	struct thaw_instance_memory memory = {0};
	struct thaw_instance *instance;

	if (thaw_instance_create(engine, &instance, err))
		return -1;
	while (!thaw_instance_ready(instance))
		usleep(100);
	if (thaw_instance_get_memory(instance, &memory, err))
		return -1;
	thaw_instance_destroy(instance);
	return getpgid(memory.pid);
}

/* The image cannot be read any more and the zygote dies, at about the same time. */
static int fail_twice(int image, unsigned round, struct thaw_error *err)
{
	struct thaw_engine *engine = start(image, err);
	pthread_t threads[THREADS];
	int wrong = 0;
	pid_t zygote;
	void *result;

	if (!engine || (zygote = zygote_of(engine, err)) < 0)
		return -1;
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, order, engine))
			return -1;
	usleep(1000);
	if (round % 2)
		atomic_store(&unreadable, true);
	kill(zygote, SIGKILL);
	atomic_store(&unreadable, true);
	wrong |= thaw_engine_wait_failure(engine, err) == 0;
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		wrong |= result != NULL;
	}
	wrong |= thaw_engine_await_loaded(engine, err) == 0; /* it came in spite of all */
	for (unsigned i = 0; i < 200; i++) /* the reason while a second one is noted */
		wrong |= order(engine) != NULL;
	thaw_engine_close(engine);
	atomic_store(&unreadable, false);
	return wrong ? thaw_fail(err, THAW_ERR_FAILURE, "a failed engine said something else") : 0;
}

int main(int argc, char **argv)
{
	struct thaw_error err = THAW_ERROR_INIT;
	int image;

	main_thread = pthread_self();
	if (argc != 2 || (image = freeze(argv[1], &err)) < 0) {
		fprintf(stderr, "stress: %s\n", argc == 2 ? err.message : "give the program spell");
		return 1;
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		if (kill_what_waits(image, &err) || fail_twice(image, round, &err)) {
			fprintf(stderr, "stress: round %u: %s\n", round, err.message);
			return 1;
		}
	return 0;
}
