/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the engine's tests; see guests.h. */
#include "tests/engine/guests.h"
#include "snapshot-format/base/clock.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEMORY (64u << 20)

static struct thaw_engine *open_engine(unsigned max_instances)
{
	struct thaw_engine_config config = {.backend = THAW_BACKEND_PROCESS,
					    .max_instances = max_instances};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	cr_assert_eq(thaw_engine_open(&config, &engine, &err), 0, "%s", err.message);
	return engine;
}

static int boot(struct thaw_engine *engine, const char *name, const char *argument,
		uint64_t timeout_ns, struct thaw_error *err)
{
	char path[512], *args[] = {path, argument ? strdup(argument) : NULL, NULL};
	struct thaw_boot_config config = {.name = name,
					  .program = path,
					  .args = args,
					  .memory_size = MEMORY,
					  .timeout_ns = 1000000000u,
					  .boot_timeout_ns = timeout_ns};
	int result;

	snprintf(path, sizeof(path), "%s/%s", TEST_FUNCTIONS, name);
	config.program_fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(config.program_fd, 0, "%s is not built", path);
	result = thaw_engine_boot(engine, &config, err);
	close(config.program_fd);
	free(args[1]);
	return result;
}

struct thaw_engine *test_start(const char *name, const char *argument, unsigned max_instances)
{
	struct thaw_engine *engine = open_engine(max_instances);
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(boot(engine, name, argument, 30000000000u, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_start(engine, &err), 0, "%s", err.message);
	return engine;
}

int test_freeze(const char *name)
{
	int fd = memfd_create("test-image", MFD_CLOEXEC);
	struct thaw_engine *engine = open_engine(1);
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(boot(engine, name, NULL, 30000000000u, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_write(engine, fd, 0, NULL, NULL, NULL, &err), 0, "%s",
		     err.message);
	thaw_engine_close(engine);
	return fd;
}

struct thaw_engine *test_start_loaded(const char *name, unsigned max_instances)
{
	struct thaw_engine *engine = open_engine(max_instances);
	struct thaw_error err = THAW_ERROR_INIT;
	int fd = test_freeze(name);

	/* The file stays open with the engine, and ends with the test. */
	cr_assert_eq(thaw_engine_load(engine, fd, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_engine_start(engine, &err), 0, "%s", err.message);
	return engine;
}

void test_boot_fails(const char *name, const char *argument, uint64_t timeout_ns,
		     struct thaw_error *err)
{
	struct thaw_engine *engine = open_engine(1);

	cr_assert_lt(boot(engine, name, argument, timeout_ns, err), 0);
	thaw_engine_close(engine);
}

static void respond(void *context, const void *bytes, size_t length)
{
	struct test_answer *answer = context;

	answer->body = realloc(answer->body, answer->length + length + 1);
	cr_assert_not_null(answer->body);
	memcpy(answer->body + answer->length, bytes, length);
	answer->length += length;
	answer->body[answer->length] = '\0';
}

static int take_log(void *context, const char *line, size_t length)
{
	struct test_answer *answer = context;
	size_t used = strlen(answer->log);

	answer->log_lines++;
	snprintf(answer->log + used, sizeof(answer->log) - used, "%.*s\n", (int)length, line);
	return 0;
}

struct test_answer test_ask(struct thaw_engine *engine, const void *request, size_t length,
			    unsigned deadline_ms)
{
	struct test_answer answer = {.body = calloc(1, 1)};
	struct thaw_run run = {.request = request,
			       .request_length = length,
			       .deadline_ns =
				       thaw_monotonic_ns() +
				       (deadline_ms ? deadline_ms : 60000) * UINT64_C(1000000),
			       .response_max = 4u << 20,
			       .context = &answer,
			       .respond = respond,
			       .log = take_log};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_instance *instance;

	/* The slot of a destroyed instance is freed a little later. */
	for (int i = 0; thaw_instance_create(engine, &instance, &err); i++) {
		cr_assert_lt(i, 5000, "%s", err.message);
		usleep(1000);
	}
	thaw_instance_run(instance, &run, &answer.outcome);
	thaw_instance_destroy(instance);
	return answer;
}

struct test_answer test_ask_text(struct thaw_engine *engine, const char *request)
{
	return test_ask(engine, request, strlen(request), 0);
}

unsigned test_children(void)
{
	unsigned found = 0;
	DIR *proc = opendir("/proc");

	cr_assert_not_null(proc);
	for (struct dirent *entry; (entry = readdir(proc));) {
		char file[300], text[512] = "";
		const char *after;
		int parent = 0;
		FILE *stat;

		snprintf(file, sizeof(file), "/proc/%s/stat", entry->d_name);
		stat = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? fopen(file, "re")
									  : NULL;
		if (!stat)
			continue;
		if (fgets(text, sizeof(text), stat) && (after = strrchr(text, ')')))
			sscanf(after + 1, " %*c %d", &parent);
		fclose(stat);
		found += parent == getpid();
	}
	closedir(proc);
	return found;
}
