/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the page's drawings are put together from: shapes and words in SVG, and axes. Colours and
 * fonts are the page's classes: t, f and s with a number from 0 to 9 are the colours of what is
 * compared, the same for one thing in every drawing. Nothing here fails: the page's writer looks
 * at the stream when it has written all.
 */
#ifndef THAW_BENCH_SVG_H
#define THAW_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "bench/report/report.h"

/* Writes TEXT with what HTML would take for its own made harmless. */
void thaw_html_text(FILE *out, const char *text);
/* The number of the colour of a figure or a series: ours in one, limits and peers in others. */
unsigned thaw_plot_colour(const char *name);

/* Begins a drawing; WHAT is read out to who does not see it. "</svg>" ends it. */
void svg_begin(FILE *out, double width, double height, const char *what);
void svg_label(FILE *out, double x, double y, const char *classes, const char *text);
void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *class_name);
/* VALUE in UNIT, as the table has it. */
void svg_unit(double value, const char *unit, char out[THAW_BENCH_TEXT_MAX]);

struct svg_axis {
	double low, high; /* values, powers of ten for a logarithmic one */
	double from, to;  /* on the paper */
	bool logarithmic;
};

/* Where on the paper VALUE is. */
double svg_place(const struct svg_axis *axis, double value);
/* A logarithmic axis of whole decades around LEAST and MOST. */
struct svg_axis svg_decades(double least, double most, double from, double to);
/* A round number of steps that end above MOST. */
double svg_round_up(double most);

struct svg_tag {
	double y;
	unsigned colour;
	const char *text;
};

/* The names of lines at their ends, at X, moved apart where they would lie on each other. */
void svg_tags(FILE *out, struct svg_tag *tags, size_t count, double x);

#endif
