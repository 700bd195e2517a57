/* SPDX-License-Identifier: Apache-2.0 */
/* The table of metrics, its JSON and docs/daemon.md agree. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pool/worker/metrics.h"

Test(metrics, the_json_has_every_figure)
{
	static struct thaw_metrics metrics;
	const struct thaw_gauges gauges = {.fresh = 3};
	json_t *json, *latency;

	thaw_count(&metrics.made, 5);
	thaw_count(&metrics.outcome[THAW_OUTCOME_crashed], 2);
	thaw_histogram_record(&metrics.run_ns, 1000);
	json = thaw_metrics_json(&metrics, &gauges);
#define HAS_COUNTER(name, what)                                                                    \
	cr_assert(json_is_integer(json_object_get(json_object_get(json, "counters"), #name)));
#define HAS_GAUGE(name, what)                                                                      \
	cr_assert(json_is_integer(json_object_get(json_object_get(json, "gauges"), #name)));
#define HAS_STATUS(name, code, text)                                                               \
	cr_assert(json_is_integer(json_object_get(json_object_get(json, "statuses"), #name)));
#define HAS_OUTCOME(name, code, text)                                                              \
	cr_assert(json_is_integer(json_object_get(json_object_get(json, "outcomes"), #name)));
	THAW_COUNTERS(HAS_COUNTER)
	THAW_GAUGES(HAS_GAUGE)
	THAW_STATUSES(HAS_STATUS)
	THAW_OUTCOMES(HAS_OUTCOME)
	latency = json_object_get(json_object_get(json, "latency"), "run");
	cr_assert_eq(json_integer_value(json_object_get(latency, "count")), 1);
	cr_assert_eq(json_integer_value(json_object_get(latency, "p99")), 1000);
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "counters"), "made")),
		     5);
	cr_assert_eq(
		json_integer_value(json_object_get(json_object_get(json, "outcomes"), "crashed")),
		2);
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "gauges"), "fresh")),
		     3);
	json_decref(json);
}

Test(metrics, each_percentile_has_its_own_name)
{
	static const struct {
		const char *name;
		json_int_t value;
	} wanted[] = {{"count", 1000}, {"p50", 5},   {"p90", 7},
		      {"p99", 9},      {"p999", 11}, {"max", 13}};
	static struct thaw_metrics metrics;
	const struct thaw_gauges gauges = {0};
	json_t *json, *latency;

	for (unsigned i = 1; i <= 1000; i++)
		thaw_histogram_record(&metrics.total_ns, i <= 500   ? 5
							 : i <= 900 ? 7
							 : i <= 990 ? 9
							 : i <= 999 ? 11
								    : 13);
	json = thaw_metrics_json(&metrics, &gauges);
	latency = json_object_get(json_object_get(json, "latency"), "total");
	cr_assert_eq(json_object_size(latency), sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		cr_expect_eq(json_integer_value(json_object_get(latency, wanted[i].name)),
			     wanted[i].value, "%s", wanted[i].name);
	json_decref(json);
}

static char document[65536];

static void assert_documented(const char *name, const char *what)
{
	char line[512];

	snprintf(line, sizeof(line), "| `%s` | %s |", name, what);
	cr_assert_not_null(strstr(document, line), "docs/daemon.md has not: %s", line);
}

Test(metrics, the_document_has_every_figure)
{
	FILE *file = fopen(TEST_DOCUMENT, "r");

	cr_assert_not_null(file);
	cr_assert_gt(fread(document, 1, sizeof(document) - 1, file), 0);
	fclose(file);
#define DOCUMENTED(name, what) assert_documented(#name, what);
	THAW_COUNTERS(DOCUMENTED)
	THAW_GAUGES(DOCUMENTED)
}
