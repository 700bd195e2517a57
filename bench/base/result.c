/* SPDX-License-Identifier: Apache-2.0 */
/* The series of a result. */
#include "bench/base/result.h"

#include <stdio.h>

struct thaw_bench_series *thaw_bench_series_add(struct thaw_bench_result *result, const char *name,
						const char *x, const char *unit)
{
	struct thaw_bench_series *series;

	if (result->series_count == THAW_BENCH_SERIES_MAX)
		return NULL;
	series = &result->series[result->series_count++];
	*series = (struct thaw_bench_series){.x = x, .unit = unit};
	snprintf(series->name, sizeof(series->name), "%s", name);
	return series;
}

void thaw_bench_series_point(struct thaw_bench_series *series, double x, double y)
{
	if (x > 0 && y > 0 && series->count < THAW_FIT_POINTS_MAX)
		series->points[series->count++] = (struct thaw_fit_point){x, y};
}
