/* SPDX-License-Identifier: Apache-2.0 */
/* What `thaw` prints; see output.h. Tables are libsmartcols', JSON is jansson's. */
#include "pool/cli/output.h"

#include <errno.h>
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "snapshot-format/base/cleanup.h"

char *thaw_text_size(uint64_t bytes, char buffer[THAW_TEXT_MAX])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(buffer, THAW_TEXT_MAX, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
		 units[unit]);
	return buffer;
}

char *thaw_text_duration(uint64_t ns, char buffer[THAW_TEXT_MAX])
{
	if (ns < 1000)
		snprintf(buffer, THAW_TEXT_MAX, "%llu ns", (unsigned long long)ns);
	else if (ns < 1000000)
		snprintf(buffer, THAW_TEXT_MAX, "%.*f us", ns < 100000 ? 1 : 0, (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buffer, THAW_TEXT_MAX, "%.*f ms", ns < 100000000 ? 1 : 0,
			 (double)ns / 1e6);
	else
		snprintf(buffer, THAW_TEXT_MAX, "%.*f s", ns < 100000000000 ? 1 : 0,
			 (double)ns / 1e9);
	return buffer;
}

char *thaw_text_date(uint64_t unix_ns, char buffer[THAW_TEXT_MAX])
{
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct tm when;

	if (!localtime_r(&seconds, &when) ||
	    strftime(buffer, THAW_TEXT_MAX, "%Y-%m-%d %H:%M:%S", &when) == 0)
		snprintf(buffer, THAW_TEXT_MAX, "?");
	return buffer;
}

/* Some terminals obey the control characters U+0080..U+009F, which are C2 80..9F in UTF-8. */
void thaw_clean_text(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (*at < 0x20 || *at == 0x7f)
			*at = '?';
		else if (*at == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
			at[0] = at[1] = '?';
	}
}

/* Returns the length of the UTF-8 sequence at TEXT, or 0 when there is none. */
static size_t utf8_length(const unsigned char *text)
{
	size_t length = *text < 0x80 ? 1 : *text >= 0xf0 ? 4 : *text >= 0xe0 ? 3 : 2;

	if (*text >= 0x80 && *text < 0xc2)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

json_t *thaw_json_text(const char *text)
{
	thaw_autofree char *copy = NULL;
	json_t *made;

	if (!text)
		return json_null();
	made = json_string(text);
	if (made)
		return made;
	copy = strdup(text);
	if (!copy)
		return json_null();
	for (unsigned char *at = (unsigned char *)copy; *at;) {
		size_t length = utf8_length(at);
		json_t *whole = length > 1 ? json_stringn((char *)at, length) : NULL;

		/* utf8_length() accepts overlong forms and surrogates; jansson refuses them. */
		if (length == 0 || (length > 1 && !whole)) {
			*at = '?';
			length = 1;
		}
		json_decref(whole);
		at += length;
	}
	return json_string(copy);
}

int thaw_cli_print_json(json_t *json)
{
	int printed = json ? json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) : -1;

	json_decref(json);
	if (printed < 0) {
		thaw_cli_say("cannot print JSON: out of memory, or standard output is closed");
		return THAW_ERR_FAILURE;
	}
	putchar('\n');
	return thaw_cli_finish(0);
}

struct thaw_table {
	struct libscols_table *scols;
	size_t columns;
};

static _Noreturn void out_of_memory(void)
{
	thaw_cli_say("out of memory");
	exit(THAW_ERR_FAILURE);
}

struct thaw_table *thaw_table_new(const char *const *columns)
{
	struct thaw_table *table = calloc(1, sizeof(*table));

	if (!table)
		out_of_memory();
	scols_init_debug(0);
	table->scols = scols_new_table();
	if (!table->scols)
		out_of_memory();
	for (; columns[table->columns]; table->columns++) {
		const char *title = columns[table->columns];
		bool right = *title == '-';

		if (!scols_table_new_column(table->scols, title + right, 0,
					    right ? SCOLS_FL_RIGHT : 0))
			out_of_memory();
	}
	return table;
}

void thaw_table_row(struct thaw_table *table, const char *const *cells)
{
	struct libscols_line *line = scols_table_new_line(table->scols, NULL);

	if (!line)
		out_of_memory();
	for (size_t i = 0; i < table->columns; i++) {
		thaw_autofree char *copy = strdup(cells[i] ? cells[i] : "-");

		if (!copy)
			out_of_memory();
		thaw_clean_text(copy);
		if (scols_line_set_data(line, i, copy) < 0)
			out_of_memory();
	}
}

void thaw_table_print(struct thaw_table *table)
{
	if (scols_print_table(table->scols) < 0)
		out_of_memory();
	thaw_table_free(table);
}

void thaw_table_free(struct thaw_table *table)
{
	scols_unref_table(table->scols);
	free(table);
}

void thaw_cli_field(const char *title, const char *format, ...)
{
	thaw_autofree char *value = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&value, format, args) < 0)
		out_of_memory();
	va_end(args);
	thaw_clean_text(value);
	printf("%-14s%s\n", title, value);
}

void thaw_cli_say(const char *format, ...)
{
	thaw_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		thaw_clean_text(text);
	fprintf(stderr, "thaw: %s\n", text ? text : "out of memory");
}

int thaw_cli_report(const struct thaw_error *err)
{
	thaw_cli_say("%s", err->message);
	return (int)err->kind;
}

int thaw_cli_finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	/* EPIPE: the reader has seen enough (`thaw list | head -1`), which needs no message. */
	if (errno != EPIPE)
		thaw_cli_say("cannot write to standard output: %s", strerrordesc_np(errno));
	return code ? code : THAW_ERR_FAILURE;
}
