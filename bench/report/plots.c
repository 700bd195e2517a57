/* SPDX-License-Identifier: Apache-2.0 */
/* The drawings of the figures. */
#include "bench/report/plots.h"

#include <math.h>
#include <string.h>

#include "bench/report/report.h"
#include "bench/report/svg.h"

#define WIDTH 960.0
#define LEFT  190.0 /* margin of drawings with labels at their rows */
#define RIGHT 30.0

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

static void time_axis(FILE *out, const struct svg_axis *axis, double top, double bottom)
{
	for (double value = axis->low; value <= axis->high * 1.01; value *= 10) {
		char text[THAW_BENCH_TEXT_MAX];

		svg_line(out, svg_place(axis, value), top, svg_place(axis, value), bottom, "grid");
		svg_unit(value, "ns", text);
		svg_label(out, svg_place(axis, value), bottom + 18, "tick middle", text);
	}
	svg_label(out, (axis->from + axis->to) / 2, bottom + 36, "tick middle",
		  "time to the answer, logarithmic");
}

static void ridge(FILE *out, const struct thaw_bench_figure *figure, const struct svg_axis *axis,
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
	svg_line(out, axis->from, base, axis->to, base, "grid");
	if (first == THAW_BUCKETS)
		return;
	fprintf(out, "<path class=\"ridge f%u\" d=\"M%.1f,%.1f", thaw_plot_colour(figure->name),
		svg_place(axis, thaw_bucket_start(first)), base);
	/* The square root shows the few slow samples beside the many fast ones. */
	for (unsigned i = first; i <= last; i++) {
		double top =
			base - (ROW_HEIGHT - 10) * sqrt((double)distribution->counts[i] / highest);

		fprintf(out, "L%.1f,%.1fL%.1f,%.1f", svg_place(axis, thaw_bucket_start(i)), top,
			svg_place(axis, thaw_bucket_start(i + 1)), top);
	}
	fprintf(out, "L%.1f,%.1fZ\"/>\n", svg_place(axis, thaw_bucket_start(last + 1)), base);
	svg_line(out, svg_place(axis, (double)figure->values.p50), base - 6,
		 svg_place(axis, (double)figure->values.p50), base + 5, "median");
	svg_line(out, svg_place(axis, (double)figure->values.p99), base - 3,
		 svg_place(axis, (double)figure->values.p99), base + 5, "tail");
	svg_label(out, axis->from - 12, base - 14, "name end", figure->name);
	thaw_bench_text(figure->values.p50, "ns", middle);
	thaw_bench_text(figure->values.p99, "ns", tail);
	snprintf(text, sizeof(text), "%s, p99 %s", middle, tail);
	svg_label(out, axis->from - 12, base, "tick end", text);
}

void thaw_plot_distributions(FILE *out, const struct thaw_bench_result *result)
{
	double least, most, bottom;
	unsigned rows = time_range(result, &least, &most);
	struct svg_axis axis;
	double base = ROW_HEIGHT;

	if (!rows)
		return;
	bottom = ROW_HEIGHT * rows + 8;
	axis = svg_decades(least, most, LEFT + 20, WIDTH - RIGHT);
	svg_begin(out, WIDTH, bottom + AXIS_ROOM, "Distribution of each figure over time");
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

/* The names at the ends of the lines, moved apart where they would overlap. */
static void percentile_line(FILE *out, const struct thaw_bench_figure *figure,
			    const struct svg_axis *y, double left, double step)
{
	const struct thaw_percentiles *values = &figure->values;
	const double heights[] = {(double)values->p50, (double)values->p90, (double)values->p99,
				  (double)values->p999, (double)values->max};

	fprintf(out, "<polyline class=\"line s%u%s\" points=\"", thaw_plot_colour(figure->name),
		strstr(figure->name, ".c") ? " dashed" : "");
	for (unsigned i = 0; i < 5; i++)
		fprintf(out, "%.1f,%.1f ", left + i * step, svg_place(y, heights[i]));
	fputs("\"/>\n", out);
	for (unsigned i = 0; i < 5; i++)
		fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" class=\"f%u\"/>\n",
			left + i * step, svg_place(y, heights[i]), thaw_plot_colour(figure->name));
}

void thaw_plot_percentiles(FILE *out, const struct thaw_bench_result *result)
{
	static const char *const names[] = {"p50", "p90", "p99", "p99.9", "max"};
	const double left = 80, step = 165;
	double least = INFINITY, most = 1;
	struct svg_tag tags[COMPARED];
	size_t tag_count = 0;
	struct svg_axis y;

	for (size_t i = 0; i < COMPARED; i++) {
		const struct thaw_bench_figure *figure = &result->figures[compared[i]];

		if (!figure->values.count)
			continue;
		least = fmin(least, (double)figure->values.p50);
		most = fmax(most, (double)figure->values.max);
	}
	if (most <= 1)
		return;
	y = svg_decades(least, most, PLOT_HEIGHT - 48, 30);
	svg_begin(out, WIDTH, PLOT_HEIGHT, "Percentiles");
	for (double value = y.low; value <= y.high * 1.01; value *= 10) {
		char text[THAW_BENCH_TEXT_MAX];

		svg_line(out, left, svg_place(&y, value), left + 4 * step, svg_place(&y, value),
			 "grid");
		svg_unit(value, "ns", text);
		svg_label(out, left - 10, svg_place(&y, value) + 4, "tick end", text);
	}
	for (unsigned i = 0; i < 5; i++)
		svg_label(out, left + i * step, PLOT_HEIGHT - 26, "tick middle", names[i]);
	svg_label(out, left + 2 * step, PLOT_HEIGHT - 6, "tick middle",
		  "percentile of the samples");
	svg_label(out, 6, 14, "tick", "time to the answer, logarithmic");
	for (size_t i = 0; i < COMPARED; i++) {
		const struct thaw_bench_figure *figure = &result->figures[compared[i]];

		if (!figure->values.count)
			continue;
		percentile_line(out, figure, &y, left, step);
		tags[tag_count++] = (struct svg_tag){svg_place(&y, (double)figure->values.max),
						     thaw_plot_colour(figure->name), figure->name};
	}
	svg_tags(out, tags, tag_count, left + 4 * step + 12);
	fputs("</svg>\n", out);
}

/* ---- Stages ---- */

struct stage_row {
	enum thaw_figure whole;
	enum thaw_figure parts[4]; /* none: no more parts */
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
		svg_label(out, x + 8, y + 17, "inside", words);
	}
	return x + width;
}

static void stage_bars(FILE *out, const struct thaw_bench_result *result,
		       const struct stage_row *row, double y, double scale)
{
	const struct thaw_bench_figure *whole = &result->figures[row->whole];
	char text[THAW_BENCH_TEXT_MAX];
	double x = LEFT;

	svg_label(out, LEFT - 12, y + 17, "name end", whole->name);
	if (row->parts[0] == THAW_FIGURE_none || !result->figures[row->parts[0]].values.count) {
		x = bar(out, x, y, (double)whole->values.p50 * scale, 4, whole);
	} else {
		for (unsigned i = 0; i < 4 && row->parts[i] != THAW_FIGURE_none; i++) {
			bool last = i == 3 || row->parts[i + 1] == THAW_FIGURE_none;

			/* The last part is the answer, whatever precedes it. */
			x = bar(out, x, y,
				(double)result->figures[row->parts[i]].values.p50 * scale,
				last ? 3 : i, &result->figures[row->parts[i]]);
		}
	}
	thaw_bench_text(whole->values.p50, "ns", text);
	svg_label(out, x + 8, y + 17, "value", text);
}

/* Linear, from zero: a long time looks long. */
static void stage_axis(FILE *out, double longest, double bottom)
{
	double step = svg_round_up(longest / 6), scale = (WIDTH - LEFT - RIGHT - 80) / longest;
	char text[THAW_BENCH_TEXT_MAX];

	for (unsigned i = 0; i * step <= longest; i++) {
		double x = LEFT + i * step * scale;

		svg_line(out, x, 0, x, bottom, "grid");
		svg_unit(i * step, "ns", text);
		svg_label(out, x, bottom + 18, "tick middle", i ? text : "0");
	}
	svg_label(out, LEFT + longest * scale / 2, bottom + 36, "tick middle",
		  "median time, linear");
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
	svg_begin(out, WIDTH, rows * 36 + 8 + AXIS_ROOM, "Stages of each way to a first response");
	stage_axis(out, longest, rows * 36 + 4);
	for (size_t i = 0; i < STAGE_ROWS; i++) {
		if (!result->figures[stage_rows[i].whole].values.count)
			continue;
		stage_bars(out, result, &stage_rows[i], y, (WIDTH - LEFT - RIGHT - 80) / longest);
		y += 36;
	}
	fputs("</svg>\n", out);
}
