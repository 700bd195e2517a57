/* SPDX-License-Identifier: Apache-2.0 */
/* A result as JSON. The key order is the order here. */
#include "bench/report.h"

/* What the kernel says of itself need not be UTF-8. */
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
	return json_pack("{so sI ss sI sI sI}", "function", text(result->function), "runs",
			 (json_int_t)result->runs, "mode",
			 result->closed_loop ? "closed-loop" : "paced", "pace_ns",
			 (json_int_t)result->pace_ns, "request_bytes",
			 (json_int_t)result->request_bytes, "response_bytes",
			 (json_int_t)result->response_bytes);
}

static json_t *figure_json(enum thaw_figure figure, const struct thaw_percentiles *values)
{
	return json_pack("{ss ss sI sI sI sI sI sI}", "name", thaw_figure_name(figure), "unit",
			 thaw_figure_unit(figure), "count", (json_int_t)values->count, "p50",
			 (json_int_t)values->p50, "p90", (json_int_t)values->p90, "p99",
			 (json_int_t)values->p99, "p999", (json_int_t)values->p999, "max",
			 (json_int_t)values->max);
}

json_t *thaw_bench_report_json(const struct thaw_bench_result *result)
{
	json_t *figures = json_array();

	for (int i = 0; i < THAW_FIGURE_COUNT; i++)
		if (result->figures[i].count &&
		    json_array_append_new(figures,
					  figure_json((enum thaw_figure)i, &result->figures[i]))) {
			json_decref(figures);
			return NULL;
		}
	return json_pack("{so so so}", "host", host_json(&result->host), "run", run_json(result),
			 "figures", figures);
}
