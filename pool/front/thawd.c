/* SPDX-License-Identifier: Apache-2.0 */
/* thawd: its command line, and which of its two roles this process has: front or worker. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/common/log.h"
#include "pool/front/front.h"
#include "pool/worker/start.h"

const char *argp_program_version = "thawd " THAW_VERSION;

enum key {
	KEY_STATE = 0x100,
	KEY_RUN,
	KEY_IMAGE_DIR,
	KEY_POOL,
	KEY_MAX_INSTANCES,
	KEY_CONCURRENCY,
	KEY_QUEUE,
	KEY_BACKEND,
	KEY_REUSE,
	KEY_NO_WORKING_SETS,
	KEY_LOG_LEVEL,
	KEY_WORKER
};

static const struct argp_option descriptions[] = {
	{"state", KEY_STATE, "DIR", 0, "The directory of images (THAW_STATE)", 0},
	{"run", KEY_RUN, "DIR", 0, "The directory of sockets (THAW_RUN)", 0},
	{"image-dir", KEY_IMAGE_DIR, "DIR", 0,
	 "Keep loaded images here, on tmpfs or hugetlbfs, from one start of thawd to the next", 0},
	{"pool", KEY_POOL, "N", 0, "Fresh instances to hold for each function (8)", 0},
	{"max-instances", KEY_MAX_INSTANCES, "N", 0, "Instances of a function, at most (4096)", 0},
	{"concurrency", KEY_CONCURRENCY, "N", 0,
	 "Requests of a function that run at once, at most (64)", 0},
	{"queue", KEY_QUEUE, "N", 0, "Requests of a function that wait, at most (1024)", 0},
	{"backend", KEY_BACKEND, "NAME", 0, "auto, kvm or process (auto)", 0},
	{"reuse", KEY_REUSE, "HOW", 0,
	 "recycle spent instances where the backend can, or destroy them (recycle)", 0},
	{"no-working-sets", KEY_NO_WORKING_SETS, 0, 0,
	 "Do not prefault the image's working set in fresh instances", 0},
	{"no-write-sets", 0, 0, OPTION_ALIAS, 0, 0},
	{"log-level", KEY_LOG_LEVEL, "LEVEL", 0, "error, warning, info or debug (info)", 0},
	{"worker", KEY_WORKER, NULL, OPTION_HIDDEN, NULL, 0},
	{0}};

struct arguments {
	struct thaw_front_options front;
	enum thaw_log_level level;
};

static unsigned number(const struct argp_state *state, const char *name, const char *text,
		       unsigned least, unsigned most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < least || value > most)
		argp_error(state, "--%s must be a number from %u to %u, not '%s'", name, least,
			   most, text);
	return (unsigned)value;
}

static void check(const struct argp_state *state, const struct thaw_front_options *front)
{
	if (front->concurrency > front->max_instances)
		argp_error(state, "--concurrency %u cannot exceed --max-instances %u",
			   front->concurrency, front->max_instances);
	if (front->pool > front->max_instances)
		argp_error(state, "--pool %u cannot exceed --max-instances %u", front->pool,
			   front->max_instances);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	struct thaw_front_options *front = &arguments->front;

	switch (key) {
	case KEY_STATE:
		front->state = argument;
		break;
	case KEY_RUN:
		front->run = argument;
		break;
	case KEY_IMAGE_DIR:
		front->image_dir = argument;
		break;
	case KEY_POOL:
		front->pool = number(state, "pool", argument, 0, THAW_INSTANCES_MAX);
		break;
	case KEY_MAX_INSTANCES:
		front->max_instances =
			number(state, "max-instances", argument, 1, THAW_INSTANCES_MAX);
		break;
	case KEY_CONCURRENCY:
		front->concurrency = number(state, "concurrency", argument, 1, 4096);
		break;
	case KEY_QUEUE:
		front->queue = number(state, "queue", argument, 0, 1u << 20);
		break;
	case KEY_BACKEND:
		if (thaw_backend_from_name(argument, &front->backend) < 0)
			argp_error(state, "--backend must be auto, kvm or process, not '%s'",
				   argument);
		break;
	case KEY_REUSE:
		front->recycle = strcmp(argument, "recycle") == 0;
		if (!front->recycle && strcmp(argument, "destroy") != 0)
			argp_error(state, "--reuse must be recycle or destroy, not '%s'", argument);
		break;
	case KEY_NO_WORKING_SETS:
		front->no_working_sets = true;
		break;
	case KEY_LOG_LEVEL:
		if (thaw_log_level_from_name(argument, &arguments->level) < 0)
			argp_error(state,
				   "--log-level must be error, warning, info or debug, not '%s'",
				   argument);
		break;
	case KEY_WORKER:
		/* The front gives a worker no other option. */
		exit(thaw_worker_main());
	case ARGP_KEY_END:
		check(state, front);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = descriptions,
		.parser = parse,
		.doc = "Serves each function of the state directory on a local socket of its own.\v"
		       "Runs in the foreground until SIGTERM. SIGHUP reads the state directory "
		       "anew.",
	};
	struct arguments arguments = {
		.front = {.pool = 8,
			  .max_instances = 4096,
			  .concurrency = 64,
			  .queue = 1024,
			  .recycle = true},
		.level = THAW_LOG_info,
	};
	struct thaw_error err = THAW_ERROR_INIT;

	argp_err_exit_status = THAW_ERR_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	thaw_log_configure(arguments.level, false);
	if (thaw_front_run(&arguments.front, &err) == 0)
		return 0;
	fprintf(stderr, "thawd: %s\n", err.message);
	return err.kind;
}
