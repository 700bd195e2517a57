/* SPDX-License-Identifier: Apache-2.0 */
/* One parser for the commands that take some operands and only flags that several commands
 * share. */
#ifndef THAW_CLI_ARGS_H
#define THAW_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "pool/cli/cli.h"

enum thaw_flag { THAW_FLAG_JSON = 1, THAW_FLAG_FOLLOW = 2 };

struct thaw_operands {
	/* What the command takes: set by the caller. */
	unsigned flags; /* enum thaw_flag bits that are allowed */
	size_t least, most;
	const char *args_doc, *doc;
	/* What was given: set by thaw_cli_operands(). */
	unsigned given;	 /* enum thaw_flag bits */
	char **operands; /* COUNT strings in argv */
	size_t count;
};

/* As thaw_cli_parse(). */
int thaw_cli_operands(struct thaw_cli *cli, struct thaw_operands *operands, int argc, char **argv,
		      struct thaw_error *err);

static inline bool thaw_cli_json(const struct thaw_operands *operands)
{
	return operands->given & THAW_FLAG_JSON;
}

#endif
