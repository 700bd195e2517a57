/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that take some operands and a few flags that many share: one parser for all of them. */
#ifndef THAW_CLI_ARGS_H
#define THAW_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "pool/cli/cli.h"

enum thaw_flag { THAW_FLAG_JSON = 1, THAW_FLAG_FOLLOW = 2 };

struct thaw_operands {
	/* What the command takes. */
	unsigned flags; /* enum thaw_flag bits that are allowed */
	size_t least, most;
	const char *args_doc, *doc;
	/* What was given. */
	unsigned given;
	char **operands; /* into argv, which argp sorted: COUNT of them */
	size_t count;
};

/* Parses, and resolves the directories of CLI. Usage errors end the program. Returns 0, or -1 with
 * ERR. */
int thaw_cli_operands(struct thaw_cli *cli, struct thaw_operands *operands, int argc, char **argv,
		      struct thaw_error *err);

static inline bool thaw_cli_json(const struct thaw_operands *operands)
{
	return operands->given & THAW_FLAG_JSON;
}

#endif
