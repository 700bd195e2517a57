/* SPDX-License-Identifier: Apache-2.0 */
/* Drawings in SVG. */
#include "bench/report_plots.h"

#include <math.h>
#include <string.h>

#include "bench/report.h"

#define WIDTH 960.0
#define LEFT  190.0 /* of what has labels at its rows */
#define RIGHT 30.0

void thaw_html_text(FILE *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc(*text, out);
		}
}

static void label(FILE *out, double x, double y, const char *classes, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
	thaw_html_text(out, text);
	fputs("</text>\n", out);
}

static void line(FILE *out, double x1, double y1, double x2, double y2, const char *class_name)
{
	fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1,
		y1, x2, y2, class_name);
}

static void begin(FILE *out, double width, double height, const char *what)
{
	fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width, height);
	thaw_html_text(out, what);
	fputs("\">\n", out);
}

static void unit_text(double value, const char *unit, char out[THAW_BENCH_TEXT_MAX])
{
	thaw_bench_text((uint64_t)(value + 0.5), unit, out);
}

/* The colour of what is compared: ours in one, limits and peers in others. */
unsigned thaw_plot_colour(const char *name)
{
	static const struct {
		const char *prefix;
		unsigned colour;
	} colours[] = {
		{"cold", 1},
		{"peer.spawn", 2},
		{"peer.prefork", 3},
		{"throughput.prefork", 3},
		{"peer.wasm", 6},
		{"throughput.wasm", 6},
		{"peer.qemu", 7},
		{"peer.criu", 8},
		{"limit.hand-over", 5},
		{"throughput.hand-over", 5},
		{"memory.idle-clone.rss", 5},
		{"limit.", 4},
		{"throughput.unix-echo", 4},
		{"peer.", 9},
	};

	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (!strncmp(name, colours[i].prefix, strlen(colours[i].prefix)))
			return colours[i].colour;
	return 0;
}

/* ---- A logarithmic axis ---- */

struct axis {
	double low, high; /* values, powers of ten for a logarithmic one */
	double from, to;  /* on the paper */
	bool logarithmic;
};

static double place(const struct axis *axis, double value)
{
	double part;

	if (axis->logarithmic)
		part = log10(value / axis->low) / log10(axis->high / axis->low);
	else
		part = (value - axis->low) / (axis->high - axis->low);
	return axis->from + part * (axis->to - axis->from);
}

static struct axis decades(double least, double most, double from, double to)
{
	struct axis axis = {.from = from, .to = to, .logarithmic = true};

	axis.low = pow(10, floor(log10(least > 1 ? least : 1)));
	axis.high = pow(10, ceil(log10(most > axis.low ? most * 1.0001 : axis.low * 10)));
	return axis;
}

/* ---- Distributions ---- */

#define ROW_HEIGHT 46.0
#define AXIS_ROOM  46.0

static bool is_drawn(const struct thaw_bench_figure *figure)
{
	/* Stages have a drawing of their own. */
	return figure->values.count && !strcmp(figure->unit, "ns") && figure->text[0] != ' ';
}

static unsigned time_range(const struct thaw_bench_result *result, double *least, double *most)
{
	unsigned rows = 0;

	*least = INFINITY;
	*most = 1;
	for (unsigned i = 0; i < THAW_BENCH_FIGURES_MAX; i++) {
		const struct thaw_bench_figure *figure = &result->figures[i];

		if (!is_drawn(figure))
			continue;
		rows++;
		for (unsigned j = 0; j < THAW_BUCKETS; j++)
			if (figure->distribution.counts[j]) {
				*least = fmin(*least, thaw_bucket_start(j));
				break;
			}
		*most = fmax(*most, (double)figure->values.max);
	}
	return rows;
}

static void time_axis(FILE *out, const struct axis *axis, double top, double bottom)
{
	for (double value = axis->low; value <= axis->high * 1.01; value *= 10) {
		char text[THAW_BENCH_TEXT_MAX];

		line(out, place(axis, value), top, place(axis, value), bottom, "grid");
		unit_text(value, "ns", text);
		label(out, place(axis, value), bottom + 18, "tick middle", text);
	}
	label(out, (axis->from + axis->to) / 2, bottom + 36, "tick middle",
	      "time to the answer, logarithmic");
}

static void ridge(FILE *out, const struct thaw_bench_figure *figure, const struct axis *axis,
		  double base)
{
	const struct thaw_distribution *distribution = &figure->distribution;
	char text[3 * THAW_BENCH_TEXT_MAX], middle[THAW_BENCH_TEXT_MAX], tail[THAW_BENCH_TEXT_MAX];
	unsigned first = THAW_BUCKETS, last = 0;
	uint32_t highest = 1;

	for (unsigned i = 0; i < THAW_BUCKETS; i++) {
		if (!distribution->counts[i])
			continue;
		first = i < first ? i : first;
		last = i;
		highest = distribution->counts[i] > highest ? distribution->counts[i] : highest;
	}
	line(out, axis->from, base, axis->to, base, "grid");
	if (first == THAW_BUCKETS)
		return;
	fprintf(out, "<path class=\"ridge f%u\" d=\"M%.1f,%.1f", thaw_plot_colour(figure->name),
		place(axis, thaw_bucket_start(first)), base);
	/* By the square root, so that the few slow ones are seen beside the many fast. */
	for (unsigned i = first; i <= last; i++) {
		double top =
			base - (ROW_HEIGHT - 10) * sqrt((double)distribution->counts[i] / highest);

		fprintf(out, "L%.1f,%.1fL%.1f,%.1f", place(axis, thaw_bucket_start(i)), top,
			place(axis, thaw_bucket_start(i + 1)), top);
	}
	fprintf(out, "L%.1f,%.1fZ\"/>\n", place(axis, thaw_bucket_start(last + 1)), base);
	line(out, place(axis, (double)figure->values.p50), base - 6,
	     place(axis, (double)figure->values.p50), base + 5, "median");
	line(out, place(axis, (double)figure->values.p99), base - 3,
	     place(axis, (double)figure->values.p99), base + 5, "tail");
	label(out, axis->from - 12, base - 14, "name end", figure->name);
	thaw_bench_text(figure->values.p50, "ns", middle);
	thaw_bench_text(figure->values.p99, "ns", tail);
	snprintf(text, sizeof(text), "%s, p99 %s", middle, tail);
	label(out, axis->from - 12, base, "tick end", text);
}

void thaw_plot_distributions(FILE *out, const struct thaw_bench_result *result)
{
	double least, most, bottom;
	unsigned rows = time_range(result, &least, &most);
	struct axis axis;
	double base = ROW_HEIGHT;

	if (!rows)
		return;
	bottom = ROW_HEIGHT * rows + 8;
	axis = decades(least, most, LEFT + 20, WIDTH - RIGHT);
	begin(out, WIDTH, bottom + AXIS_ROOM, "Distribution of each figure over time");
	time_axis(out, &axis, 0, bottom);
	for (unsigned i = 0; i < THAW_BENCH_FIGURES_MAX; i++) {
		if (!is_drawn(&result->figures[i]))
			continue;
		ridge(out, &result->figures[i], &axis, base);
		base += ROW_HEIGHT;
	}
	fputs("</svg>\n", out);
}

/* ---- Percentiles ---- */

#define PLOT_HEIGHT 380.0

static const enum thaw_figure compared[] = {
	THAW_FIGURE_cold,   THAW_FIGURE_spawn,	   THAW_FIGURE_invoke_many, THAW_FIGURE_invoke_open,
	THAW_FIGURE_invoke, THAW_FIGURE_echo_many, THAW_FIGURE_prefork,	    THAW_FIGURE_echo,
	THAW_FIGURE_wasm,   THAW_FIGURE_qemu,	   THAW_FIGURE_criu,
};
#define COMPARED (sizeof(compared) / sizeof(compared[0]))

/* Names at the ends of lines, moved apart where they would lie on each other. */
struct tag {
	double y;
	unsigned colour;
	const char *text;
};

static void place_tags(FILE *out, struct tag *tags, size_t count, double x)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j > 0 && tags[j].y < tags[j - 1].y; j--) {
			struct tag kept = tags[j];

			tags[j] = tags[j - 1];
			tags[j - 1] = kept;
		}
	for (size_t i = 1; i < count; i++)
		if (tags[i].y < tags[i - 1].y + 14)
			tags[i].y = tags[i - 1].y + 14;
	for (size_t i = 0; i < count; i++) {
		char classes[32];

		snprintf(classes, sizeof(classes), "tag t%u", tags[i].colour);
		label(out, x, tags[i].y + 4, classes, tags[i].text);
	}
}

static void percentile_line(FILE *out, const struct thaw_bench_figure *figure, const struct axis *y,
			    double left, double step)
{
	const struct thaw_percentiles *values = &figure->values;
	const double heights[] = {(double)values->p50, (double)values->p90, (double)values->p99,
				  (double)values->p999, (double)values->max};

	fprintf(out, "<polyline class=\"line s%u%s\" points=\"", thaw_plot_colour(figure->name),
		strstr(figure->name, ".c") ? " dashed" : "");
	for (unsigned i = 0; i < 5; i++)
		fprintf(out, "%.1f,%.1f ", left + i * step, place(y, heights[i]));
	fputs("\"/>\n", out);
	for (unsigned i = 0; i < 5; i++)
		fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" class=\"f%u\"/>\n",
			left + i * step, place(y, heights[i]), thaw_plot_colour(figure->name));
}

void thaw_plot_percentiles(FILE *out, const struct thaw_bench_result *result)
{
	static const char *const names[] = {"p50", "p90", "p99", "p99.9", "max"};
	const double left = 80, step = 165;
	double least = INFINITY, most = 1;
	struct tag tags[COMPARED];
	size_t tag_count = 0;
	struct axis y;

	for (size_t i = 0; i < COMPARED; i++) {
		const struct thaw_bench_figure *figure = &result->figures[compared[i]];

		if (!figure->values.count)
			continue;
		least = fmin(least, (double)figure->values.p50);
		most = fmax(most, (double)figure->values.max);
	}
	if (most <= 1)
		return;
	y = decades(least, most, PLOT_HEIGHT - 48, 30);
	begin(out, WIDTH, PLOT_HEIGHT, "Percentiles");
	for (double value = y.low; value <= y.high * 1.01; value *= 10) {
		char text[THAW_BENCH_TEXT_MAX];

		line(out, left, place(&y, value), left + 4 * step, place(&y, value), "grid");
		unit_text(value, "ns", text);
		label(out, left - 10, place(&y, value) + 4, "tick end", text);
	}
	for (unsigned i = 0; i < 5; i++)
		label(out, left + i * step, PLOT_HEIGHT - 26, "tick middle", names[i]);
	label(out, left + 2 * step, PLOT_HEIGHT - 6, "tick middle", "percentile of the samples");
	label(out, 6, 14, "tick", "time to the answer, logarithmic");
	for (size_t i = 0; i < COMPARED; i++) {
		const struct thaw_bench_figure *figure = &result->figures[compared[i]];

		if (!figure->values.count)
			continue;
		percentile_line(out, figure, &y, left, step);
		tags[tag_count++] = (struct tag){place(&y, (double)figure->values.max),
						 thaw_plot_colour(figure->name), figure->name};
	}
	place_tags(out, tags, tag_count, left + 4 * step + 12);
	fputs("</svg>\n", out);
}

/* A round number of steps that end above MOST. */
static double round_up(double most)
{
	double one = pow(10, floor(log10(most)));
	static const double steps[] = {1, 1.5, 2, 3, 4, 5, 6, 8, 10};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i] * one >= most)
			return steps[i] * one;
	return most;
}

/* ---- Stages ---- */

struct stage_row {
	enum thaw_figure whole;
	enum thaw_figure parts[4]; /* none: no more */
};

static const struct stage_row stage_rows[] = {
	{THAW_FIGURE_cold,
	 {THAW_FIGURE_cold_create, THAW_FIGURE_cold_load, THAW_FIGURE_cold_boot,
	  THAW_FIGURE_cold_answer}},
	{THAW_FIGURE_disk,
	 {THAW_FIGURE_disk_create, THAW_FIGURE_disk_load, THAW_FIGURE_disk_answer,
	  THAW_FIGURE_none}},
	{THAW_FIGURE_memory, {THAW_FIGURE_none}},
	{THAW_FIGURE_shell, {THAW_FIGURE_none}},
	{THAW_FIGURE_pool, {THAW_FIGURE_none}},
	{THAW_FIGURE_recycled, {THAW_FIGURE_none}},
	{THAW_FIGURE_invoke, {THAW_FIGURE_none}},
};
#define STAGE_ROWS (sizeof(stage_rows) / sizeof(stage_rows[0]))

static double bar(FILE *out, double x, double y, double width, unsigned shade,
		  const struct thaw_bench_figure *figure)
{
	char text[THAW_BENCH_TEXT_MAX];
	const char *stage = strrchr(figure->name, '.');

	thaw_bench_text(figure->values.p50, "ns", text);
	fprintf(out,
		"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"26\" class=\"stage%u\">"
		"<title>",
		x, y, width > 1 ? width : 1, shade);
	thaw_html_text(out, figure->name);
	fprintf(out, ": %s</title></rect>\n", text);
	if (stage && width > 90) {
		char words[THAW_BENCH_TEXT_MAX + 64];

		snprintf(words, sizeof(words), "%s %s", stage + 1, text);
		label(out, x + 8, y + 17, "inside", words);
	}
	return x + width;
}

static void stage_bars(FILE *out, const struct thaw_bench_result *result,
		       const struct stage_row *row, double y, double scale)
{
	const struct thaw_bench_figure *whole = &result->figures[row->whole];
	char text[THAW_BENCH_TEXT_MAX];
	double x = LEFT;

	label(out, LEFT - 12, y + 17, "name end", whole->name);
	if (row->parts[0] == THAW_FIGURE_none || !result->figures[row->parts[0]].values.count) {
		x = bar(out, x, y, (double)whole->values.p50 * scale, 4, whole);
	} else {
		for (unsigned i = 0; i < 4 && row->parts[i] != THAW_FIGURE_none; i++) {
			bool last = i == 3 || row->parts[i + 1] == THAW_FIGURE_none;

			/* The last is the answer, whatever came before. */
			x = bar(out, x, y,
				(double)result->figures[row->parts[i]].values.p50 * scale,
				last ? 3 : i, &result->figures[row->parts[i]]);
		}
	}
	thaw_bench_text(whole->values.p50, "ns", text);
	label(out, x + 8, y + 17, "value", text);
}

/* Linear, from nothing: what is long looks long. */
static void stage_axis(FILE *out, double longest, double bottom)
{
	double step = round_up(longest / 6), scale = (WIDTH - LEFT - RIGHT - 80) / longest;
	char text[THAW_BENCH_TEXT_MAX];

	for (unsigned i = 0; i * step <= longest; i++) {
		double x = LEFT + i * step * scale;

		line(out, x, 0, x, bottom, "grid");
		unit_text(i * step, "ns", text);
		label(out, x, bottom + 18, "tick middle", i ? text : "0");
	}
	label(out, LEFT + longest * scale / 2, bottom + 36, "tick middle", "median time, linear");
}

void thaw_plot_stages(FILE *out, const struct thaw_bench_result *result)
{
	double longest = 0, y = 6;
	unsigned rows = 0;

	for (size_t i = 0; i < STAGE_ROWS; i++) {
		const struct thaw_percentiles *values =
			&result->figures[stage_rows[i].whole].values;

		longest = fmax(longest, (double)values->p50);
		rows += values->count > 0;
	}
	if (!rows)
		return;
	begin(out, WIDTH, rows * 36 + 8 + AXIS_ROOM, "Stages of each way to a first response");
	stage_axis(out, longest, rows * 36 + 4);
	for (size_t i = 0; i < STAGE_ROWS; i++) {
		if (!result->figures[stage_rows[i].whole].values.count)
			continue;
		stage_bars(out, result, &stage_rows[i], y, (WIDTH - LEFT - RIGHT - 80) / longest);
		y += 36;
	}
	fputs("</svg>\n", out);
}

/* ---- Series ---- */

#define LINES_WIDTH  470.0
#define LINES_HEIGHT 280.0
#define SERIES_MAX   6u

static const struct thaw_bench_series *find_series(const struct thaw_bench_result *result,
						   const char *name)
{
	for (size_t i = 0; i < result->series_count; i++)
		if (!strcmp(result->series[i].name, name) && result->series[i].count)
			return &result->series[i];
	return NULL;
}

static size_t find_all(const struct thaw_bench_result *result, const char *const *names,
		       const struct thaw_bench_series **found)
{
	size_t count = 0;

	for (; *names && count < SERIES_MAX; names++) {
		found[count] = find_series(result, *names);
		count += found[count] != NULL;
	}
	return count;
}

/* What is doubled or multiplied by ten lies in equal steps. */
static struct axis width_axis(const struct thaw_bench_series *const *series, size_t count,
			      double right)
{
	struct axis x = {INFINITY, 0, 78, right, true};

	for (size_t i = 0; i < count; i++) {
		x.low = fmin(x.low, series[i]->points[0].x);
		x.high = fmax(x.high, series[i]->points[series[i]->count - 1].x);
	}
	if (x.high <= x.low)
		x.high = x.low * 10;
	return x;
}

static struct axis height_axis(const struct thaw_bench_series *const *series, size_t count,
			       bool log_y)
{
	double least = INFINITY, most = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < series[i]->count; j++) {
			least = fmin(least, series[i]->points[j].y);
			most = fmax(most, series[i]->points[j].y);
		}
	if (log_y)
		return decades(least, most, LINES_HEIGHT - 44, 34);
	return (struct axis){0, round_up(most * 1.02), LINES_HEIGHT - 44, 34, false};
}

static void height_grid(FILE *out, const struct axis *y, const char *unit, double left,
			double right)
{
	for (unsigned i = 0; i < 32; i++) {
		double value = y->logarithmic ? y->low * pow(10, i) : y->high * i / 4;
		char text[THAW_BENCH_TEXT_MAX];

		if (value > y->high * 1.01)
			break;
		line(out, left, place(y, value), right, place(y, value), "grid");
		unit_text(value, unit, text);
		label(out, left - 8, place(y, value) + 4, "tick end", text);
	}
}

static void x_labels(FILE *out, const struct thaw_bench_series *series, const struct axis *x)
{
	double after = -1;

	for (size_t i = 0; i < series->count; i++) {
		double at = place(x, series->points[i].x);
		char text[THAW_BENCH_TEXT_MAX];

		if (at < after)
			continue;
		if (!strcmp(series->x, "bytes"))
			unit_text(series->points[i].x, "bytes", text);
		else
			snprintf(text, sizeof(text), "%.0f", series->points[i].x);
		label(out, at, LINES_HEIGHT - 26, "tick middle", text);
		after = at + 44;
	}
	label(out, (x->from + x->to) / 2, LINES_HEIGHT - 6, "tick middle",
	      strcmp(series->x, "bytes") ? series->x : "size of the image");
}

static void draw_series(FILE *out, const struct thaw_bench_series *series, const struct axis *x,
			const struct axis *y)
{
	unsigned colour = thaw_plot_colour(series->name);

	fprintf(out, "<polyline class=\"line s%u\" points=\"", colour);
	for (size_t i = 0; i < series->count; i++)
		fprintf(out, "%.1f,%.1f ", place(x, series->points[i].x),
			place(y, series->points[i].y));
	fputs("\"/>\n", out);
	for (size_t i = 0; i < series->count; i++) {
		char text[THAW_BENCH_TEXT_MAX];

		unit_text(series->points[i].y, series->unit, text);
		/* The exact numbers too, as the JSON has them. */
		fprintf(out,
			"<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" class=\"f%u\" "
			"data-series=\"%s\" data-x=\"%.17g\" data-y=\"%.17g\"><title>",
			place(x, series->points[i].x), place(y, series->points[i].y), colour,
			series->name, series->points[i].x, series->points[i].y);
		thaw_html_text(out, series->name);
		fprintf(out, ", %.0f %s: %s</title></circle>\n", series->points[i].x, series->x,
			text);
	}
}

/* How it grows, in words. */
static void caption(FILE *out, const struct thaw_bench_series *series, bool named)
{
	char growth[THAW_BENCH_GROWTH_MAX];

	thaw_bench_growth_text(series, growth);
	fprintf(out, "<p class=\"soft fit\">");
	if (named) {
		fprintf(out, "<b class=\"t%u\">", thaw_plot_colour(series->name));
		thaw_html_text(out, strchr(series->name, '.') + 1);
		fputs("</b>: ", out);
	}
	thaw_html_text(out, growth);
	fputs("</p>\n", out);
}

unsigned thaw_plot_lines(FILE *out, const struct thaw_bench_result *result,
			 const struct thaw_plot_lines *lines)
{
	const struct thaw_bench_series *series[SERIES_MAX];
	size_t count = find_all(result, lines->names, series);
	double right = count > 1 ? LINES_WIDTH - 128 : LINES_WIDTH - 24;
	struct tag tags[SERIES_MAX];
	struct axis x, y;

	if (!count)
		return 0;
	x = width_axis(series, count, right);
	y = height_axis(series, count, lines->log_y);
	fputs("<figure>\n", out);
	begin(out, LINES_WIDTH, LINES_HEIGHT, lines->title);
	label(out, 0, 14, "title", lines->title);
	height_grid(out, &y, series[0]->unit, x.from, right);
	x_labels(out, series[0], &x);
	for (size_t i = 0; i < count; i++) {
		draw_series(out, series[i], &x, &y);
		tags[i] = (struct tag){place(&y, series[i]->points[series[i]->count - 1].y),
				       thaw_plot_colour(series[i]->name),
				       strchr(series[i]->name, '.') + 1};
	}
	if (count > 1)
		place_tags(out, tags, count, right + 10);
	fputs("</svg>\n", out);
	for (size_t i = 0; i < count; i++)
		caption(out, series[i], count > 1);
	fputs("</figure>\n", out);
	return (unsigned)count;
}
