/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The elements of the page's drawings: shapes and words in SVG, and axes. Colours and fonts are
 * classes of the page: t, f and s with a number from 0 to 9 are the colours of the compared
 * things, the same for one thing in every drawing. No function here fails: the writer of the page
 * checks the stream at the end.
 */
#ifndef THAW_BENCH_SVG_H
#define THAW_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bench/report/report.h"

/* Writes TEXT with the characters escaped that have a meaning in HTML. */
void thaw_html_text(FILE *out, const char *text);
/* The colour number of a figure or a series: one for Thaw's, others for limits and peers. */
unsigned thaw_plot_colour(const char *name);

/* Begins a drawing; screen readers read WHAT. "</svg>" ends it. */
void svg_begin(FILE *out, double width, double height, const char *what);
void svg_label(FILE *out, double x, double y, const char *classes, const char *text);
void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *class_name);
/* VALUE in UNIT, in the same words as the table. */
void svg_unit(double value, const char *unit, char out[THAW_BENCH_TEXT_MAX]);

struct svg_axis {
	double low, high; /* values; powers of ten for a logarithmic axis */
	double from, to;  /* positions in the drawing */
	bool logarithmic;
};

/* The position of VALUE in the drawing. */
double svg_place(const struct svg_axis *axis, double value);
/* A logarithmic axis of whole decades around LEAST and MOST. */
struct svg_axis svg_decades(double least, double most, double from, double to);
/* A round number above MOST, for the end of an axis. */
double svg_round_up(double most);

struct svg_tag {
	double y;
	unsigned colour;
	const char *text;
};

/* Writes the names of lines at their ends, at X, moved apart where they would overlap. */
void svg_tags(FILE *out, struct svg_tag *tags, size_t count, double x);

#endif
