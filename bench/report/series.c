/* SPDX-License-Identifier: Apache-2.0 */
/* The drawings of growth. */
#include "bench/report/plots.h"

#include <math.h>
#include <string.h>

#include "bench/report/report.h"
#include "bench/report/svg.h"

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

/* Doubled values, or values multiplied by ten, lie in equal steps. */
static struct svg_axis width_axis(const struct thaw_bench_series *const *series, size_t count,
				  double right)
{
	struct svg_axis x = {INFINITY, 0, 78, right, true};

	for (size_t i = 0; i < count; i++) {
		x.low = fmin(x.low, series[i]->points[0].x);
		x.high = fmax(x.high, series[i]->points[series[i]->count - 1].x);
	}
	if (x.high <= x.low)
		x.high = x.low * 10;
	return x;
}

static struct svg_axis height_axis(const struct thaw_bench_series *const *series, size_t count,
				   bool log_y)
{
	double least = INFINITY, most = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < series[i]->count; j++) {
			least = fmin(least, series[i]->points[j].y);
			most = fmax(most, series[i]->points[j].y);
		}
	if (log_y)
		return svg_decades(least, most, LINES_HEIGHT - 44, 34);
	return (struct svg_axis){0, svg_round_up(most * 1.02), LINES_HEIGHT - 44, 34, false};
}

static void height_grid(FILE *out, const struct svg_axis *y, const char *unit, double left,
			double right)
{
	for (unsigned i = 0; i < 32; i++) {
		double value = y->logarithmic ? y->low * pow(10, i) : y->high * i / 4;
		char text[THAW_BENCH_TEXT_MAX];

		if (value > y->high * 1.01)
			break;
		svg_line(out, left, svg_place(y, value), right, svg_place(y, value), "grid");
		svg_unit(value, unit, text);
		svg_label(out, left - 8, svg_place(y, value) + 4, "tick end", text);
	}
}

static void x_labels(FILE *out, const struct thaw_bench_series *series, const struct svg_axis *x)
{
	double after = -1;

	for (size_t i = 0; i < series->count; i++) {
		double at = svg_place(x, series->points[i].x);
		char text[THAW_BENCH_TEXT_MAX];

		if (at < after)
			continue;
		if (!strcmp(series->x, "bytes"))
			svg_unit(series->points[i].x, "bytes", text);
		else
			snprintf(text, sizeof(text), "%.0f", series->points[i].x);
		svg_label(out, at, LINES_HEIGHT - 26, "tick middle", text);
		after = at + 44;
	}
	svg_label(out, (x->from + x->to) / 2, LINES_HEIGHT - 6, "tick middle",
		  strcmp(series->x, "bytes") ? series->x : "size of the image");
}

static void draw_series(FILE *out, const struct thaw_bench_series *series, const struct svg_axis *x,
			const struct svg_axis *y)
{
	unsigned colour = thaw_plot_colour(series->name);

	fprintf(out, "<polyline class=\"line s%u\" points=\"", colour);
	for (size_t i = 0; i < series->count; i++)
		fprintf(out, "%.1f,%.1f ", svg_place(x, series->points[i].x),
			svg_place(y, series->points[i].y));
	fputs("\"/>\n", out);
	for (size_t i = 0; i < series->count; i++) {
		char text[THAW_BENCH_TEXT_MAX];

		svg_unit(series->points[i].y, series->unit, text);
		/* The exact numbers, as in the JSON. */
		fprintf(out,
			"<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" class=\"f%u\" "
			"data-series=\"%s\" data-x=\"%.17g\" data-y=\"%.17g\"><title>",
			svg_place(x, series->points[i].x), svg_place(y, series->points[i].y),
			colour, series->name, series->points[i].x, series->points[i].y);
		thaw_html_text(out, series->name);
		fprintf(out, ", %.0f %s: %s</title></circle>\n", series->points[i].x, series->x,
			text);
	}
}

/* The growth, in words. */
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
	struct svg_tag tags[SERIES_MAX];
	struct svg_axis x, y;

	if (!count)
		return 0;
	x = width_axis(series, count, right);
	y = height_axis(series, count, lines->log_y);
	fputs("<figure>\n", out);
	svg_begin(out, LINES_WIDTH, LINES_HEIGHT, lines->title);
	svg_label(out, 0, 14, "title", lines->title);
	height_grid(out, &y, series[0]->unit, x.from, right);
	x_labels(out, series[0], &x);
	for (size_t i = 0; i < count; i++) {
		draw_series(out, series[i], &x, &y);
		tags[i] = (struct svg_tag){svg_place(&y, series[i]->points[series[i]->count - 1].y),
					   thaw_plot_colour(series[i]->name),
					   strchr(series[i]->name, '.') + 1};
	}
	if (count > 1)
		svg_tags(out, tags, count, right + 10);
	fputs("</svg>\n", out);
	for (size_t i = 0; i < count; i++)
		caption(out, series[i], count > 1);
	fputs("</figure>\n", out);
	return (unsigned)count;
}
