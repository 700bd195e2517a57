/* SPDX-License-Identifier: Apache-2.0 */
/* What every command of `thaw` starts with: its command line and the options that all commands
 * share. */
#ifndef THAW_CLI_H
#define THAW_CLI_H

#include <argp.h>

#include "pool/cli/output.h"
#include "pool/cli/parse.h"
#include "snapshot-format/base/error.h"

/* The shared options, which stand before the command or after it, and the directories that they
 * choose. */
struct thaw_cli {
	const char *state_option, *run_option;
	char *state, *run; /* absolute; set by thaw_cli_parse() */
};

/* Parses a command's own options, by ARGP with INPUT, and the shared ones; then resolves the
 * directories of CLI. A usage error ends the program with code 2. Returns 0, or -1 with ERR. */
int thaw_cli_parse(struct thaw_cli *cli, const struct argp *argp, int argc, char **argv,
		   void *input, struct thaw_error *err);

/* The shared options; their parser's input is a struct thaw_cli. */
extern const struct argp_child thaw_cli_global_options[];

/* For parsers: reports a usage error and ends the program with code 2. */
_Noreturn void thaw_cli_usage(const struct thaw_error *err);

#endif
