/* SPDX-License-Identifier: Apache-2.0 */
/* The loads of many clients, in turns. */
#include "bench/load/many_clients.h"

#include <stdlib.h>

#include "bench/function/invoke_figures.h"
#include "bench/limits/echo.h"
#include "bench/load/load.h"
#include "bench/peers/server.h"

#define ROUNDS	       5u
#define SWEEP_ROUNDS   2u
#define OPEN_ROUNDS    4u
#define RUN_NS	       400000u /* length of a load, for each of the run's samples */
#define DURATION_LEAST UINT64_C(8000000)
#define DURATION_MOST  UINT64_C(400000000)
#define ANSWER_MOST    10000000u /* of a single request to a peer that is loaded */

static const unsigned sweep[] = {1, 2, 4, 8, 16, THAW_BENCH_SWEEP_CLIENTS};
#define SWEEP (sizeof(sweep) / sizeof(sweep[0]))

/* ---- The echo's clients ---- */

struct echo_client {
	const struct thaw_echo *echo;
	unsigned index;
};

static int echo_open(void *context, unsigned index, void **out, struct thaw_error *err)
{
	struct echo_client *client = malloc(sizeof(*client));

	if (!client)
		return thaw_fail(err, THAW_ERR_FAILURE, "no memory for a client");
	*client = (struct echo_client){context, index};
	*out = client;
	return 0;
}

static int echo_call(void *context, struct thaw_error *err)
{
	const struct echo_client *client = context;

	return thaw_echo_call(client->echo, client->index, err);
}

/* ---- The loaded servers ---- */

struct loaded {
	struct thaw_load_subject target;
	/* The figures that its loads fill, or none. */
	enum thaw_figure latency, rate, open;
	struct thaw_load_result result;
};
#define LOADED_MAX 5u

static size_t list_loaded(const struct thaw_many *many, struct loaded *out)
{
	size_t count = 0;

	out[count++] = (struct loaded){.target = {many->echo, echo_open, echo_call, free},
				       .latency = THAW_FIGURE_echo_many,
				       .rate = THAW_FIGURE_rate_echo,
				       .open = THAW_FIGURE_echo_open};
	out[count++] = (struct loaded){.target = {many->hand_over, echo_open, echo_call, free},
				       .latency = THAW_FIGURE_none,
				       .rate = THAW_FIGURE_rate_hand_over,
				       .open = THAW_FIGURE_none};
	if (many->invoke)
		out[count++] = (struct loaded){.target = {many->invoke, thaw_invoke_client_open,
							  thaw_invoke_client_call,
							  thaw_invoke_client_close},
					       .latency = THAW_FIGURE_invoke_many,
					       .rate = THAW_FIGURE_rate_invoke,
					       .open = THAW_FIGURE_invoke_open};
	if (many->prefork)
		out[count++] = (struct loaded){.target = {many->prefork, thaw_server_open,
							  thaw_server_call, thaw_server_close},
					       .latency = THAW_FIGURE_prefork_many,
					       .rate = THAW_FIGURE_rate_prefork,
					       .open = THAW_FIGURE_none};
	/* Where one answer takes as long as a load, many clients would only wait for each
	 * other. */
	if (many->wasm && many->result->figures[THAW_FIGURE_wasm].values.p50 < ANSWER_MOST)
		out[count++] = (struct loaded){.target = {many->wasm, thaw_server_open,
							  thaw_server_call, thaw_server_close},
					       .latency = THAW_FIGURE_wasm_many,
					       .rate = THAW_FIGURE_rate_wasm,
					       .open = THAW_FIGURE_none};
	return count;
}

/* ---- The loads ---- */

struct work {
	const struct thaw_many *many;
	struct loaded loaded[LOADED_MAX];
	size_t count;
	uint64_t duration_ns;
	size_t done, total; /* in loads */
};

static int run_one(struct work *work, struct loaded *loaded, unsigned clients, uint64_t rate,
		   struct thaw_load_result *result, struct thaw_error *err)
{
	const struct thaw_many *many = work->many;
	const struct thaw_load load = {clients, work->duration_ns, rate};

	if (many->progress && many->progress(many->context, work->done, work->total, err))
		return -1;
	work->done++;
	if (thaw_load_run(&loaded->target, &load, result, err))
		return thaw_error_wrap(err, "%u clients", clients);
	return 0;
}

static void take(struct thaw_bench_result *result, enum thaw_figure figure,
		 struct thaw_samples *samples)
{
	if (figure != THAW_FIGURE_none)
		thaw_figure_take(&result->figures[figure], samples);
}

/* The loads with the run's number of clients. */
static int run_figures(struct work *work, struct thaw_error *err)
{
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < work->count; i++)
			if (run_one(work, &work->loaded[i], work->many->config->clients, 0,
				    &work->loaded[i].result, err))
				return -1;
	for (size_t i = 0; i < work->count; i++) {
		struct loaded *loaded = &work->loaded[i];

		take(work->many->result, loaded->latency, &loaded->result.latency);
		take(work->many->result, loaded->rate, &loaded->result.rates);
		thaw_load_result_finish(&loaded->result);
	}
	return 0;
}

/* The mean and not the median: in a short load most windows may have no answer. */
static double mean(const struct thaw_samples *samples)
{
	double sum = 0;

	for (size_t i = 0; i < samples->count; i++)
		sum += (double)samples->values[i];
	return samples->count ? sum / (double)samples->count : 0;
}

/* Measures one point of one series. */
static int run_point(struct work *work, struct loaded *loaded, unsigned clients,
		     struct thaw_bench_series *series, struct thaw_error *err)
{
	struct thaw_load_result result = {0};
	int failed = 0;

	for (unsigned round = 0; !failed && round < SWEEP_ROUNDS; round++)
		failed = run_one(work, loaded, clients, 0, &result, err);
	thaw_bench_series_point(series, clients, mean(&result.rates));
	thaw_load_result_finish(&result);
	return failed;
}

static int run_sweep(struct work *work, struct thaw_error *err)
{
	struct thaw_bench_result *result = work->many->result;
	struct thaw_bench_series *series[LOADED_MAX];

	for (size_t i = 0; i < work->count; i++) {
		series[i] =
			thaw_bench_series_add(result, result->figures[work->loaded[i].rate].name,
					      "clients", "per-second");
		thaw_assert(series[i]);
	}
	for (size_t at = 0; at < SWEEP; at++)
		for (size_t i = 0; i < work->count; i++)
			if (run_point(work, &work->loaded[i], sweep[at], series[i], err))
				return -1;
	for (size_t i = 0; i < work->count; i++)
		thaw_fit(series[i]->points, series[i]->count, &series[i]->fit);
	return 0;
}

static int run_open(struct work *work, struct thaw_error *err)
{
	struct thaw_bench_result *result = work->many->result;
	const struct thaw_bench_figure *sustained = &result->figures[THAW_FIGURE_rate_invoke];
	uint64_t rate = work->many->config->rate;

	if (!rate)
		rate = (sustained->values.p50 ? sustained->values.p50 : sustained->values.max) / 2;
	if (!rate)
		return 0;
	result->rate = rate;
	for (unsigned round = 0; round < OPEN_ROUNDS; round++)
		for (size_t i = 0; i < work->count; i++)
			if (work->loaded[i].open != THAW_FIGURE_none &&
			    run_one(work, &work->loaded[i], work->many->config->clients, rate,
				    &work->loaded[i].result, err))
				return -1;
	for (size_t i = 0; i < work->count; i++)
		take(result, work->loaded[i].open, &work->loaded[i].result.latency);
	return 0;
}

/* ---- The bound ---- */

double thaw_many_limit(double hand_over, double clone_ns, unsigned cores)
{
	if (hand_over <= 0 || clone_ns <= 0 || !cores)
		return 0;
	return 1 / (1 / hand_over + clone_ns / 1e9 / cores);
}

/* From each percentile of the hand-over rate and the median clone. */
static void take_limit(struct thaw_bench_result *result)
{
	const struct thaw_percentiles *hand_over =
		&result->figures[THAW_FIGURE_rate_hand_over].values;
	const struct thaw_percentiles *clone = &result->figures[THAW_FIGURE_clone].values;
	const uint64_t rates[] = {hand_over->p50, hand_over->p90, hand_over->p99, hand_over->p999,
				  hand_over->max};
	uint64_t limits[5];

	if (!hand_over->count || !clone->count)
		return;
	for (unsigned i = 0; i < 5; i++)
		limits[i] = (uint64_t)thaw_many_limit((double)rates[i], (double)clone->p50,
						      result->host.cores);
	result->figures[THAW_FIGURE_rate_limit].values = (struct thaw_percentiles){
		hand_over->count, limits[0], limits[1], limits[2], limits[3], limits[4]};
}

static uint64_t duration_of(const struct thaw_bench_config *config)
{
	uint64_t duration = config->runs * RUN_NS;

	if (duration < DURATION_LEAST)
		return DURATION_LEAST;
	return duration > DURATION_MOST ? DURATION_MOST : duration;
}

int thaw_many_run(const struct thaw_many *many, struct thaw_error *err)
{
	struct work work = {.many = many, .duration_ns = duration_of(many->config)};
	int failed;

	work.count = list_loaded(many, work.loaded);
	work.total = work.count * (ROUNDS + SWEEP * SWEEP_ROUNDS) + OPEN_ROUNDS * 2;
	failed = run_figures(&work, err) || run_sweep(&work, err);
	if (!failed) {
		take_limit(many->result);
		failed = run_open(&work, err);
	}
	for (size_t i = 0; i < work.count; i++)
		thaw_load_result_finish(&work.loaded[i].result);
	return failed ? -1 : 0;
}
