/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients: the times that they are charged, and the figures made from them. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench/base/figures.h"
#include "bench/base/pause.h"
#include "bench/load/load.h"
#include "bench/load/many_clients.h"

#define MS UINT64_C(1000000)

/* A server that takes no time, except for one stall. */
struct server {
	atomic_uint open, calls, fail_at;
	uint64_t stall_ns; /* of the tenth call */
};

static int open_client(void *context, unsigned index, void **client, struct thaw_error *err)
{
	struct server *server = context;

	(void)index;
	(void)err;
	server->open++;
	*client = server;
	return 0;
}

static int call(void *client, struct thaw_error *err)
{
	struct server *server = client;
	unsigned number = ++server->calls;

	if (number == 10)
		thaw_bench_pause(server->stall_ns);
	return server->fail_at == number ? thaw_fail(err, THAW_ERR_ENGINE, "broke") : 0;
}

static void close_client(void *client)
{
	struct server *server = client;

	server->open--;
}

static struct thaw_percentiles run(struct server *server, uint64_t rate)
{
	const struct thaw_load_subject subject = {server, open_client, call, close_client};
	const struct thaw_load load = {1, 200 * MS, rate};
	struct thaw_load_result result = {0};
	struct thaw_percentiles found;

	cr_assert_eq(thaw_load_run(&subject, &load, &result, NULL), 0);
	cr_assert_eq(server->open, 0);
	cr_assert_eq(result.latency.count, server->calls);
	cr_assert_eq(result.rates.count, THAW_LOAD_WINDOWS);
	thaw_samples_percentiles(&result.latency, &found);
	thaw_load_result_finish(&result);
	return found;
}

Test(load, an_open_loop_charges_a_stall_to_all_who_waited)
{
	struct server server = {.stall_ns = 100 * MS};
	struct thaw_percentiles open = run(&server, 1000);

	/* A hundred requests arrived in those 100 ms: about half of all requests waited, 50 ms at
	 * the median. */
	cr_assert_gt(open.p90, 50 * MS, "p90 %llu", (unsigned long long)open.p90);
	cr_assert_geq(open.max, 99 * MS);
}

Test(load, a_closed_loop_charges_it_once)
{
	struct server server = {.stall_ns = 100 * MS};
	struct thaw_percentiles closed = run(&server, 0);

	cr_assert_lt(closed.p99, 10 * MS, "p99 %llu", (unsigned long long)closed.p99);
	cr_assert_geq(closed.max, 99 * MS);
}

Test(load, arrivals_have_the_rate_and_know_nothing_of_each_other)
{
	uint64_t at = 0, random = 1, last = 0;
	unsigned longer = 0;

	for (unsigned i = 0; i < 100000; i++) {
		at = thaw_load_next_arrival(at, 1000, &random);
		longer += at - last > MS;
		last = at;
	}
	/* The mean gap is a millisecond, and 1/e of the gaps are longer than that. */
	cr_assert_float_eq((double)at, 1e11, 1e9);
	cr_assert_float_eq((double)longer, 36788, 600, "%u", longer);
}

Test(load, a_failure_ends_it_and_closes_all)
{
	struct server server = {.fail_at = 50};
	const struct thaw_load_subject subject = {&server, open_client, call, close_client};
	const struct thaw_load load = {4, 5000 * MS, 0};
	struct thaw_load_result result = {0};
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_lt(thaw_load_run(&subject, &load, &result, &err), 0);
	cr_assert_str_eq(err.message, "broke");
	cr_assert_eq(server.open, 0);
	thaw_load_result_finish(&result);
}

Test(load, the_limit_of_a_clone_for_each_request)
{
	/* 40,000 hand-overs a second, and clones of 100 us on two cores: 25 us and 50 us. */
	cr_assert_float_eq(thaw_many_limit(40000, 100000, 2), 13333.3, 0.1);
	cr_assert_eq(thaw_many_limit(0, 100000, 2), 0);
	cr_assert_eq(thaw_many_limit(40000, 0, 2), 0);
}

Test(figures, spread_is_of_the_parts_in_their_order)
{
	struct thaw_bench_figure *figures = calloc(THAW_BENCH_FIGURES_MAX, sizeof(*figures));
	struct thaw_samples steady = {0}, drifting = {0}, few = {0};

	cr_assert_not_null(figures);
	thaw_figures_init(figures, 8);
	cr_assert_str_eq(figures[THAW_FIGURE_invoke_many].name, "invoke.c8");
	cr_assert_str_eq(figures[THAW_FIGURE_rate_invoke].unit, "per-second");
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(thaw_samples_add(&steady, 100 + i % 20, NULL), 0);
		cr_assert_eq(thaw_samples_add(&drifting, 100 + i, NULL), 0);
	}
	cr_assert_eq(thaw_samples_add(&few, 7, NULL), 0);
	thaw_figure_take(&figures[0], &steady);
	thaw_figure_take(&figures[1], &drifting);
	thaw_figure_take(&figures[2], &few);
	cr_assert_float_eq(figures[0].spread, 0, 1e-9);
	cr_assert_gt(figures[1].spread, 0.5);
	cr_assert_lt(figures[2].spread, 0);
	/* The distribution has each sample once, in its bucket. */
	cr_assert_eq(figures[2].distribution.counts[16], 1, "7 is in [6.31, 7.08)");
	thaw_samples_finish(&steady);
	thaw_samples_finish(&drifting);
	thaw_samples_finish(&few);
	free(figures);
}
