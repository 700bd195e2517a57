/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a backend works here: a trial guest is booted, thawed and sent requests, by the same code
 * as any other guest. A device node or a kernel version would prove less.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/backend.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/memory_file.h"

#define TRIAL_NS     10000000000u
#define TRIAL_MEMORY (1u << 20)

extern const uint8_t thaw_trial_guest[], thaw_trial_guest_end[];

struct reply {
	uint8_t bytes[256];
	size_t length;
};

static void take(void *context, const void *bytes, size_t length)
{
	struct reply *reply = context;

	if (length > sizeof(reply->bytes) - reply->length)
		length = sizeof(reply->bytes) - reply->length;
	memcpy(reply->bytes + reply->length, bytes, length);
	reply->length += length;
}

static int ask(struct thaw_engine *engine, struct thaw_error *err)
{
	uint8_t request[256];
	struct reply reply = {.length = 0};
	struct thaw_outcome outcome = {0};
	struct thaw_instance *instance;
	struct thaw_run run = {.request = request,
			       .request_length = sizeof(request),
			       .deadline_ns = thaw_monotonic_ns() + TRIAL_NS,
			       .response_max = sizeof(reply.bytes),
			       .context = &reply,
			       .respond = take};

	for (unsigned i = 0; i < sizeof(request); i++)
		request[i] = (uint8_t)(i * 7);
	if (thaw_instance_create(engine, &instance, err))
		return -1;
	thaw_instance_run(instance, &run, &outcome);
	thaw_instance_destroy(instance);
	if (outcome.kind != THAW_OUTCOME_finished || outcome.exit_code)
		return thaw_fail(err, THAW_ERR_ENGINE, "the trial guest %s: %s",
				 thaw_outcome_name(outcome.kind), outcome.message);
	for (unsigned i = 0; i < sizeof(request); i++)
		if (reply.length != sizeof(request) || reply.bytes[i] != 255 - request[i])
			return thaw_fail(err, THAW_ERR_ENGINE, "the trial guest answered wrongly");
	return 0;
}

static int boot_and_ask(struct thaw_engine *engine, struct thaw_error *err)
{
	static char name[] = "trial";
	char *const args[] = {name, NULL};
	size_t size = (size_t)(thaw_trial_guest_end - thaw_trial_guest);
	thaw_autoclose int program = thaw_memory_file("thaw-trial", 0, err);
	struct thaw_boot_config config = {.name = name,
					  .program = "the trial guest",
					  .program_fd = program,
					  .args = args,
					  .memory_size = TRIAL_MEMORY,
					  .timeout_ns = TRIAL_NS,
					  .boot_timeout_ns = TRIAL_NS};

	if (program < 0)
		return -1;
	if (write(program, thaw_trial_guest, size) != (ssize_t)size)
		return thaw_fail(err, THAW_ERR_ENGINE, "no memory for the trial guest");
	if (thaw_engine_boot(engine, &config, err) || thaw_engine_start(engine, err))
		return -1;
	/* Twice: the second request must find nothing of the first. */
	return ask(engine, err) || ask(engine, err) ? -1 : 0;
}

int thaw_backend_probe(enum thaw_backend_kind kind, struct thaw_check *checks, size_t *count)
{
	struct thaw_engine_config config = {
		.backend = kind, .max_instances = 2, .load_threads = 1, .no_uring = true};
	struct thaw_check *check = &checks[(*count)++];
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t started_ns = thaw_monotonic_ns();
	struct thaw_engine *engine = NULL;
	int result = -1;

	if (thaw_engine_open(&config, &engine, &err) == 0)
		result = boot_and_ask(engine, &err);
	thaw_engine_close(engine);
	check->name = "trial guest";
	check->state = result ? THAW_CHECK_MISSING : THAW_CHECK_OK;
	if (result)
		snprintf(check->detail, sizeof(check->detail), "%.255s", err.message);
	else
		snprintf(check->detail, sizeof(check->detail),
			 "booted, thawed and asked twice in %.1f ms",
			 (double)(thaw_monotonic_ns() - started_ns) / 1e6);
	return result;
}
