/* SPDX-License-Identifier: Apache-2.0 */
/* The page's drawings, as inline SVG (bench/report/svg.h). */
#ifndef THAW_BENCH_REPORT_PLOTS_H
#define THAW_BENCH_REPORT_PLOTS_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/base/result.h"

/* A row for each figure on one axis of time: how often which. */
void thaw_plot_distributions(FILE *out, const struct thaw_bench_result *result);
/* A line for each figure from its median to its slowest. */
void thaw_plot_percentiles(FILE *out, const struct thaw_bench_result *result);
/* What the two long ways to a first response are made of, medians, on one scale. */
void thaw_plot_stages(FILE *out, const struct thaw_bench_result *result);

/* Some of the result's series in one drawing. */
struct thaw_plot_lines {
	const char *title;
	const char *const
		*names; /* of series; NULL at the end; those that are absent are left out */
	bool log_y;	/* else from zero */
};
/* Returns how many were drawn; with none, nothing is. */
unsigned thaw_plot_lines(FILE *out, const struct thaw_bench_result *result,
			 const struct thaw_plot_lines *lines);

#endif
