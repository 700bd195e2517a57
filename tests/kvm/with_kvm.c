/* SPDX-License-Identifier: Apache-2.0 */
/* Engines for tests with real virtual machines; see with_kvm.h. */
#include "tests/kvm/with_kvm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

/* Runs before main(), which belongs to Criterion. */
__attribute__((constructor)) static void leave_without_kvm(void)
{
	struct thaw_check checks[THAW_CHECKS_MAX];
	size_t count = 0;

	/* The device alone proves nothing: some hosts have it and cannot run our guests. */
	if (thaw_backend_probe(THAW_BACKEND_KVM, checks, &count) == 0)
		return;
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "KVM, %s: %s\n", checks[i].name, checks[i].detail);
	/* Meson takes 77 for skipped. */
	exit(getenv("THAW_TEST_NO_SKIP") ? 1 : 77);
}

struct thaw_engine *with_guest(enum thaw_backend_kind kind, const char *name, uint64_t memory_size,
			       unsigned max_instances)
{
	struct thaw_engine_config config = {.backend = kind, .max_instances = max_instances};
	char path[512], *args[] = {path, NULL};
	struct thaw_boot_config boot = {.name = "test",
					.program = path,
					.args = args,
					.memory_size = memory_size,
					.boot_timeout_ns = UINT64_C(60000000000),
					.cpu_level = "host"};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine;

	snprintf(path, sizeof(path), "%s/%s", TEST_GUESTS, name);
	boot.program_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (boot.program_fd < 0)
		die(path, "is not built");
	if (thaw_engine_open(&config, &engine, &err) || thaw_engine_boot(engine, &boot, &err) ||
	    thaw_engine_start(engine, &err))
		die(thaw_backend_name(kind), err.message);
	close(boot.program_fd);
	return engine;
}

struct thaw_instance *with_instance(struct thaw_engine *engine)
{
	struct thaw_instance *instance;
	struct thaw_error err = THAW_ERROR_INIT;

	for (unsigned tries = 0; thaw_instance_create(engine, &instance, &err); tries++) {
		if (tries > 20000)
			die("cannot make an instance", err.message);
		usleep(1000);
	}
	return instance;
}

static void respond(void *context, const void *bytes, size_t length)
{
	struct with_answer *answer = context;
	size_t room =
		answer->length < sizeof(answer->body) ? sizeof(answer->body) - answer->length : 0;

	memcpy(answer->body + answer->length, bytes, length < room ? length : room);
	answer->length += length;
}

void with_run(struct thaw_instance *instance, const void *request, size_t length,
	      uint64_t deadline_ns, struct with_answer *answer)
{
	struct thaw_run run = {.request = request,
			       .request_length = length,
			       .deadline_ns = deadline_ns,
			       .response_max = 1u << 20,
			       .context = answer,
			       .respond = respond};

	answer->length = 0;
	thaw_instance_run(instance, &run, &answer->outcome);
}
