/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a run. bench/report/report.h prints it. */
#ifndef THAW_BENCH_RESULT_H
#define THAW_BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/base/figures.h"
#include "bench/base/fit.h"
#include "bench/base/measured_host.h"

#define THAW_BENCH_NOTES_MAX  32u
#define THAW_BENCH_SERIES_MAX 16u

/* One quantity against another, with a fit; drawn as a line. */
struct thaw_bench_series {
	char name[48];
	const char *x, *unit; /* static: "clients", "clones", "bytes", "pages"; and "ns", "bytes",
			         "per-second" */
	struct thaw_fit_point points[THAW_FIT_POINTS_MAX];
	size_t count;
	struct thaw_fit fit;
};

struct thaw_bench_result {
	struct thaw_bench_host host;
	double load_after; /* as host.load, when the run had ended */
	double steal;	   /* 0..1: the processors' time in the run that the hypervisor took */
	char function[64];
	size_t runs;
	bool closed_loop;
	uint64_t pace_ns;
	uint64_t request_bytes, response_bytes;
	unsigned clients;
	uint64_t rate; /* of the open loop */
	struct thaw_bench_figure figures[THAW_BENCH_FIGURES_MAX];
	struct thaw_bench_series series[THAW_BENCH_SERIES_MAX];
	size_t series_count;
	char notes[THAW_BENCH_NOTES_MAX][320]; /* as the note callback got them */
	size_t note_count;
};

/* Adds a series to RESULT. NULL when it has THAW_BENCH_SERIES_MAX already. */
struct thaw_bench_series *thaw_bench_series_add(struct thaw_bench_result *result, const char *name,
						const char *x, const char *unit);
/* Adds a point. Ignores points beyond THAW_FIT_POINTS_MAX, and values that are not above zero. */
void thaw_bench_series_point(struct thaw_bench_series *series, double x, double y);

#endif
