/* SPDX-License-Identifier: Apache-2.0 */
/* The page's drawings, as inline SVG (bench/report/svg.h). */
#ifndef THAW_BENCH_REPORT_PLOTS_H
#define THAW_BENCH_REPORT_PLOTS_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/base/result.h"

/* One row for each figure on a common axis of time: how often each time occurred. */
void thaw_plot_distributions(FILE *out, const struct thaw_bench_result *result);
/* A line for each figure from its median to its slowest. */
void thaw_plot_percentiles(FILE *out, const struct thaw_bench_result *result);
/* The stages of the two long ways to a first response: medians, on one scale. */
void thaw_plot_stages(FILE *out, const struct thaw_bench_result *result);

/* One drawing of some of the result's series. */
struct thaw_plot_lines {
	const char *title;
	const char *const *names; /* of the series; NULL at the end; absent series are left out */
	bool log_y;		  /* else linear, from zero */
};
/* Returns how many series were drawn; draws nothing when there are none. */
unsigned thaw_plot_lines(FILE *out, const struct thaw_bench_result *result,
			 const struct thaw_plot_lines *lines);

#endif
