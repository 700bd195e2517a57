/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw logs`: what a function's guests have logged, and which invocations failed. */
#include <stdio.h>
#include <time.h>

#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/daemon.h"

#define FOLLOW_NS 200000000

static void print_line(const json_t *line)
{
	const char *level = thaw_json_string(line, "level"), *text = thaw_json_string(line, "text");
	uint64_t invocation = thaw_json_number(line, "invocation");
	char date[THAW_TEXT_MAX], clean[2048], number[32] = "-";

	if (invocation > 0)
		snprintf(number, sizeof(number), "#%llu", (unsigned long long)invocation);
	snprintf(clean, sizeof(clean), "%s %-7s %s", number, level ? level : "?", text ? text : "");
	thaw_clean_text(clean);
	printf("%s %s\n", thaw_text_date(thaw_json_number(line, "time_ns"), date), clean);
}

/* With --follow the list has no end, so each line is a JSON object of its own. */
static int print_lines(const json_t *lines, bool as_json)
{
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const json_t *line = json_array_get(lines, i);

		if (!as_json)
			print_line(line);
		else if (json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 ||
			 putchar('\n') == EOF)
			break;
	}
	return thaw_cli_finish(0);
}

static int fetch(const struct thaw_cli *cli, const char *name, uint64_t since, json_t **reply,
		 struct thaw_error *err)
{
	struct thaw_connection *connection;
	int done;

	if (thaw_cli_connect(cli, name, &connection, err) < 0)
		return -1;
	done = thaw_cli_control(connection,
				json_pack("{s:s, s:I}", "op", "logs", "since", (json_int_t)since),
				reply, err);
	thaw_disconnect(connection);
	return done;
}

/* Connects anew each time, so that it goes on when another worker takes over the function. */
static int follow(const struct thaw_cli *cli, const char *name, bool as_json,
		  struct thaw_error *err)
{
	uint64_t since = 0;

	for (;;) {
		json_t *reply = NULL;
		int printed;

		if (fetch(cli, name, since, &reply, err) < 0)
			return -1;
		since = thaw_json_number(reply, "next");
		printed = print_lines(json_object_get(reply, "lines"), as_json);
		json_decref(reply);
		if (printed != 0)
			return printed;
		nanosleep(&(struct timespec){.tv_nsec = FOLLOW_NS}, NULL);
	}
}

static int show(const struct thaw_cli *cli, const char *name, bool as_json, struct thaw_error *err)
{
	json_t *reply = NULL;
	int code;

	if (fetch(cli, name, 0, &reply, err) < 0)
		return -1;
	if (as_json)
		return thaw_cli_print_json(reply);
	code = print_lines(json_object_get(reply, "lines"), false);
	json_decref(reply);
	return code;
}

int thaw_command_logs(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {.flags = THAW_FLAG_JSON | THAW_FLAG_FOLLOW,
					 .least = 1,
					 .most = 1,
					 .args_doc = "NAME",
					 .doc = "Show what function NAME has logged, and which of "
						"its invocations failed.\vThe daemon keeps "
						"the last 256 KiB of each function."};
	struct thaw_error err = THAW_ERROR_INIT;
	int code;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0)
		return thaw_cli_report(&err);
	if (operands.given & THAW_FLAG_FOLLOW)
		code = follow(cli, operands.operands[0], thaw_cli_json(&operands), &err);
	else
		code = show(cli, operands.operands[0], thaw_cli_json(&operands), &err);
	return code < 0 ? thaw_cli_report(&err) : code;
}
