/* SPDX-License-Identifier: Apache-2.0 */
/* A result for a terminal. */
#include "bench/report.h"

#include <errno.h>
#include <langinfo.h>
#include <libsmartcols.h>
#include <string.h>

struct scale {
	uint64_t one; /* in the figure's own unit */
	const char *name;
};

static const struct scale time_scales[] = {
	{1, "ns"}, {1000, "µs"}, {1000000, "ms"}, {1000000000, "s"}};
static const struct scale byte_scales[] = {
	{1, "B"}, {1u << 10, "KiB"}, {1u << 20, "MiB"}, {1u << 30, "GiB"}};

#define SCALES 4u

/* A terminal that knows no UTF-8 gets the letter that everybody uses there. */
static const char *printable(const char *unit)
{
	return strcmp(unit, "µs") == 0 && strcmp(nl_langinfo(CODESET), "UTF-8") != 0 ? "us" : unit;
}

void thaw_bench_text(uint64_t value, const char *unit, char out[THAW_BENCH_TEXT_MAX])
{
	const struct scale *scales = strcmp(unit, "ns") == 0 ? time_scales : byte_scales;
	unsigned scale = 0;
	double scaled;

	while (scale + 1 < SCALES && value >= scales[scale + 1].one)
		scale++;
	scaled = (double)value / (double)scales[scale].one;
	snprintf(out, THAW_BENCH_TEXT_MAX, "%.*f %s",
		 scale == 0 || scaled >= 99.95 ? 0
		 : scaled >= 9.995	       ? 1
					       : 2,
		 scaled, printable(scales[scale].name));
}

/* "3.21x"; empty when there is nothing to compare. */
static void ratio_text(uint64_t value, uint64_t base, char out[THAW_BENCH_TEXT_MAX])
{
	double ratio = base ? (double)value / (double)base : 0;

	if (!value || !base)
		out[0] = '\0';
	else
		snprintf(out, THAW_BENCH_TEXT_MAX, "%.*fx",
			 ratio >= 100  ? 0
			 : ratio >= 10 ? 1
				       : 2,
			 ratio);
}

struct column {
	const char *title;
	int flags;
};

static struct libscols_table *new_table(const struct column *columns, size_t count)
{
	struct libscols_table *table = scols_new_table();

	for (size_t i = 0; table && i < count; i++)
		if (!scols_table_new_column(table, columns[i].title, 0, columns[i].flags)) {
			scols_unref_table(table);
			return NULL;
		}
	return table;
}

static int add_row(struct libscols_table *table, const char *const *cells, size_t count)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	for (size_t i = 0; line && i < count; i++)
		if (scols_line_set_data(line, i, cells[i]))
			return -1;
	return line ? 0 : -1;
}

static int print_table(FILE *out, struct libscols_table *table)
{
	int failed = scols_table_set_stream(table, out) || scols_print_table(table);

	scols_unref_table(table);
	return failed ? -1 : 0;
}

/* ---- The figures ---- */

#define FIGURE_COLUMNS 9u

static int add_figure(struct libscols_table *table, const struct thaw_bench_result *result,
		      enum thaw_figure figure)
{
	const struct thaw_percentiles *values = &result->figures[figure];
	const char *unit = thaw_figure_unit(figure);
	char count[THAW_BENCH_TEXT_MAX], cells[6][THAW_BENCH_TEXT_MAX];
	bool is_time = strcmp(unit, "ns") == 0;
	const char *row[FIGURE_COLUMNS] = {thaw_figure_name(figure),
					   cells[0],
					   cells[1],
					   cells[2],
					   cells[3],
					   cells[4],
					   cells[5],
					   count,
					   thaw_figure_text(figure)};

	thaw_bench_text(values->p50, unit, cells[0]);
	thaw_bench_text(values->p90, unit, cells[1]);
	thaw_bench_text(values->p99, unit, cells[2]);
	thaw_bench_text(values->p999, unit, cells[3]);
	thaw_bench_text(values->max, unit, cells[4]);
	ratio_text(is_time ? values->p50 : 0, result->figures[THAW_FIGURE_echo].p50, cells[5]);
	snprintf(count, sizeof(count), "%zu", values->count);
	return add_row(table, row, FIGURE_COLUMNS);
}

static int print_figures(FILE *out, const struct thaw_bench_result *result)
{
	static const struct column columns[FIGURE_COLUMNS] = {
		{"FIGURE", 0},
		{"P50", SCOLS_FL_RIGHT},
		{"P90", SCOLS_FL_RIGHT},
		{"P99", SCOLS_FL_RIGHT},
		{"P99.9", SCOLS_FL_RIGHT},
		{"MAX", SCOLS_FL_RIGHT},
		{"P50/ECHO", SCOLS_FL_RIGHT},
		{"SAMPLES", SCOLS_FL_RIGHT},
		{"WHAT", 0},
	};
	struct libscols_table *table = new_table(columns, FIGURE_COLUMNS);

	for (int i = 0; table && i < THAW_FIGURE_COUNT; i++)
		if (result->figures[i].count && add_figure(table, result, (enum thaw_figure)i)) {
			scols_unref_table(table);
			return -1;
		}
	return table ? print_table(out, table) : -1;
}

/* ---- The ratios ---- */

struct ratio_row {
	const char *text;
	enum thaw_figure over, under;
};

static const struct ratio_row ratio_rows[] = {
	{"cold / thaw.disk: an image file instead of a boot", THAW_FIGURE_cold, THAW_FIGURE_disk},
	{"cold / thaw.memory: a loaded image", THAW_FIGURE_cold, THAW_FIGURE_memory},
	{"cold / thaw.pool: an instance that stands ready", THAW_FIGURE_cold, THAW_FIGURE_pool},
	{"invoke / limit.unix-echo: above the bare limit", THAW_FIGURE_invoke, THAW_FIGURE_echo},
	{"peer.spawn / invoke: a process for each request", THAW_FIGURE_spawn, THAW_FIGURE_invoke},
};

#define RATIO_COLUMNS 3u

static int add_ratio(struct libscols_table *table, const struct thaw_bench_result *result,
		     const struct ratio_row *ratio)
{
	const struct thaw_percentiles *over = &result->figures[ratio->over];
	const struct thaw_percentiles *under = &result->figures[ratio->under];
	char at_p50[THAW_BENCH_TEXT_MAX], at_p99[THAW_BENCH_TEXT_MAX];
	const char *row[RATIO_COLUMNS] = {ratio->text, at_p50, at_p99};

	ratio_text(over->p50, under->p50, at_p50);
	ratio_text(over->p99, under->p99, at_p99);
	return *at_p50 ? add_row(table, row, RATIO_COLUMNS) : 0;
}

/* How long the tail is beside the middle: the one ratio of a figure with itself. */
static int add_tail(struct libscols_table *table, const struct thaw_bench_result *result,
		    enum thaw_figure figure)
{
	const struct thaw_percentiles *values = &result->figures[figure];
	char name[96], ratio[THAW_BENCH_TEXT_MAX];
	const char *row[RATIO_COLUMNS] = {name, "", ratio};

	snprintf(name, sizeof(name), "%s p99 / p50: its tail", thaw_figure_name(figure));
	ratio_text(values->p99, values->p50, ratio);
	return *ratio ? add_row(table, row, RATIO_COLUMNS) : 0;
}

static int print_ratios(FILE *out, const struct thaw_bench_result *result)
{
	static const struct column columns[RATIO_COLUMNS] = {
		{"RATIO", 0},
		{"P50", SCOLS_FL_RIGHT},
		{"P99", SCOLS_FL_RIGHT},
	};
	struct libscols_table *table = new_table(columns, RATIO_COLUMNS);
	int failed = table ? 0 : -1;

	for (size_t i = 0; !failed && i < sizeof(ratio_rows) / sizeof(ratio_rows[0]); i++)
		failed = add_ratio(table, result, &ratio_rows[i]);
	if (!failed)
		failed = add_tail(table, result, THAW_FIGURE_invoke) ||
			 add_tail(table, result, THAW_FIGURE_echo);
	if (!failed)
		return print_table(out, table);
	scols_unref_table(table);
	return -1;
}

/* ---- The host ---- */

static void print_host(FILE *out, const struct thaw_bench_result *result)
{
	const struct thaw_bench_host *host = &result->host;
	char memory[THAW_BENCH_TEXT_MAX], pause[THAW_BENCH_TEXT_MAX];

	thaw_bench_text(host->memory_bytes, "bytes", memory);
	thaw_bench_text(result->pace_ns, "ns", pause);
	fprintf(out, "host         %s, %u core%s, %s%s\n", host->cpu, host->cores,
		host->cores == 1 ? "" : "s", memory,
		host->virtual_machine ? ", a virtual machine" : "");
	fprintf(out, "kernel       %s, clock %s, load %.2f\n", host->kernel, host->clocksource,
		host->load);
	fprintf(out, "mitigations  %s\n", host->mitigations);
	fprintf(out, "thaw         %s, backend %s, %s\n", host->version, host->backend, host->date);
	fprintf(out, "run          %s, %zu runs %s%s, request %llu bytes, response %llu bytes\n\n",
		result->function, result->runs, result->closed_loop ? "back to back" : "paced by ",
		result->closed_loop ? "" : pause, (unsigned long long)result->request_bytes,
		(unsigned long long)result->response_bytes);
}

int thaw_bench_report_table(FILE *out, const struct thaw_bench_result *result,
			    struct thaw_error *err)
{
	print_host(out, result);
	if (print_figures(out, result))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot print the figures");
	fputc('\n', out);
	if (print_ratios(out, result))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot print the ratios");
	return 0;
}
