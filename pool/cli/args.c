/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of commands that take operands and few flags; see args.h. */
#include "pool/cli/args.h"

static const struct argp_option json_option = {
	"json", 'j', NULL, 0, "Print one JSON object, for programs", 0};
static const struct argp_option follow_option = {
	"follow", 'f', NULL, 0, "Go on and print new lines as they come, until interrupted", 0};

static int flag_of(int key)
{
	return key == 'j' ? THAW_FLAG_JSON : key == 'f' ? THAW_FLAG_FOLLOW : 0;
}

static int take(struct thaw_operands *operands, struct argp_state *state, char *argument,
		struct thaw_error *err)
{
	if (operands->count == operands->most)
		return thaw_fail(err, THAW_ERR_USAGE, "'%s' is one argument too many", argument);
	/* Operands are collected at the front of argv, over arguments that are parsed already. */
	if (operands->count == 0)
		operands->operands = state->argv + 1;
	operands->operands[operands->count++] = argument;
	return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct thaw_operands *operands = state->input;
	struct thaw_error err = THAW_ERROR_INIT;
	int parsed = 0;

	if (key == ARGP_KEY_ARG)
		parsed = take(operands, state, argument, &err);
	else if (key == ARGP_KEY_END && operands->count < operands->least)
		parsed = thaw_fail(&err, THAW_ERR_USAGE, "an argument is missing: %s %s",
				   state->name, operands->args_doc);
	else if (flag_of(key))
		operands->given |= (unsigned)flag_of(key);
	else if (key != ARGP_KEY_END)
		return ARGP_ERR_UNKNOWN;
	if (parsed < 0)
		thaw_cli_usage(&err);
	return 0;
}

int thaw_cli_operands(struct thaw_cli *cli, struct thaw_operands *operands, int argc, char **argv,
		      struct thaw_error *err)
{
	struct argp_option options[3] = {{0}};
	size_t count = 0;
	struct argp argp = {
		.parser = parse,
		.args_doc = operands->args_doc,
		.doc = operands->doc,
	};

	if (operands->flags & THAW_FLAG_JSON)
		options[count++] = json_option;
	if (operands->flags & THAW_FLAG_FOLLOW)
		options[count++] = follow_option;
	/* NULL when there are none: the C library's help leaks an empty list. */
	argp.options = count > 0 ? options : NULL;
	return thaw_cli_parse(cli, &argp, argc, argv, operands, err);
}
