/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes, words and axes. */
#include "bench/report/svg.h"

#include <math.h>
#include <string.h>

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

void svg_label(FILE *out, double x, double y, const char *classes, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
	thaw_html_text(out, text);
	fputs("</text>\n", out);
}

void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *class_name)
{
	fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1,
		y1, x2, y2, class_name);
}

void svg_begin(FILE *out, double width, double height, const char *what)
{
	fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width, height);
	thaw_html_text(out, what);
	fputs("\">\n", out);
}

void svg_unit(double value, const char *unit, char out[THAW_BENCH_TEXT_MAX])
{
	thaw_bench_text((uint64_t)(value + 0.5), unit, out);
}

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

double svg_place(const struct svg_axis *axis, double value)
{
	double part;

	if (axis->logarithmic)
		part = log10(value / axis->low) / log10(axis->high / axis->low);
	else
		part = (value - axis->low) / (axis->high - axis->low);
	return axis->from + part * (axis->to - axis->from);
}

struct svg_axis svg_decades(double least, double most, double from, double to)
{
	struct svg_axis axis = {.from = from, .to = to, .logarithmic = true};

	axis.low = pow(10, floor(log10(least > 1 ? least : 1)));
	axis.high = pow(10, ceil(log10(most > axis.low ? most * 1.0001 : axis.low * 10)));
	return axis;
}

double svg_round_up(double most)
{
	double one = pow(10, floor(log10(most)));
	static const double steps[] = {1, 1.5, 2, 3, 4, 5, 6, 8, 10};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i] * one >= most)
			return steps[i] * one;
	return most;
}

/* ---- Tags ---- */

void svg_tags(FILE *out, struct svg_tag *tags, size_t count, double x)
{
	for (size_t i = 1; i < count; i++)
		for (size_t j = i; j > 0 && tags[j].y < tags[j - 1].y; j--) {
			struct svg_tag kept = tags[j];

			tags[j] = tags[j - 1];
			tags[j - 1] = kept;
		}
	for (size_t i = 1; i < count; i++)
		if (tags[i].y < tags[i - 1].y + 14)
			tags[i].y = tags[i - 1].y + 14;
	for (size_t i = 0; i < count; i++) {
		char classes[32];

		snprintf(classes, sizeof(classes), "tag t%u", tags[i].colour);
		svg_label(out, x, tags[i].y + 4, classes, tags[i].text);
	}
}
