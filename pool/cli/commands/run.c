/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw run`: runs one invocation of an image file without a daemon, in a jailed child as `thaw
 * freeze` boots. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/files.h"
#include "pool/jailed/exchange.h"
#include "pool/wire/protocol.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

struct run_options {
	const char *path;
	uint64_t timeout_ns;
	enum thaw_backend_kind backend;
	bool verbose;
};

static const struct argp_option options[] = {
	{"timeout", 't', "DUR", 0, "Time limit (default: the one the image was frozen with)", 0},
	{"backend", 'b', "KIND", 0, "auto, kvm or process (default auto)", 0},
	{"verbose", 'v', NULL, 0, "Say how long each step took", 0},
	{0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct run_options *run = state->input;
	struct thaw_error err = THAW_ERROR_INIT;
	int parsed = 0;

	switch (key) {
	case 't':
		parsed = thaw_parse_duration(argument, &run->timeout_ns, &err);
		if (parsed == 0 && run->timeout_ns == 0)
			parsed = thaw_fail(&err, THAW_ERR_USAGE, "--timeout cannot be 0");
		break;
	case 'b':
		if (thaw_backend_from_name(argument, &run->backend) < 0)
			parsed = thaw_fail(&err, THAW_ERR_USAGE,
					   "--backend must be auto, kvm or process, not '%s'",
					   argument);
		break;
	case 'v':
		run->verbose = true;
		break;
	case ARGP_KEY_ARG:
		if (run->path)
			parsed = thaw_fail(&err, THAW_ERR_USAGE,
					   "'%s' is one argument too many: the request comes from "
					   "standard input",
					   argument);
		run->path = argument;
		break;
	case ARGP_KEY_END:
		if (!run->path)
			parsed = thaw_fail(&err, THAW_ERR_USAGE,
					   "no image is named: thaw run FILE.thaw");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (parsed < 0)
		thaw_cli_usage(&err);
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE.thaw",
	.doc = "Run one invocation of an image file, without a daemon: standard input is the "
	       "request, standard output the response."
	       "\vThe exit status is as for 'thaw invoke'.",
};

/* ---- In the jail ---- */

struct run_result {
	uint32_t outcome; /* enum thaw_outcome_kind */
	int32_t exit_code;
	uint64_t run_ns, ready_ns;
	char message[256];
};

struct run_job {
	const struct run_options *options;
	struct thaw_bytes request;
	int image_fd;
	/* What the parent takes from the child. */
	struct thaw_bytes response;
	struct run_result result;
};

static void on_response(void *context, const void *bytes, size_t length)
{
	thaw_jailed_send_data(context, 0, bytes, length);
}

static int on_log(void *context, const char *line, size_t length)
{
	thaw_jailed_send(context, THAW_JAILED_LOG, 0, line, length);
	return 0;
}

static void invoke(struct thaw_jailed *self, const struct run_job *job, struct thaw_engine *engine,
		   struct thaw_instance *instance, uint64_t begun_ns)
{
	uint64_t own_ns = thaw_engine_meta(engine)->timeout_ns;
	uint64_t timeout_ns = job->options->timeout_ns ? job->options->timeout_ns : own_ns;
	struct thaw_outcome outcome;
	struct run_result result = {0};
	struct thaw_run run = {
		.request = job->request.data,
		.request_length = job->request.length,
		.response_max = THAW_RESPONSE_MAX,
		.context = self,
		.respond = on_response,
		.log = on_log,
	};

	while (!thaw_instance_ready(instance) &&
	       thaw_monotonic_ns() - begun_ns < UINT64_C(10000000000))
		nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	result.ready_ns = thaw_monotonic_ns() - begun_ns;
	if (timeout_ns > 0 &&
	    __builtin_add_overflow(thaw_monotonic_ns(), timeout_ns, &run.deadline_ns))
		run.deadline_ns = 0;
	thaw_instance_run(instance, &run, &outcome);
	result.outcome = outcome.kind;
	result.exit_code = outcome.exit_code;
	result.run_ns = outcome.run_ns;
	snprintf(result.message, sizeof(result.message), "%s", outcome.message);
	thaw_jailed_send(self, THAW_JAILED_RESULT, 0, &result, sizeof(result));
}

static int load_and_invoke(struct thaw_jailed *self, const struct run_job *job,
			   struct thaw_engine *engine, struct thaw_error *err)
{
	struct thaw_instance *instance = NULL;
	uint64_t begun_ns = thaw_monotonic_ns();

	if (thaw_engine_load(engine, job->image_fd, err) < 0 || thaw_jail_seal_loaded(err) < 0 ||
	    thaw_engine_start(engine, err) < 0 || thaw_instance_create(engine, &instance, err) < 0)
		return -1;
	invoke(self, job, engine, instance, begun_ns);
	thaw_instance_destroy(instance);
	return 0;
}

static int work(struct thaw_jailed *self, void *context)
{
	const struct run_job *job = context;
	const struct thaw_engine_config config = {
		.backend = job->options->backend, .kvm_fd = &self->kvm_fd, .max_instances = 1};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine = NULL;
	int done = -1;

	if (thaw_engine_open(&config, &engine, &err) == 0) {
		/* The KVM backend holds a descriptor of its own by now. */
		thaw_cleanup_close(&self->kvm_fd);
		if (thaw_jail_seal(THAW_JAIL_FREEZER, &err) == 0)
			done = load_and_invoke(self, job, engine, &err);
	}
	if (done < 0)
		thaw_jailed_fail(self, &err);
	thaw_engine_close(engine);
	return done < 0;
}

/* ---- Outside ---- */

static int take_result(struct run_job *job, const struct thaw_jailed_message *message,
		       struct thaw_error *err)
{
	struct run_result *result = &job->result;

	if (message->length != sizeof(*result))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent a malformed result");
	memcpy(result, message->payload, sizeof(*result));
	result->message[sizeof(result->message) - 1] = '\0';
	if (result->outcome >= THAW_OUTCOME_COUNT || result->exit_code < 0 ||
	    result->exit_code > 255)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent a malformed result");
	return 1;
}

static int take(void *context, const struct thaw_jailed_message *message, struct thaw_error *err)
{
	struct run_job *job = context;

	switch (message->type) {
	case THAW_JAILED_LOG:
		thaw_cli_say("[guest] %s", (const char *)message->payload);
		return 0;
	case THAW_JAILED_DATA:
		return thaw_exchange_append(message, &job->response, THAW_RESPONSE_MAX, err);
	case THAW_JAILED_RESULT:
		return take_result(job, message, err);
	default:
		return thaw_exchange_refuse(message, err);
	}
}

static int finish(const struct run_job *job, struct thaw_error *err)
{
	const struct run_options *run = job->options;
	const struct run_result *result = &job->result;
	char ready[THAW_TEXT_MAX], ran[THAW_TEXT_MAX];

	if (thaw_write_response(job->response.data, job->response.length, err) < 0)
		return thaw_cli_report(err);
	if (result->message[0])
		thaw_cli_say("%s: %s", run->path, result->message);
	if (run->verbose)
		thaw_cli_say("%s: %s with code %d, loaded and ready in %s, ran %s, %zu bytes",
			     run->path, thaw_outcome_name(result->outcome), result->exit_code,
			     thaw_text_duration(result->ready_ns, ready),
			     thaw_text_duration(result->run_ns, ran), job->response.length);
	return result->exit_code;
}

int thaw_command_run(struct thaw_cli *cli, int argc, char **argv)
{
	struct run_options run = {.backend = THAW_BACKEND_AUTO};
	struct thaw_error err = THAW_ERROR_INIT;
	struct run_job job = {.options = &run, .image_fd = -1};
	struct thaw_exchange exchange = {.what = "runs the image",
					 .fds = &job.image_fd,
					 .fd_count = 1,
					 .work = work,
					 .take = take,
					 .context = &job};
	thaw_autoclose int image_fd = -1;
	int code;

	if (thaw_cli_parse(cli, &argp, argc, argv, &run, &err) < 0)
		return thaw_cli_report(&err);
	image_fd = open(run.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (image_fd < 0)
		thaw_fail_errno(&err, errno == ENOENT ? THAW_ERR_NOT_FOUND : THAW_ERR_FAILURE,
				errno, "cannot open image %s", run.path);
	job.image_fd = image_fd;
	if (image_fd < 0 || thaw_read_request(STDIN_FILENO, &job.request, &err) < 0)
		return thaw_cli_report(&err);
	if (thaw_exchange_run(&exchange, &err) < 0)
		code = thaw_cli_report(&err);
	else
		code = finish(&job, &err);
	free(job.request.data);
	free(job.response.data);
	return code;
}
