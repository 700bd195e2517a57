/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the client prints. Data goes to standard output; everything else goes to standard error, in
 * lines that start with "thaw: ". Text that a guest, an image or a worker wrote is cleaned of
 * control characters before a terminal sees it.
 */
#ifndef THAW_CLI_OUTPUT_H
#define THAW_CLI_OUTPUT_H

#include <jansson.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

/* ---- Messages ---- */

/* Prints "thaw: " and the text, cleaned, to standard error. */
void thaw_cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the message of ERR in the same way. Returns the exit code of ERR. */
int thaw_cli_report(const struct thaw_error *err);
/* Flushes standard output. Returns CODE, or 1 when not all could be written. */
int thaw_cli_finish(int code);

/* ---- Texts ---- */

/* Write a short text for people to BUFFER and return it: "5.1 MiB", "412 ms",
 * "2026-01-31 14:05:00" in local time. */
#define THAW_TEXT_MAX 40
char *thaw_text_size(uint64_t bytes, char buffer[THAW_TEXT_MAX]);
char *thaw_text_duration(uint64_t ns, char buffer[THAW_TEXT_MAX]);
char *thaw_text_date(uint64_t unix_ns, char buffer[THAW_TEXT_MAX]);

/* Replaces what could drive a terminal by '?', in place: control characters, and C1 controls in
 * UTF-8. */
void thaw_clean_text(char *text);

/* ---- JSON ---- */

/* A JSON string of any bytes: '?' replaces what is not UTF-8. NULL becomes null. */
json_t *thaw_json_text(const char *text);
/* Prints JSON (it takes the reference) to standard output. Returns the exit code. */
int thaw_cli_print_json(json_t *json);

/* ---- Tables and fields, on standard output ---- */

/* COLUMNS are the titles, NULL-terminated; "-" before a title aligns its column to the right. Each
 * function ends the program when memory runs out. */
struct thaw_table;
struct thaw_table *thaw_table_new(const char *const *columns);
/* CELLS has a text for each column, which is cleaned; NULL prints as "-". */
void thaw_table_row(struct thaw_table *table, const char *const *cells);
void thaw_table_print(struct thaw_table *table); /* and frees it */
void thaw_table_free(struct thaw_table *table);

/* Prints one line "TITLE   VALUE" of a description, the value cleaned. */
void thaw_cli_field(const char *title, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
