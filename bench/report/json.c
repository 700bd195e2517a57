/* SPDX-License-Identifier: Apache-2.0 */
/* A result as JSON. Keys come in the order of this file. */
#include <string.h>

#include "bench/report/report.h"

/* The kernel's description of itself need not be UTF-8. */
static json_t *text(const char *bytes)
{
	json_t *string = json_string(bytes);

	return string ? string : json_string("unknown");
}

static json_t *host_json(const struct thaw_bench_host *host)
{
	return json_pack("{so sI sI so sb so so so so so sf}", "cpu", text(host->cpu), "cores",
			 (json_int_t)host->cores, "memory_bytes", (json_int_t)host->memory_bytes,
			 "kernel", text(host->kernel), "virtual_machine",
			 (int)host->virtual_machine, "mitigations", text(host->mitigations),
			 "clocksource", text(host->clocksource), "version", text(host->version),
			 "backend", text(host->backend), "date", text(host->date), "load",
			 host->load);
}

static json_t *run_json(const struct thaw_bench_result *result)
{
	return json_pack(
		"{so sI ss sI sI sI sI sI sf sf}", "function", text(result->function), "runs",
		(json_int_t)result->runs, "mode", result->closed_loop ? "closed-loop" : "paced",
		"pace_ns", (json_int_t)result->pace_ns, "request_bytes",
		(json_int_t)result->request_bytes, "response_bytes",
		(json_int_t)result->response_bytes, "clients", (json_int_t)result->clients, "rate",
		(json_int_t)result->rate, "load_after", result->load_after, "steal", result->steal);
}

/* [[from, count], ...] of the buckets that are not empty. */
static json_t *distribution_json(const struct thaw_distribution *distribution)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < THAW_BUCKETS; i++)
		if (distribution->counts[i])
			json_array_append_new(buckets,
					      json_pack("[I I]",
							(json_int_t)(thaw_bucket_start(i) + 0.5),
							(json_int_t)distribution->counts[i]));
	return buckets;
}

static json_t *figure_json(const struct thaw_bench_figure *figures,
			   const struct thaw_bench_figure *figure)
{
	const struct thaw_percentiles *values = &figure->values;
	double ratio = thaw_figure_ratio(figures, figure);

	return json_pack("{so ss sI sI sI sI sI sI so so so so so}", "name", text(figure->name),
			 "unit", figure->unit, "count", (json_int_t)values->count, "p50",
			 (json_int_t)values->p50, "p90", (json_int_t)values->p90, "p99",
			 (json_int_t)values->p99, "p999", (json_int_t)values->p999, "max",
			 (json_int_t)values->max, "ratio_to_limit",
			 ratio > 0 ? json_real(ratio) : json_null(), "limit",
			 ratio > 0 ? text(figures[figure->limit].name) : json_null(), "spread",
			 figure->spread >= 0 ? json_real(figure->spread) : json_null(), "what",
			 text(figure->text + strspn(figure->text, " ")), "distribution",
			 distribution_json(&figure->distribution));
}

static json_t *figures_json(const struct thaw_bench_result *result)
{
	json_t *figures = json_array();

	for (unsigned i = 0; i < THAW_BENCH_FIGURES_MAX; i++)
		if (result->figures[i].values.count &&
		    json_array_append_new(figures,
					  figure_json(result->figures, &result->figures[i]))) {
			json_decref(figures);
			return NULL;
		}
	return figures;
}

static json_t *series_json(const struct thaw_bench_series *series)
{
	const struct thaw_fit *fit = &series->fit;
	json_t *points = json_array();

	for (size_t i = 0; i < series->count; i++)
		json_array_append_new(points,
				      json_pack("[f f]", series->points[i].x, series->points[i].y));
	return json_pack("{so ss ss so s{ss sf sf sf sf sf}}", "name", text(series->name), "x",
			 series->x, "unit", series->unit, "points", points, "fit", "growth",
			 thaw_growth_name(fit->growth), "constant", fit->constant, "slope",
			 fit->slope, "spread", fit->spread, "worst", fit->worst, "bend", fit->bend);
}

static json_t *all_series_json(const struct thaw_bench_result *result)
{
	json_t *all = json_array();

	for (size_t i = 0; i < result->series_count; i++)
		json_array_append_new(all, series_json(&result->series[i]));
	return all;
}

static json_t *notes_json(const struct thaw_bench_result *result)
{
	json_t *notes = json_array();

	for (size_t i = 0; i < result->note_count; i++)
		json_array_append_new(notes, text(result->notes[i]));
	return notes;
}

json_t *thaw_bench_report_json(const struct thaw_bench_result *result)
{
	return json_pack("{so so so so so}", "host", host_json(&result->host), "run",
			 run_json(result), "figures", figures_json(result), "series",
			 all_series_json(result), "notes", notes_json(result));
}
