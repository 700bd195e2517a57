/* SPDX-License-Identifier: Apache-2.0 */
/* A result for people and for programs. */
#ifndef THAW_BENCH_REPORT_H
#define THAW_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "bench/base/result.h"
#include "snapshot-format/base/error.h"

/* {"host": {...}, "run": {...}, "figures": [{"name", "unit", "count", "p50", "p90", "p99", "p999",
 * "max", "ratio_to_limit", ...}], "series": [...], "notes": [...]}: docs/benchmarks.md has all of
 * it. Absent figures are not there. A new reference, or NULL when out of memory. */
json_t *thaw_bench_report_json(const struct thaw_bench_result *result);

/* The host, the figures in human units, how they are distributed, and the ratios that matter. */
int thaw_bench_report_table(FILE *out, const struct thaw_bench_result *result,
			    struct thaw_error *err);

/* One page with everything: no script, nothing from elsewhere. The report's JSON is in it, and its
 * numbers are those. */
int thaw_bench_report_html(FILE *out, const struct thaw_bench_result *result,
			   struct thaw_error *err);

/* "17.3 µs", "5.10 ms", "112 KiB": three digits that count, in OUT. */
#define THAW_BENCH_TEXT_MAX 32
void thaw_bench_text(uint64_t value, const char *unit, char out[THAW_BENCH_TEXT_MAX]);
/* "3.21x"; empty when there is nothing to compare. */
void thaw_bench_ratio(uint64_t value, uint64_t base, char out[THAW_BENCH_TEXT_MAX]);

/* "linear: 224 µs + 19.8 µs for each of the pages, within 11 %". */
#define THAW_BENCH_GROWTH_MAX 160
void thaw_bench_growth_text(const struct thaw_bench_series *series,
			    char out[THAW_BENCH_GROWTH_MAX]);

#endif
