/* SPDX-License-Identifier: Apache-2.0 */
/* What a run has found; bench/report/report.h prints it. */
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

/* One thing against another, for a plot and a fit. */
struct thaw_bench_series {
	char name[48];
	const char *x, *unit; /* static: "clients", "clones", "bytes", "pages"; "ns", "bytes",
				 "per-second" */
	struct thaw_fit_point points[THAW_FIT_POINTS_MAX];
	size_t count;
	struct thaw_fit fit;
};

struct thaw_bench_result {
	struct thaw_bench_host host;
	double load_after; /* as the host's, when the run had ended */
	double steal;	   /* of the processors' time in the run, 0..1: taken by the hypervisor */
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
	char notes[THAW_BENCH_NOTES_MAX][320]; /* as the note callback had them */
	size_t note_count;
};

/* A new series of RESULT, or NULL when it has THAW_BENCH_SERIES_MAX. */
struct thaw_bench_series *thaw_bench_series_add(struct thaw_bench_result *result, const char *name,
						const char *x, const char *unit);
/* Adds a point; beyond THAW_FIT_POINTS_MAX, and for what is not above zero, nothing. */
void thaw_bench_series_point(struct thaw_bench_series *series, double x, double y);

#endif
