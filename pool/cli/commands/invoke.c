/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw invoke`: standard input is the request, standard output the response, and the exit status
 * is the function's. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pool/cli/commands/commands.h"
#include "pool/cli/daemon.h"
#include "pool/cli/files.h"
#include "snapshot-format/base/cleanup.h"

struct invoke_options {
	const char *name;
	uint64_t timeout_ns;
	bool verbose;
};

static const struct argp_option options[] = {
	{"timeout", 't', "DUR", 0, "Time limit; at most, and by default, the function's own", 0},
	{"verbose", 'v', NULL, 0, "Say how the instance was started and how long each step took",
	 0},
	{0},
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct invoke_options *invoke = state->input;
	struct thaw_error err = THAW_ERROR_INIT;
	int parsed = 0;

	switch (key) {
	case 't':
		parsed = thaw_parse_duration(argument, &invoke->timeout_ns, &err);
		if (parsed == 0 && invoke->timeout_ns == 0)
			parsed = thaw_fail(&err, THAW_ERR_USAGE, "--timeout cannot be 0");
		break;
	case 'v':
		invoke->verbose = true;
		break;
	case ARGP_KEY_ARG:
		if (invoke->name)
			parsed = thaw_fail(&err, THAW_ERR_USAGE,
					   "'%s' is one argument too many: the request comes from "
					   "standard input",
					   argument);
		invoke->name = argument;
		break;
	case ARGP_KEY_END:
		if (!invoke->name)
			parsed = thaw_fail(&err, THAW_ERR_USAGE,
					   "no function is named: thaw invoke NAME");
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
	.args_doc = "NAME",
	.doc = "Send standard input to function NAME and write its answer to standard output."
	       "\vThe exit status is the function's own, or: 124 its time ran out, 125 the daemon "
	       "failed or does not run, 126 the image cannot run here, 127 there is no such "
	       "function.",
};

static void tell_timings(const char *name, const struct thaw_response *response)
{
	char queued[THAW_TEXT_MAX], run[THAW_TEXT_MAX], total[THAW_TEXT_MAX];

	thaw_cli_say("%s: %s with code %d, start: %s, queued %s, ran %s, total %s, %zu bytes", name,
		     response->outcome, response->exit_code, response->start,
		     thaw_text_duration(response->queued_ns, queued),
		     thaw_text_duration(response->run_ns, run),
		     thaw_text_duration(response->total_ns, total), response->length);
}

static int finish(const struct invoke_options *invoke, const struct thaw_response *response,
		  struct thaw_error *err)
{
	/* Even a function that failed may have answered before: its bytes are printed. */
	if (thaw_write_response(response->body, response->length, err) < 0)
		return thaw_cli_report(err);
	if (response->message[0])
		thaw_cli_say("%s: %s", invoke->name, response->message);
	if (invoke->verbose)
		tell_timings(invoke->name, response);
	return response->exit_code;
}

int thaw_command_invoke(struct thaw_cli *cli, int argc, char **argv)
{
	struct invoke_options invoke = {0};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_client_error failure = {0};
	struct thaw_connection *connection = NULL;
	struct thaw_response response = {0};
	struct thaw_bytes request = {0};
	int code;

	/* Connect first, so that a wrong name is reported before the user types a request. */
	if (thaw_cli_parse(cli, &argp, argc, argv, &invoke, &err) < 0 ||
	    thaw_cli_connect(cli, invoke.name, &connection, &err) < 0)
		return thaw_cli_report(&err);
	if (thaw_read_request(STDIN_FILENO, &request, &err) < 0) {
		code = thaw_cli_report(&err);
	} else if (thaw_invoke(connection, request.data, request.length, invoke.timeout_ns,
			       &response, &failure) < 0) {
		thaw_cli_adopt(&err, &failure);
		code = thaw_cli_report(&err);
	} else {
		code = finish(&invoke, &response, &err);
	}
	thaw_response_clear(&response);
	thaw_disconnect(connection);
	free(request.data);
	return code;
}
