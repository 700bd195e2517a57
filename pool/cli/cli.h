/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands of `thaw` share: the command table, global options, parsing of sizes and
 * durations, tables and JSON. The rule for output: data on stdout, everything else on stderr as one
 * line that starts with "thaw: ". Text that a guest, an image or a worker wrote is cleaned before a
 * terminal sees it.
 */
#ifndef THAW_CLI_H
#define THAW_CLI_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/libthaw/thaw.h"
#include "snapshot-format/base/error.h"

/* ---- Commands ---- */

/* What every command gets beside its own arguments; the options may stand before the command or
 * after it. */
struct thaw_cli {
	const char *state_option, *run_option;
	char *state, *run; /* resolved, absolute */
};

/* THAW_COMMANDS(X): X(name, what it does). Each has pool/cmd_NAME.c with thaw_command_NAME(). */
#define THAW_COMMANDS(X)                                                                           \
	X(freeze, "boot a program once and keep it, ready, as a function")                         \
	X(invoke, "send a function standard input, print its answer")                              \
	X(run, "run one invocation of an image file, without a daemon")                            \
	X(list, "list the functions there are")                                                    \
	X(inspect, "show all that an image says of itself")                                        \
	X(verify, "check every byte of an image")                                                  \
	X(prewarm, "have a number of fresh instances made")                                        \
	X(stats, "show what the functions have been doing")                                        \
	X(logs, "show what a function has logged")                                                 \
	X(bench, "measure a function beside the host's own limits")                                \
	X(remove, "remove functions and their images")                                             \
	X(doctor, "check what this host can do, and say what is missing")                          \
	X(version, "print the version")

/* ARGV[0] is "thaw NAME". Returns the exit code. */
#define THAW_COMMAND_DECLARE(name, what)                                                           \
	int thaw_command_##name(struct thaw_cli *cli, int argc, char **argv);
THAW_COMMANDS(THAW_COMMAND_DECLARE)

/* argp_parse() for a command: adds the global options, and resolves the directories afterwards. The
 * parser's input is INPUT. Usage errors end the program with 2. Returns 0, or -1 with ERR. */
int thaw_cli_parse(struct thaw_cli *cli, const struct argp *argp, int argc, char **argv,
		   void *input, struct thaw_error *err);

extern const struct argp_child thaw_cli_global_options[];

/* Prints "thaw: MESSAGE" and returns the exit code of ERR. */
int thaw_cli_report(const struct thaw_error *err);
/* "thaw: ..." on stderr. */
void thaw_cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For parsers: a usage error that names the command; ends the program with 2. */
_Noreturn void thaw_cli_usage(const struct argp_state *state, const struct thaw_error *err);

/* ---- Parsing (parse.c) ---- */

/* "65536", "64K", "64KiB", "1G": binary multiples, always. */
int thaw_parse_size(const char *text, uint64_t *bytes, struct thaw_error *err);
/* "250us", "500ms", "2s", "1.5s", "1m", "1h": a unit is required. */
int thaw_parse_duration(const char *text, uint64_t *ns, struct thaw_error *err);
/* A decimal number from LOW to HIGH. WHAT names it in the message. */
int thaw_parse_number(const char *text, const char *what, uint64_t low, uint64_t high,
		      uint64_t *number, struct thaw_error *err);
int thaw_parse_name(const char *text, struct thaw_error *err);
/* The entry of NAMES (NULL-terminated) nearest to TEXT, or NULL when none is near. */
const char *thaw_nearest(const char *text, const char *const *names);

/* ---- Output (output.c) ---- */

/* Short texts for people, in BUFFER: "5.1 MiB", "412 ms", "2026-01-31 14:05". Return BUFFER. */
#define THAW_TEXT_MAX 40
char *thaw_text_size(uint64_t bytes, char buffer[THAW_TEXT_MAX]);
char *thaw_text_duration(uint64_t ns, char buffer[THAW_TEXT_MAX]);
char *thaw_text_date(uint64_t unix_ns, char buffer[THAW_TEXT_MAX]);

/* A JSON string of any bytes: what is not UTF-8 becomes '?'. NULL becomes null. */
json_t *thaw_json_text(const char *text);
/* Prints JSON (reference taken) to stdout; returns the exit code. */
int thaw_cli_print_json(json_t *json);

/* A table on stdout: COLUMNS are titles, "-" before a title for right-aligned. Cells may be hostile
 * text. */
struct thaw_table;
struct thaw_table *
thaw_table_new(const char *const *columns); /* ends the program when out of memory */
void thaw_table_row(struct thaw_table *table, const char *const *cells);
void thaw_table_print(struct thaw_table *table); /* and frees it */
void thaw_table_free(struct thaw_table *table);

/* Prints one "Title:   value" line of a description on stdout, the value cleaned. */
void thaw_cli_field(const char *title, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Replaces what could drive a terminal: control characters, and C1 controls in UTF-8. In place. */
void thaw_clean_text(char *text);

/* Flushes stdout; the exit code is CODE, or 1 (said on stderr) when not all could be written. */
int thaw_cli_finish(int code);

#endif
