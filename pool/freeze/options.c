/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the command line of `thaw freeze`. */
#include "pool/freeze/options.h"

#include <string.h>

#include "engine/host/cpu.h"
#include "pool/common/paths.h"
#include "snapshot-format/base/round.h"

enum {
	KEY_MEMORY = 0x100,
	KEY_TIMEOUT,
	KEY_BOOT_TIMEOUT,
	KEY_ENV,
	KEY_NO_DEFAULT_ENV,
	KEY_WARM,
	KEY_CPU,
	KEY_BACKEND,
	KEY_IMAGE,
	KEY_NO_WORKING_SET,
	KEY_FILE,
	KEY_DIR,
	KEY_ROOT,
	KEY_CWD,
	KEY_USER,
	KEY_AT_START,
	KEY_TRACE,
	KEY_NO_DISCOVER,
	KEY_VERBOSE
};

static const struct argp_option options[] = {
	{"memory", KEY_MEMORY, "SIZE", 0,
	 "Memory limit of the function (default 64M, and 512M for a Linux program)", 0},
	{"timeout", KEY_TIMEOUT, "DUR", 0, "Time limit of an invocation (default 30s)", 0},
	{"boot-timeout", KEY_BOOT_TIMEOUT, "DUR", 0,
	 "Time limit of the boot, and of each warm request (default 60s)", 0},
	{"env", KEY_ENV, "K=V", 0,
	 "Environment variable of the program, repeatable. A native function has no others; a "
	 "Linux "
	 "program has PATH, HOME, USER, LOGNAME, LANG and TZ, or what replaces them here",
	 0},
	{"no-default-env", KEY_NO_DEFAULT_ENV, 0, 0,
	 "Give a Linux program no variables but those of --env", 0},
	{"warm", KEY_WARM, "FILE", 0,
	 "Serve this sample request before the image is taken; repeatable", 0},
	{"cpu", KEY_CPU, "LEVEL", 0,
	 "Oldest processor that the image must run on: x86-64-v1, -v2, -v3, -v4, or host. The "
	 "default is x86-64-v3 where the backend can hide the newer features of this host, "
	 "otherwise host",
	 0},
	{"backend", KEY_BACKEND, "KIND", 0, "auto, kvm or process (default auto)", 0},
	{"no-working-set", KEY_NO_WORKING_SET, 0, 0,
	 "Do not record the working set: the pages that the --warm requests, or an empty one, "
	 "touch",
	 0},
	{"no-write-set", 0, 0, OPTION_ALIAS, 0, 0},
	{"image", KEY_IMAGE, "FILE", 0, "Write the image to FILE (*.thaw) instead of installing it",
	 0},
	{0, 0, 0, 0, "For Linux programs:", 1},
	{"file", KEY_FILE, "HOST[:GUEST]", 0,
	 "Give the program this file, at the same path or at GUEST; repeatable", 1},
	{"dir", KEY_DIR, "HOST[:GUEST]", 0, "Give it this directory with its contents; repeatable",
	 1},
	{"root", KEY_ROOT, "DIR|TAR", 0,
	 "Give it a whole root file system, from a directory or a tar archive, plain or compressed",
	 1},
	{"cwd", KEY_CWD, "DIR", 0, "Its current directory (default: this one, or / with --root)",
	 1},
	{"user", KEY_USER, "USER[:GROUP]", 0,
	 "The user that it runs as, by name or number (default: root, but only of its own files)",
	 1},
	{"at-start", KEY_AT_START, 0, 0,
	 "Freeze it at its entry point instead of where it first reads its standard input", 1},
	{"trace", KEY_TRACE, 0, 0,
	 "Log each of its system calls, during the boot and in every invocation", 1},
	{"no-discover", KEY_NO_DISCOVER, 0, 0,
	 "Give it no files but those that are named: do not boot it again with what it looked for",
	 1},
	{"verbose", KEY_VERBOSE, 0, 0, "List the files that it looked for and got", 1},
	{0},
};

static int parse_memory(const char *text, uint64_t *bytes, struct thaw_error *err)
{
	if (thaw_parse_size(text, bytes, err) < 0)
		return -1;
	if (*bytes < THAW_IMAGE_PAGE || *bytes > THAW_IMAGE_MEMORY_MAX)
		return thaw_fail(err, THAW_ERR_USAGE, "--memory must be from 4K to 64G, not '%s'",
				 text);
	*bytes = thaw_round_up(*bytes, THAW_IMAGE_PAGE);
	return 0;
}

static int parse_limit(const char *option, const char *text, uint64_t *ns, struct thaw_error *err)
{
	if (thaw_parse_duration(text, ns, err) < 0)
		return -1;
	if (*ns == 0)
		return thaw_fail(err, THAW_ERR_USAGE, "--%s cannot be 0", option);
	return 0;
}

static int add_env(struct thaw_freeze_options *freeze, char *text, struct thaw_error *err)
{
	if (*text == '=' || !strchr(text, '='))
		return thaw_fail(err, THAW_ERR_USAGE, "--env must be KEY=VALUE, not '%s'", text);
	if (freeze->env_count == THAW_IMAGE_STRINGS_MAX)
		return thaw_fail(err, THAW_ERR_USAGE, "--env: at most %u variables",
				 THAW_IMAGE_STRINGS_MAX);
	freeze->env[freeze->env_count++] = text;
	return 0;
}

static int add_warm(struct thaw_freeze_options *freeze, const char *path, struct thaw_error *err)
{
	if (freeze->warm_count == THAW_WARM_MAX)
		return thaw_fail(err, THAW_ERR_USAGE, "--warm: at most %u requests", THAW_WARM_MAX);
	freeze->warm[freeze->warm_count++] = path;
	return 0;
}

static int set_image(struct thaw_freeze_options *freeze, const char *path, struct thaw_error *err)
{
	size_t length = strlen(path), suffix = strlen(THAW_IMAGE_SUFFIX);

	if (length <= suffix || strcmp(path + length - suffix, THAW_IMAGE_SUFFIX) != 0)
		return thaw_fail(err, THAW_ERR_USAGE, "--image: '%s' does not end in %s", path,
				 THAW_IMAGE_SUFFIX);
	freeze->image = path;
	return 0;
}

static int set_backend(struct thaw_freeze_options *freeze, const char *text, struct thaw_error *err)
{
	if (thaw_backend_from_name(text, &freeze->backend) < 0)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "--backend must be auto, kvm or process, not '%s'", text);
	return 0;
}

static int set_cpu(struct thaw_freeze_options *freeze, const char *text, struct thaw_error *err)
{
	struct thaw_cpu_features features;

	if (thaw_cpu_level(text, &features) < 0)
		return thaw_fail(err, THAW_ERR_USAGE,
				 "--cpu must be x86-64-v1, x86-64-v2, x86-64-v3, x86-64-v4 or "
				 "host, not '%s'",
				 text);
	freeze->cpu_level = text;
	return 0;
}

static int add_file(struct thaw_freeze_options *freeze, enum thaw_freeze_file_kind kind,
		    const char *text, struct thaw_error *err)
{
	if (freeze->file_count == THAW_FILES_MAX)
		return thaw_fail(
			err, THAW_ERR_USAGE,
			"--file, --dir, --root: at most %u in all; a directory counts as one",
			THAW_FILES_MAX);
	if (*text == '\0')
		return thaw_fail(err, THAW_ERR_USAGE, "--file, --dir, --root: the name is empty");
	freeze->files[freeze->file_count++] = (struct thaw_freeze_file){kind, text};
	return 0;
}

static int parse_linux(struct thaw_freeze_options *freeze, int key, const char *argument,
		       struct thaw_error *err)
{
	switch (key) {
	case KEY_FILE:
		return add_file(freeze, THAW_FREEZE_FILE, argument, err);
	case KEY_DIR:
		return add_file(freeze, THAW_FREEZE_DIR, argument, err);
	case KEY_ROOT:
		return add_file(freeze, THAW_FREEZE_ROOT, argument, err);
	case KEY_CWD:
		freeze->cwd = argument;
		return *argument == '/'
			       ? 0
			       : thaw_fail(err, THAW_ERR_USAGE,
					   "--cwd must be an absolute path, not '%s'", argument);
	case KEY_USER:
		freeze->user = argument;
		return 0;
	case KEY_NO_WORKING_SET:
		freeze->no_working_set = true;
		return 0;
	case KEY_NO_DEFAULT_ENV:
		freeze->no_default_env = true;
		return 0;
	case KEY_AT_START:
		freeze->at_start = true;
		return 0;
	case KEY_TRACE:
		freeze->trace = true;
		return 0;
	case KEY_NO_DISCOVER:
		freeze->no_discover = true;
		return 0;
	case KEY_VERBOSE:
		freeze->verbose = true;
		return 0;
	default:
		return 1;
	}
}

static int take_argument(struct thaw_freeze_options *freeze, char *argument,
			 struct argp_state *state, struct thaw_error *err)
{
	if (!freeze->name) {
		freeze->name = argument;
		return thaw_parse_name(argument, err);
	}
	freeze->program = argument;
	freeze->args = state->argv + state->next - 1;
	if (state->argc - state->next + 1 > (int)THAW_IMAGE_STRINGS_MAX)
		return thaw_fail(err, THAW_ERR_USAGE, "at most %u arguments",
				 THAW_IMAGE_STRINGS_MAX);
	state->next = state->argc; /* the rest, options too, belongs to the program */
	return 0;
}

static int parse_one(struct thaw_freeze_options *freeze, int key, char *argument,
		     struct argp_state *state, struct thaw_error *err)
{
	switch (key) {
	case KEY_MEMORY:
		return parse_memory(argument, &freeze->memory_size, err);
	case KEY_TIMEOUT:
		return parse_limit("timeout", argument, &freeze->timeout_ns, err);
	case KEY_BOOT_TIMEOUT:
		return parse_limit("boot-timeout", argument, &freeze->boot_timeout_ns, err);
	case KEY_ENV:
		return add_env(freeze, argument, err);
	case KEY_WARM:
		return add_warm(freeze, argument, err);
	case KEY_CPU:
		return set_cpu(freeze, argument, err);
	case KEY_BACKEND:
		return set_backend(freeze, argument, err);
	case KEY_IMAGE:
		return set_image(freeze, argument, err);
	case ARGP_KEY_ARG:
		return take_argument(freeze, argument, state, err);
	case ARGP_KEY_END:
		if (!freeze->program)
			return thaw_fail(
				err, THAW_ERR_USAGE,
				"no program is named: thaw freeze NAME -- PROGRAM [ARG...]");
		return 0;
	default:
		return parse_linux(freeze, key, argument, err);
	}
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct thaw_error err = THAW_ERROR_INIT;
	int parsed = parse_one(state->input, key, argument, state, &err);

	if (parsed < 0)
		thaw_cli_usage(&err);
	return parsed > 0 ? ARGP_ERR_UNKNOWN : 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME -- PROGRAM [ARG...]",
	.doc = "Boot PROGRAM once, until it first asks for a request, and keep that state as "
	       "function NAME."
	       "\vPROGRAM is a native function, or any program or script for Linux. It runs in a "
	       "jail without network. Its files are copies: itself, its shared "
	       "libraries, the files that its arguments name, what it looks for in its project "
	       "and in this host's libraries, and what the options above give it. "
	       "Its standard input is the request, its standard output the response. What it "
	       "writes to standard error during the boot appears on this one. Sizes are like 64M "
	       "or 1G, durations like 500ms or 2s.",
};

int thaw_freeze_parse(struct thaw_cli *cli, struct thaw_freeze_options *freeze, int argc,
		      char **argv, struct thaw_error *err)
{
	*freeze = (struct thaw_freeze_options){
		.timeout_ns = UINT64_C(30000000000),
		.boot_timeout_ns = UINT64_C(60000000000),
		.backend = THAW_BACKEND_AUTO,
	};
	return thaw_cli_parse(cli, &argp, argc, argv, freeze, err);
}
