/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of a result, for people and for programs. */
#ifndef THAW_BENCH_REPORT_H
#define THAW_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "bench/base/result.h"
#include "snapshot-format/base/error.h"

/* {"host": {...}, "run": {...}, "figures": [{"name", "unit", "count", "p50", "p90", "p99",
 * "p999", "max", "ratio_to_limit", ...}], "series": [...], "notes": [...]}: docs/benchmarks.md
 * defines all of it. Absent figures are left out. Returns a new reference, or NULL when out of
 * memory. */
json_t *thaw_bench_report_json(const struct thaw_bench_result *result);

/* A table for a terminal: the host, the figures in human units, their distributions, and the
 * ratios that matter. */
int thaw_bench_report_table(FILE *out, const struct thaw_bench_result *result,
			    struct thaw_error *err);

/* One self-contained page: no script, nothing fetched. It contains the report's JSON, and shows
 * the same numbers. */
int thaw_bench_report_html(FILE *out, const struct thaw_bench_result *result,
			   struct thaw_error *err);

/* Writes VALUE with three significant digits to OUT: "17.3 µs", "5.10 ms", "112 KiB". */
#define THAW_BENCH_TEXT_MAX 32
void thaw_bench_text(uint64_t value, const char *unit, char out[THAW_BENCH_TEXT_MAX]);
/* Writes "3.21x"; an empty string when there is nothing to compare. */
void thaw_bench_ratio(uint64_t value, uint64_t base, char out[THAW_BENCH_TEXT_MAX]);

/* Writes the fit in words: "linear: 224 µs + 19.8 µs for each of the pages, within 11 %". */
#define THAW_BENCH_GROWTH_MAX 160
void thaw_bench_growth_text(const struct thaw_bench_series *series,
			    char out[THAW_BENCH_GROWTH_MAX]);

#endif
