/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the tables in metrics.h. */
#include "pool/worker/metrics.h"

#include "pool/wire/names.h"

static void put(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static json_t *counters_json(const struct thaw_metrics *metrics)
{
	json_t *object = json_object();

#define PUT_COUNTER(name, what) put(object, #name, get(&metrics->name));
	THAW_COUNTERS(PUT_COUNTER)
	return object;
}

static json_t *gauges_json(const struct thaw_gauges *gauges)
{
	json_t *object = json_object();

#define PUT_GAUGE(name, what) put(object, #name, gauges->name);
	THAW_GAUGES(PUT_GAUGE)
	return object;
}

static json_t *latency_json(const struct thaw_histogram *histogram)
{
	json_t *object = json_object();

	put(object, "count", get(&histogram->count));
	put(object, "p50", thaw_histogram_percentile(histogram, 500));
	put(object, "p90", thaw_histogram_percentile(histogram, 900));
	put(object, "p99", thaw_histogram_percentile(histogram, 990));
	put(object, "p999", thaw_histogram_percentile(histogram, 999));
	put(object, "max", get(&histogram->max));
	return object;
}

json_t *thaw_metrics_json(const struct thaw_metrics *metrics, const struct thaw_gauges *gauges)
{
	json_t *whole = json_object();
	json_t *statuses = json_object(), *outcomes = json_object(), *starts = json_object();
	json_t *latency = json_object();

	for (unsigned i = 0; i < THAW_STATUS_COUNT; i++)
		put(statuses, thaw_wire_status_name(i), get(&metrics->status[i]));
	for (unsigned i = 0; i < THAW_OUTCOME_COUNT; i++)
		put(outcomes, thaw_outcome_name((enum thaw_outcome_kind)i),
		    get(&metrics->outcome[i]));
	for (unsigned i = 0; i < THAW_START_COUNT; i++)
		put(starts, thaw_wire_start_name(i), get(&metrics->start[i]));
#define PUT_LATENCY(name, what)                                                                    \
	json_object_set_new(latency, #name, latency_json(&metrics->name##_ns));
	THAW_LATENCIES(PUT_LATENCY)
	json_object_set_new(whole, "counters", counters_json(metrics));
	json_object_set_new(whole, "gauges", gauges_json(gauges));
	json_object_set_new(whole, "statuses", statuses);
	json_object_set_new(whole, "outcomes", outcomes);
	json_object_set_new(whole, "starts", starts);
	json_object_set_new(whole, "latency", latency);
	return whole;
}
