/* SPDX-License-Identifier: Apache-2.0 */
/* A result for a terminal. */
#include "bench/report/report.h"

#include <errno.h>
#include <langinfo.h>
#include <libsmartcols.h>
#include <string.h>

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

#define FIGURE_COLUMNS 10u

static void ratio_of(const struct thaw_bench_result *result, const struct thaw_bench_figure *figure,
		     char out[THAW_BENCH_TEXT_MAX])
{
	out[0] = '\0';
	if (thaw_figure_ratio(result->figures, figure) > 0)
		thaw_bench_ratio(figure->values.p50, result->figures[figure->limit].values.p50,
				 out);
}

static int add_figure(struct libscols_table *table, const struct thaw_bench_result *result,
		      const struct thaw_bench_figure *figure)
{
	const struct thaw_percentiles *values = &figure->values;
	char cells[8][THAW_BENCH_TEXT_MAX];
	const char *row[FIGURE_COLUMNS] = {figure->name, cells[0],    cells[1], cells[2],
					   cells[3],	 cells[4],    cells[5], cells[6],
					   cells[7],	 figure->text};

	thaw_bench_text(values->p50, figure->unit, cells[0]);
	thaw_bench_text(values->p90, figure->unit, cells[1]);
	thaw_bench_text(values->p99, figure->unit, cells[2]);
	thaw_bench_text(values->p999, figure->unit, cells[3]);
	thaw_bench_text(values->max, figure->unit, cells[4]);
	ratio_of(result, figure, cells[5]);
	cells[6][0] = '\0';
	if (figure->spread >= 0)
		snprintf(cells[6], sizeof(cells[6]), "%.0f %%", figure->spread * 100);
	snprintf(cells[7], sizeof(cells[7]), "%zu", values->count);
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
		{"LIMIT", SCOLS_FL_RIGHT},
		{"SPREAD", SCOLS_FL_RIGHT},
		{"SAMPLES", SCOLS_FL_RIGHT},
		{"WHAT", 0},
	};
	struct libscols_table *table = new_table(columns, FIGURE_COLUMNS);

	for (unsigned i = 0; table && i < THAW_BENCH_FIGURES_MAX; i++)
		if (result->figures[i].values.count &&
		    add_figure(table, result, &result->figures[i])) {
			scols_unref_table(table);
			return -1;
		}
	return table ? print_table(out, table) : -1;
}

/* ---- The distributions ---- */

#define HISTOGRAM_COLUMNS 64u
#define HISTOGRAM_HEIGHTS 8u

/* The figures to compare at a glance; the table has the rest. */
static const enum thaw_figure drawn[] = {
	THAW_FIGURE_cold,    THAW_FIGURE_spawn,	      THAW_FIGURE_disk,	       THAW_FIGURE_memory,
	THAW_FIGURE_shell,   THAW_FIGURE_invoke_many, THAW_FIGURE_invoke_open, THAW_FIGURE_invoke,
	THAW_FIGURE_prefork, THAW_FIGURE_pool,	      THAW_FIGURE_recycled,    THAW_FIGURE_echo,
	THAW_FIGURE_wasm,    THAW_FIGURE_qemu,	      THAW_FIGURE_criu,
};
#define DRAWN (sizeof(drawn) / sizeof(drawn[0]))

/* The decades that the drawn figures span. */
static void find_decades(const struct thaw_bench_result *result, unsigned *first, unsigned *end)
{
	*first = THAW_BUCKETS;
	*end = 0;
	for (size_t i = 0; i < DRAWN; i++)
		for (unsigned j = 0; j < THAW_BUCKETS; j++)
			if (result->figures[drawn[i]].distribution.counts[j]) {
				*first = j < *first ? j : *first;
				*end = j + 1 > *end ? j + 1 : *end;
			}
	*first -= *first % THAW_BUCKETS_PER_DECADE;
	*end += (THAW_BUCKETS_PER_DECADE - *end % THAW_BUCKETS_PER_DECADE) %
		THAW_BUCKETS_PER_DECADE;
}

static void print_row(FILE *out, const struct thaw_bench_figure *figure, unsigned first,
		      unsigned end)
{
	static const char *const blocks[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
					     "\u2585", "\u2586", "\u2587", "\u2588"};
	static const char *const letters[] = {" ", ".", ".", ":", "-", "=", "+", "*", "#"};
	const char *const *heights = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? blocks : letters;
	uint32_t columns[HISTOGRAM_COLUMNS] = {0}, highest = 1;

	for (unsigned i = first; i < end; i++) {
		uint32_t *column = &columns[(i - first) * HISTOGRAM_COLUMNS / (end - first)];

		*column += figure->distribution.counts[i];
		highest = *column > highest ? *column : highest;
	}
	fprintf(out, "%-20s ", figure->name);
	/* A single sample stays visible, however many others there are. */
	for (unsigned i = 0; i < HISTOGRAM_COLUMNS; i++)
		fputs(heights[((uint64_t)columns[i] * HISTOGRAM_HEIGHTS + highest - 1) / highest],
		      out);
	fputc('\n', out);
}

static void print_axis(FILE *out, unsigned first, unsigned end)
{
	char text[THAW_BENCH_TEXT_MAX];
	unsigned column = 0;

	fprintf(out, "%-20s ", "");
	for (unsigned i = first; i < end; i += THAW_BUCKETS_PER_DECADE) {
		unsigned at = (i - first) * HISTOGRAM_COLUMNS / (end - first);

		thaw_bench_text((uint64_t)(thaw_bucket_start(i) + 0.5), "ns", text);
		if (at < column)
			continue;
		fprintf(out, "%*s|%s", (int)(at - column), "", text);
		/* A micro sign has two bytes and one column; no label is as long as a decade. */
		column = at + 1 + (unsigned)strlen(text) - (strstr(text, "\u00b5") != NULL);
	}
	fputs("\n\n", out);
}

static void print_distributions(FILE *out, const struct thaw_bench_result *result)
{
	unsigned first, end;

	find_decades(result, &first, &end);
	if (first >= end)
		return;
	fputs("DISTRIBUTION (each row scaled to its own highest column; time runs to the right, a "
	      "decade per mark)\n",
	      out);
	for (size_t i = 0; i < DRAWN; i++)
		if (result->figures[drawn[i]].values.count)
			print_row(out, &result->figures[drawn[i]], first, end);
	print_axis(out, first, end);
}

/* ---- Growth ---- */

#define GROWTH_COLUMNS 5u

static int add_series(struct libscols_table *table, const struct thaw_bench_series *series)
{
	const struct thaw_fit_point *first = &series->points[0],
				    *last = &series->points[series->count ? series->count - 1 : 0];
	char range[2 * THAW_BENCH_TEXT_MAX], from[THAW_BENCH_TEXT_MAX], to[THAW_BENCH_TEXT_MAX],
		low[THAW_BENCH_TEXT_MAX], high[THAW_BENCH_TEXT_MAX], growth[THAW_BENCH_GROWTH_MAX];
	const char *row[GROWTH_COLUMNS] = {series->name, range, from, to, growth};

	if (!series->count)
		return 0;
	if (strcmp(series->x, "bytes") == 0) {
		thaw_bench_text((uint64_t)first->x, "bytes", low);
		thaw_bench_text((uint64_t)last->x, "bytes", high);
		snprintf(range, sizeof(range), "%.28s .. %.28s", low, high);
	} else {
		snprintf(range, sizeof(range), "%.0f .. %.0f %s", first->x, last->x, series->x);
	}
	thaw_bench_text((uint64_t)first->y, series->unit, from);
	thaw_bench_text((uint64_t)last->y, series->unit, to);
	thaw_bench_growth_text(series, growth);
	return add_row(table, row, GROWTH_COLUMNS);
}

static int print_growth(FILE *out, const struct thaw_bench_result *result)
{
	static const struct column columns[GROWTH_COLUMNS] = {
		{"GROWTH", 0},
		{"FROM .. TO", 0},
		{"FIRST", SCOLS_FL_RIGHT},
		{"LAST", SCOLS_FL_RIGHT},
		{"IS", 0},
	};
	struct libscols_table *table;

	if (!result->series_count)
		return 0;
	table = new_table(columns, GROWTH_COLUMNS);
	for (size_t i = 0; table && i < result->series_count; i++)
		if (add_series(table, &result->series[i])) {
			scols_unref_table(table);
			return -1;
		}
	if (!table || print_table(out, table))
		return -1;
	fputc('\n', out);
	return 0;
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
	{"peer.prefork / invoke: warm processes, shared state", THAW_FIGURE_prefork,
	 THAW_FIGURE_invoke},
	{"peer.wasm / invoke: a WebAssembly instance for each", THAW_FIGURE_wasm,
	 THAW_FIGURE_invoke},
	{"peer.qemu-restore / thaw.disk: a saved machine", THAW_FIGURE_qemu, THAW_FIGURE_disk},
	{"peer.criu-restore / thaw.disk: a dumped process", THAW_FIGURE_criu, THAW_FIGURE_disk},
	{"thaw.disk / limit.cat-image: reading the image's bytes", THAW_FIGURE_disk,
	 THAW_FIGURE_cat},
	{"throughput.invoke / limit.throughput: over a clone for each", THAW_FIGURE_rate_invoke,
	 THAW_FIGURE_rate_limit},
};

#define RATIO_COLUMNS 3u

static int add_ratio(struct libscols_table *table, const struct thaw_bench_result *result,
		     const struct ratio_row *ratio)
{
	const struct thaw_percentiles *over = &result->figures[ratio->over].values;
	const struct thaw_percentiles *under = &result->figures[ratio->under].values;
	char at_p50[THAW_BENCH_TEXT_MAX], at_p99[THAW_BENCH_TEXT_MAX];
	const char *row[RATIO_COLUMNS] = {ratio->text, at_p50, at_p99};

	thaw_bench_ratio(over->p50, under->p50, at_p50);
	thaw_bench_ratio(over->p99, under->p99, at_p99);
	return *at_p50 ? add_row(table, row, RATIO_COLUMNS) : 0;
}

/* The length of the tail relative to the middle: the one ratio of a figure with itself. */
static int add_tail(struct libscols_table *table, const struct thaw_bench_result *result,
		    enum thaw_figure figure)
{
	const struct thaw_percentiles *values = &result->figures[figure].values;
	char name[96], ratio[THAW_BENCH_TEXT_MAX];
	const char *row[RATIO_COLUMNS] = {name, "", ratio};

	snprintf(name, sizeof(name), "%s p99 / p50: its tail", result->figures[figure].name);
	thaw_bench_ratio(values->p99, values->p50, ratio);
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
	fprintf(out, "kernel       %s, clock %s\n", host->kernel, host->clocksource);
	fprintf(out, "mitigations  %s\n", host->mitigations);
	fprintf(out, "thaw         %s, backend %s, %s\n", host->version, host->backend, host->date);
	fprintf(out,
		"noise        load %.2f before and %.2f after, %.1f %% of processor time stolen\n",
		host->load, result->load_after, result->steal * 100);
	fprintf(out, "run          %s, %zu runs %s%s, request %llu bytes, response %llu bytes",
		result->function, result->runs, result->closed_loop ? "back to back" : "paced by ",
		result->closed_loop ? "" : pause, (unsigned long long)result->request_bytes,
		(unsigned long long)result->response_bytes);
	fprintf(out, ", %u clients, %llu arrivals/s\n\n", result->clients,
		(unsigned long long)result->rate);
}

int thaw_bench_report_table(FILE *out, const struct thaw_bench_result *result,
			    struct thaw_error *err)
{
	print_host(out, result);
	if (print_figures(out, result))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot print the figures");
	fputc('\n', out);
	print_distributions(out, result);
	if (print_growth(out, result))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot print the growth");
	if (print_ratios(out, result))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot print the ratios");
	return 0;
}
