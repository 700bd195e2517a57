/* SPDX-License-Identifier: Apache-2.0 */
/* The table of metrics, its JSON, and the document that shows it agree. */
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
