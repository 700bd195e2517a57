/* SPDX-License-Identifier: Apache-2.0 */
/* Parses a command line: the options that every command takes, and the command's own. */
#include "pool/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "pool/common/paths.h"

enum { KEY_STATE = 0x1000, KEY_RUN };

static const struct argp_option global_options[] = {
	{"state", KEY_STATE, "DIR", 0,
	 "Directory of the images (default: $THAW_STATE, else the system's)", 90},
	{"run", KEY_RUN, "DIR", 0,
	 "Directory of the daemon's sockets (default: $THAW_RUN, else the system's)", 90},
	{0},
};

static error_t parse_global(int key, char *argument, struct argp_state *state)
{
	struct thaw_cli *cli = state->input;

	switch (key) {
	case KEY_STATE:
		cli->state_option = argument;
		return 0;
	case KEY_RUN:
		cli->run_option = argument;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp global_argp = {global_options, parse_global, NULL, NULL, NULL, NULL, NULL};

const struct argp_child thaw_cli_global_options[] = {
	{&global_argp, 0, "Common options:", 90},
	{0},
};

struct wrapped {
	struct thaw_cli *cli;
	const struct argp *argp;
	void *input;
};

/* Gives the parser of the shared options its input, and passes everything else to the command's
 * parser. */
static error_t parse_wrapped(int key, char *argument, struct argp_state *state)
{
	struct wrapped *wrapped = state->input;
	error_t result = ARGP_ERR_UNKNOWN;

	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = wrapped->cli;
	if (wrapped->argp->parser) {
		state->input = wrapped->input;
		result = wrapped->argp->parser(key, argument, state);
		state->input = wrapped;
	}
	return result;
}

int thaw_cli_parse(struct thaw_cli *cli, const struct argp *argp, int argc, char **argv,
		   void *input, struct thaw_error *err)
{
	struct wrapped wrapped = {cli, argp, input};
	struct argp with_globals = *argp;

	with_globals.parser = parse_wrapped;
	with_globals.children = thaw_cli_global_options;
	/* ARGP_IN_ORDER: for freeze, options after the program's name belong to the program. */
	if (argp_parse(&with_globals, argc, argv, ARGP_IN_ORDER, NULL, &wrapped) != 0)
		return thaw_fail(err, THAW_ERR_USAGE, "cannot parse the command line");
	if (thaw_paths_state(cli->state_option, &cli->state, err) < 0 ||
	    thaw_paths_run(cli->run_option, &cli->run, err) < 0)
		return -1;
	return 0;
}

void thaw_cli_usage(const struct thaw_error *err)
{
	exit(thaw_cli_report(err));
}
