/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `thaw`: one table, from which thaw.c takes names, help and functions. */
#ifndef THAW_CLI_COMMANDS_H
#define THAW_CLI_COMMANDS_H

#include "pool/cli/cli.h"

/* X(name, what it does). Command NAME is thaw_command_NAME() in NAME.c. */
#define THAW_COMMANDS(X)                                                                           \
	X(freeze, "boot a program once and keep it, ready, as a function")                         \
	X(invoke, "send standard input to a function and print its answer")                        \
	X(run, "run one invocation of an image file, without a daemon")                            \
	X(list, "list the functions")                                                              \
	X(inspect, "show what an image contains")                                                  \
	X(verify, "check every byte of an image")                                                  \
	X(prewarm, "keep a number of fresh instances ready")                                       \
	X(stats, "show what the functions have done")                                              \
	X(logs, "show what a function has logged")                                                 \
	X(bench, "measure a function beside the host's own limits")                                \
	X(remove, "remove functions and their images")                                             \
	X(doctor, "check what this host can do, and say what is missing")                          \
	X(version, "print the version")

/* Runs a command. ARGV[0] is "thaw NAME". Returns the exit code. */
#define THAW_COMMAND_DECLARE(name, what)                                                           \
	int thaw_command_##name(struct thaw_cli *cli, int argc, char **argv);
THAW_COMMANDS(THAW_COMMAND_DECLARE)

#endif
