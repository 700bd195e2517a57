/* SPDX-License-Identifier: Apache-2.0 */
/* The `thaw` client: finds the command that is named and calls it. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cli/commands/commands.h"

struct command {
	const char *name, *what;
	int (*run)(struct thaw_cli *cli, int argc, char **argv);
};

#define COMMAND_ROW(name, what)	 {#name, what, thaw_command_##name},
#define COMMAND_NAME(name, what) #name,

static const struct command commands[] = {THAW_COMMANDS(COMMAND_ROW)};
static const char *const command_names[] = {THAW_COMMANDS(COMMAND_NAME) "help", NULL};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *nearest = thaw_nearest(name, command_names);

	if (nearest)
		thaw_cli_say("no command '%s': did you mean 'thaw %s'?", name, nearest);
	else
		thaw_cli_say("no command '%s': 'thaw --help' lists the commands", name);
	return THAW_ERR_USAGE;
}

/* argp takes the program's name for its messages from argv[0]. */
static int run_command(const struct command *command, struct thaw_cli *cli, int argc, char **argv)
{
	static char full_name[64];
	int code;

	snprintf(full_name, sizeof(full_name), "thaw %s", command->name);
	argv[0] = full_name;
	program_invocation_short_name = full_name;
	code = command->run(cli, argc, argv);
	free(cli->state);
	free(cli->run);
	return code;
}

static int show_help_of(const char *name, struct thaw_cli *cli)
{
	char option[] = "--help", nothing[] = "";
	char *argv[] = {nothing, option, NULL};
	const struct command *command = find_command(name);

	return command ? run_command(command, cli, 2, argv) : unknown_command(name);
}

/* Puts the list of commands where argp prints the text after the options. */
static char *help_filter(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t size = 0;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	out = open_memstream(&list, &size);
	if (!out)
		return NULL;
	fputs("Commands:\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\n'thaw help COMMAND' says more about each.", out);
	return fclose(out) == 0 ? list : NULL;
}

struct main_input {
	struct thaw_cli cli;
	int command_at; /* index in argv; 0: no command was given */
};

static error_t parse_main(int key, char *argument, struct argp_state *state)
{
	struct main_input *input = state->input;

	(void)argument;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &input->cli;
		return 0;
	case ARGP_KEY_ARG:
		input->command_at = state->next - 1;
		state->next = state->argc; /* the rest is the command's */
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp main_argp = {
	.parser = parse_main,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = "Boot a function once, freeze it, and thaw a fresh copy for every request.\v-",
	.children = thaw_cli_global_options,
	.help_filter = help_filter,
};

/* Fills the numbers of closed standard streams. Otherwise the next file that is opened gets the
 * number, and output meant for the stream goes to that file. The replacement is opened for the
 * opposite direction, so that using it fails. */
static int fill_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	static char program_name[] = "thaw";
	struct main_input input = {0};
	const struct command *command;

	if (fill_standard_streams() < 0)
		return THAW_ERR_FAILURE;
	argp_program_version = "thaw " THAW_VERSION;
	argp_err_exit_status = THAW_ERR_USAGE;
	/* When a reader goes away, write() fails with EPIPE, which is handled. */
	signal(SIGPIPE, SIG_IGN);
	if (argc > 0)
		argv[0] = program_name;
	if (argp_parse(&main_argp, argc, argv, ARGP_IN_ORDER, NULL, &input) != 0)
		return THAW_ERR_USAGE;
	if (input.command_at == 0) {
		thaw_cli_say("no command given: 'thaw --help' lists the commands");
		return THAW_ERR_USAGE;
	}
	argc -= input.command_at;
	argv += input.command_at;
	if (strcmp(argv[0], "help") == 0) {
		char option[] = "--help", name[] = "thaw";
		char *help[] = {name, option, NULL};

		return argc > 1 ? show_help_of(argv[1], &input.cli)
				: (int)argp_parse(&main_argp, 2, help, 0, NULL, &input);
	}
	command = find_command(argv[0]);
	return command ? run_command(command, &input.cli, argc, argv) : unknown_command(argv[0]);
}
