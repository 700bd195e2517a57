/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw prewarm`: sets how many fresh instances a function's worker holds, and waits until they are
 * ready. */
#include <stdio.h>

#include "engine/engine.h"
#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/daemon.h"

static int prewarm(const struct thaw_cli *cli, const char *name, uint64_t count, json_t **reply,
		   struct thaw_error *err)
{
	struct thaw_connection *connection;
	int done;

	if (thaw_cli_connect(cli, name, &connection, err) < 0)
		return -1;
	done = thaw_cli_control(
		connection, json_pack("{s:s, s:I}", "op", "prewarm", "count", (json_int_t)count),
		reply, err);
	thaw_disconnect(connection);
	return done;
}

int thaw_command_prewarm(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {
		.flags = THAW_FLAG_JSON,
		.least = 2,
		.most = 2,
		.args_doc = "NAME COUNT",
		.doc = "Keep COUNT fresh instances of function NAME ready, and wait until they are."
		       "\vThe setting lasts until the function's worker is replaced."};
	struct thaw_error err = THAW_ERROR_INIT;
	json_t *reply = NULL;
	uint64_t count;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0 ||
	    thaw_parse_number(operands.operands[1], "COUNT", 0, THAW_INSTANCES_MAX, &count, &err) <
		    0 ||
	    prewarm(cli, operands.operands[0], count, &reply, &err) < 0)
		return thaw_cli_report(&err);
	if (thaw_cli_json(&operands))
		return thaw_cli_print_json(reply);
	thaw_cli_say("%s: %llu fresh instances are ready", operands.operands[0],
		     (unsigned long long)thaw_json_number(reply, "ready"));
	json_decref(reply);
	return 0;
}
