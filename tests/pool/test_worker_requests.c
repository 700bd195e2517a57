/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests through a worker over the fake engine: who gets an instance, who waits and how long,
 * what a cancel, a hang-up and a lost instance do. No test waits for time to pass: what must
 * happen is waited for, and what must not happen is ruled out by something that comes after it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "snapshot-format/base/clock.h"
#include "tests/pool/wire.h"
#include "tests/pool/worker_fixture.h"

static struct test_worker worker;

static void teardown(void)
{
	test_worker_clean(&worker);
}

TestSuite(worker_requests, .fini = teardown, .timeout = 900);

static void start(struct test_worker_options options)
{
	test_worker_start(&worker, &options, worker.engine);
}

static void client(struct wire *wire)
{
	wire_open(wire, worker.run, TEST_WORKER_NAME);
}

static uint64_t submit(struct wire *wire, const char *request, uint64_t timeout_ns)
{
	return wire_submit(wire, request, strlen(request), timeout_ns);
}

static struct wire_answer invoke(const char *request)
{
	return wire_invoke(worker.run, TEST_WORKER_NAME, request);
}

static long long stat_of(const char *section, const char *name)
{
	return wire_stat(worker.run, TEST_WORKER_NAME, section, name);
}

/* Waits until the figure is WANTED: what it counts follows the answer. */
static void await_stat(const char *section, const char *name, long long wanted)
{
	while (stat_of(section, name) != wanted)
		;
}

static void expect_outcome(const struct wire_answer *answer, enum thaw_outcome_kind outcome,
			   int exit_code)
{
	cr_assert_eq(answer->response.status, THAW_STATUS_ran, "%s", answer->message);
	cr_assert_eq(answer->response.outcome, outcome, "outcome %u: %s", answer->response.outcome,
		     answer->message);
	cr_assert_eq(answer->response.exit_code, exit_code);
}

static void expect_echo(const struct wire_answer *answer, const char *request)
{
	expect_outcome(answer, THAW_OUTCOME_finished, 0);
	cr_assert_str_eq(answer->body, request);
}

/* A client whose request holds the only place. */
static void hold(struct wire *wire)
{
	client(wire);
	submit(wire, "hold", 0);
	fake_await_holding(worker.engine, 1);
}

static void expect_hold_answered(struct wire *wire)
{
	struct wire_answer answer = wire_answer(wire);

	expect_echo(&answer, "hold");
	wire_close(wire);
}

/* ---- Instances ---- */

Test(worker_requests, a_request_is_answered_from_the_pool_and_its_instance_recycled)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 2, .concurrency = 4});
	client(&wire);
	for (int i = 0; i < 10; i++) {
		submit(&wire, "hello", 0);
		answer = wire_answer(&wire);
		expect_echo(&answer, "hello");
		cr_assert_eq(answer.response.start, THAW_START_pool);
	}
	wire_close(&wire);
	await_stat("counters", "recycled", 10);
	await_stat("gauges", "fresh", 2);
	cr_assert_eq(fake_get_counts(worker.engine).created, 2);
}

Test(worker_requests, an_instance_is_made_where_the_pool_holds_none)
{
	struct wire_answer answer;

	start((struct test_worker_options){.destroys = true});
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	cr_assert_eq(answer.response.start, THAW_START_made);
}

Test(worker_requests, instances_that_are_not_recycled_are_destroyed_and_replaced)
{
	struct wire_answer answer;

	start((struct test_worker_options){.pool = 3, .destroys = true});
	for (int i = 0; i < 20; i++) {
		answer = invoke("hello");
		expect_echo(&answer, "hello");
	}
	await_stat("counters", "destroyed", 20);
	await_stat("gauges", "fresh", 3);
	cr_assert_eq(fake_get_counts(worker.engine).alive, 3);
}

Test(worker_requests, an_engine_that_refuses_to_recycle_costs_an_instance_each_time)
{
	struct wire_answer answer;

	worker.engine = fake_engine_new();
	fake_set_recycle(worker.engine, true, 0);
	start((struct test_worker_options){.pool = 3});
	for (int i = 0; i < 20; i++) {
		answer = invoke("hello");
		expect_echo(&answer, "hello");
	}
	await_stat("counters", "destroyed", 20);
	await_stat("gauges", "fresh", 3);
	cr_assert_eq(stat_of("counters", "recycled"), 0);
	cr_assert_eq(fake_get_counts(worker.engine).alive, 3);
}

Test(worker_requests, an_instance_that_ended_badly_is_destroyed)
{
	struct wire_answer answer;

	start((struct test_worker_options){.pool = 1});
	answer = invoke("crash");
	expect_outcome(&answer, THAW_OUTCOME_crashed, -1);
	cr_assert_eq(answer.response.length, 0, "half a response could be taken for a whole one");
	answer = invoke("exit");
	expect_outcome(&answer, THAW_OUTCOME_exited, 3);
	cr_assert_str_eq(answer.body, "exit");
	await_stat("counters", "destroyed", 2);
	await_stat("gauges", "fresh", 1);
	cr_assert_eq(fake_get_counts(worker.engine).recycled, 0);
}

Test(worker_requests, a_long_run_is_recycled_at_once)
{
	struct wire_answer answer;

	worker.engine = fake_engine_new();
	fake_set_run_ns(worker.engine, 10 * THAW_NS_PER_MS);
	start((struct test_worker_options){.pool = 1});
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	await_stat("counters", "recycled", 1);
	await_stat("gauges", "fresh", 1);
}

Test(worker_requests, an_instance_that_cannot_be_made_is_told_and_tried_again)
{
	struct wire_answer answer;

	worker.engine = fake_engine_new();
	start((struct test_worker_options){.concurrency = 2});
	fake_fail_creates(worker.engine, 1, "no processes are left");
	answer = invoke("hello");
	cr_assert_eq(answer.response.status, THAW_STATUS_failed);
	cr_assert_eq(answer.response.exit_code, THAW_ERR_ENGINE);
	cr_assert_str_eq(answer.message, "no processes are left");
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	/* The failed request gave its place back. */
	await_stat("gauges", "busy", 0);
}

Test(worker_requests, a_refill_that_fails_is_tried_again_without_another_request)
{
	struct wire_answer answer;

	start((struct test_worker_options){.pool = 3, .destroys = true});
	fake_fail_creates(worker.engine, 3, "no processes are left");
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	cr_assert_eq(answer.response.start, THAW_START_pool);
	await_stat("gauges", "fresh", 3);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 1);
}

/* ---- Losses ---- */

Test(worker_requests, instances_lost_while_idle_cost_no_request)
{
	struct wire_answer answer;

	start((struct test_worker_options){.pool = 2});
	fake_lose(worker.engine, 1);
	fake_lose(worker.engine, 2);
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	cr_assert_eq(answer.response.start, THAW_START_made);
	await_stat("counters", "destroyed", 2);
	await_stat("gauges", "fresh", 2);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 3);
}

Test(worker_requests, an_instance_lost_while_it_runs_is_replaced)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	hold(&wire);
	fake_lose(worker.engine, 1);
	fake_await_runs(worker.engine, 2);
	fake_release(worker.engine, 1);
	answer = wire_answer(&wire);
	expect_echo(&answer, "hold");
	wire_close(&wire);
}

Test(worker_requests, a_request_that_loses_three_instances_is_told)
{
	struct wire_answer answer;

	worker.engine = fake_engine_new();
	fake_lose_runs(worker.engine, 3);
	start((struct test_worker_options){.pool = 2});
	answer = invoke("hello");
	expect_outcome(&answer, THAW_OUTCOME_lost, 125);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 3);
	await_stat("counters", "destroyed", 3);
	answer = invoke("hello");
	expect_echo(&answer, "hello");
}

Test(worker_requests, a_request_that_loses_two_instances_is_answered_by_the_third)
{
	struct wire_answer answer;

	worker.engine = fake_engine_new();
	fake_lose_runs(worker.engine, 2);
	start((struct test_worker_options){.pool = 1});
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	cr_assert_eq(fake_get_counts(worker.engine).runs, 3);
}

Test(worker_requests, half_a_response_of_a_lost_instance_is_forgotten)
{
	struct wire_answer answer;

	start((struct test_worker_options){.pool = 2});
	answer = invoke("half of this goes with the instance");
	expect_echo(&answer, "half of this goes with the instance");
}

Test(worker_requests, a_request_whose_instances_are_lost_and_cannot_be_replaced_is_told)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	hold(&wire);
	fake_fail_creates(worker.engine, 1000000, "no processes are left");
	fake_lose(worker.engine, 1);
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_lost, 125);
	wire_close(&wire);
	fake_fail_creates(worker.engine, 0, "");
	await_stat("gauges", "busy", 0);
}

/* ---- Waiting for a place ---- */

Test(worker_requests, requests_wait_up_to_the_bound_and_are_then_refused_as_busy)
{
	struct wire holder, first, second;
	struct wire_answer answer;

	start((struct test_worker_options){.queue = 1});
	hold(&holder);
	client(&first);
	submit(&first, "first", 0);
	await_stat("gauges", "queued", 1);
	client(&second);
	submit(&second, "second", 0);
	answer = wire_answer(&second);
	cr_assert_eq(answer.response.status, THAW_STATUS_busy);
	cr_assert_eq(answer.response.exit_code, 125);
	fake_release(worker.engine, 1);
	expect_hold_answered(&holder);
	answer = wire_answer(&first);
	expect_echo(&answer, "first");
	/* The refused one never ran. */
	cr_assert_eq(fake_get_counts(worker.engine).runs, 2);
	wire_close(&first);
	wire_close(&second);
}

Test(worker_requests, requests_that_wait_run_in_their_order)
{
	struct wire holder, wires[4];
	struct wire_answer answer;

	start((struct test_worker_options){.queue = 4});
	hold(&holder);
	for (int i = 0; i < 4; i++) {
		client(&wires[i]);
		submit(&wires[i], "hold", 0);
		await_stat("gauges", "queued", i + 1);
	}
	fake_release(worker.engine, 1);
	expect_hold_answered(&holder);
	for (int i = 0; i < 4; i++) {
		fake_await_runs(worker.engine, (unsigned)i + 2);
		fake_release(worker.engine, 1);
		answer = wire_answer(&wires[i]);
		expect_echo(&answer, "hold");
		wire_close(&wires[i]);
	}
}

Test(worker_requests, a_request_whose_deadline_passes_while_it_waits_is_told_and_not_run)
{
	struct wire holder, wire;
	struct wire_answer answer;

	start((struct test_worker_options){.queue = 8});
	hold(&holder);
	client(&wire);
	submit(&wire, "hello", THAW_NS_PER_MS);
	/* The holder still holds: the housekeeping thread answers. */
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_deadline, 124);
	cr_assert_eq(answer.response.start, THAW_START_none);
	cr_assert_geq(answer.response.queued_ns, THAW_NS_PER_MS);
	/* A second one, after the queue was empty, is looked after too. */
	submit(&wire, "hello", THAW_NS_PER_MS);
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_deadline, 124);
	fake_release(worker.engine, 1);
	expect_hold_answered(&holder);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 1);
	wire_close(&wire);
}

Test(worker_requests, the_functions_own_deadline_counts_while_a_request_waits)
{
	struct wire holder, wire;
	struct wire_answer answer;

	start((struct test_worker_options){.queue = 8, .timeout_ns = 20 * THAW_NS_PER_MS});
	client(&holder);
	submit(&holder, "hold", 0);
	client(&wire);
	submit(&wire, "hold", 3600 * THAW_NS_PER_SEC);
	/* Whether it waited or ran: a longer timeout than the function's has no effect. */
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_deadline, 124);
	answer = wire_answer(&holder);
	expect_outcome(&answer, THAW_OUTCOME_deadline, 124);
	wire_close(&holder);
	wire_close(&wire);
}

Test(worker_requests, a_request_whose_deadline_has_passed_is_not_run)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	submit(&wire, "hello", 1);
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_deadline, 124);
	cr_assert_eq(answer.response.start, THAW_START_none);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 0);
	/* The instance that it claimed went back to the pool. */
	submit(&wire, "hello", 0);
	answer = wire_answer(&wire);
	expect_echo(&answer, "hello");
	cr_assert_eq(answer.response.start, THAW_START_pool);
	cr_assert_eq(fake_get_counts(worker.engine).created, 1);
	wire_close(&wire);
}

Test(worker_requests, a_requests_own_deadline_counts_where_it_is_the_shorter)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.timeout_ns = 3600 * THAW_NS_PER_SEC});
	client(&wire);
	submit(&wire, "hold", 20 * THAW_NS_PER_MS);
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_deadline, 124);
	wire_close(&wire);
}

/* ---- Cancel and hang-up ---- */

Test(worker_requests, a_cancelled_request_that_waits_is_answered_at_once)
{
	struct wire holder, wire;
	struct wire_answer answer;
	uint64_t id;

	start((struct test_worker_options){.queue = 8});
	hold(&holder);
	client(&wire);
	id = submit(&wire, "hello", 0);
	await_stat("gauges", "queued", 1);
	wire_send(&wire, THAW_FRAME_cancel, 0, id, NULL, 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.id, id);
	expect_outcome(&answer, THAW_OUTCOME_cancelled, 125);
	fake_release(worker.engine, 1);
	expect_hold_answered(&holder);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 1);
	cr_assert_eq(stat_of("counters", "cancels"), 1);
	wire_close(&wire);
}

Test(worker_requests, a_cancelled_request_that_runs_ends)
{
	struct wire_answer answer;
	struct wire wire;
	uint64_t id;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	id = submit(&wire, "slow", 0);
	fake_await_holding(worker.engine, 1);
	wire_send(&wire, THAW_FRAME_cancel, 0, id, NULL, 0);
	/* The same again, and one for an unknown request: neither is counted. */
	wire_send(&wire, THAW_FRAME_cancel, 0, id, NULL, 0);
	wire_send(&wire, THAW_FRAME_cancel, 0, id + 1, NULL, 0);
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_cancelled, 125);
	cr_assert_eq(stat_of("counters", "cancels"), 1);
	/* The killed instance is not recycled. */
	await_stat("counters", "destroyed", 1);
	wire_close(&wire);
}

Test(worker_requests, a_client_that_hangs_up_ends_what_runs_for_it)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 0});
	client(&wire);
	submit(&wire, "slow", 0);
	fake_await_holding(worker.engine, 1);
	wire_close(&wire);
	await_stat("gauges", "busy", 0);
	cr_assert_eq(fake_get_counts(worker.engine).killed, 1);
	cr_assert_eq(stat_of("counters", "hang_ups"), 1);
	answer = invoke("hello");
	expect_echo(&answer, "hello");
}

Test(worker_requests, a_client_that_hangs_up_takes_its_waiting_requests_along)
{
	struct wire holder, wire;

	start((struct test_worker_options){.queue = 8});
	hold(&holder);
	client(&wire);
	for (int i = 0; i < 3; i++)
		submit(&wire, "hello", 0);
	await_stat("gauges", "queued", 3);
	wire_close(&wire);
	await_stat("gauges", "queued", 0);
	cr_assert_eq(stat_of("gauges", "buffered_bytes"), 0);
	fake_release(worker.engine, 1);
	expect_hold_answered(&holder);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 1);
}

/* A request of LENGTH bytes of which one piece of 1,000 is sent. */
static void submit_in_part(struct wire *wire, uint64_t id, uint64_t length)
{
	struct {
		struct thaw_frame_request request;
		char piece[1000];
	} payload = {.request = {.length = length}};

	wire_send(wire, THAW_FRAME_request, THAW_FRAME_MORE, id, &payload, sizeof(payload));
}

Test(worker_requests, half_a_request_leaves_no_memory_when_its_client_hangs_up)
{
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	submit_in_part(&wire, 1, 5000);
	await_stat("gauges", "buffered_bytes", 1000);
	wire_close(&wire);
	await_stat("gauges", "buffered_bytes", 0);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 0);
}

Test(worker_requests, half_a_request_can_be_cancelled_and_its_other_half_is_thrown_away)
{
	static const char rest[4000];
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	submit_in_part(&wire, 1, 5000);
	wire_send(&wire, THAW_FRAME_cancel, 0, 1, NULL, 0);
	answer = wire_answer(&wire);
	expect_outcome(&answer, THAW_OUTCOME_cancelled, 125);
	cr_assert_eq(stat_of("gauges", "buffered_bytes"), 0);
	wire_send(&wire, THAW_FRAME_request_data, 0, 1, rest, sizeof(rest));
	/* The id is free again, and the connection is whole. */
	wire.last_id = 0;
	submit(&wire, "hello", 0);
	answer = wire_answer(&wire);
	expect_echo(&answer, "hello");
	cr_assert_eq(fake_get_counts(worker.engine).runs, 1);
	wire_close(&wire);
}

/* ---- Who reads the client ---- */

Test(worker_requests, a_slow_guest_lets_the_next_request_of_its_client_run)
{
	struct wire_answer answer;
	struct wire wire;
	uint64_t id;

	start((struct test_worker_options){.pool = 2, .concurrency = 2});
	client(&wire);
	submit(&wire, "slow", 0);
	fake_await_holding(worker.engine, 1);
	id = submit(&wire, "hello", 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.id, id);
	expect_echo(&answer, "hello");
	fake_release(worker.engine, 1);
	answer = wire_answer(&wire);
	expect_echo(&answer, "slow");
	wire_close(&wire);
}

Test(worker_requests, under_kvm_the_next_request_runs_beside_a_quick_guest)
{
	struct wire_answer answer;
	struct wire wire;
	uint64_t id;

	worker.engine = fake_engine_new();
	fake_set_backend(worker.engine, THAW_BACKEND_KVM);
	start((struct test_worker_options){.pool = 2, .concurrency = 2});
	client(&wire);
	submit(&wire, "hold", 0);
	fake_await_holding(worker.engine, 1);
	id = submit(&wire, "hello", 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.id, id);
	fake_release(worker.engine, 1);
	expect_hold_answered(&wire);
}

Test(worker_requests, a_very_slow_guest_has_the_pool_refilled_while_it_runs)
{
	struct wire wire;

	start((struct test_worker_options){.pool = 3, .concurrency = 2});
	client(&wire);
	submit(&wire, "very", 0);
	fake_await_holding(worker.engine, 1);
	cr_assert_eq(fake_get_counts(worker.engine).created, 4);
	fake_release(worker.engine, 1);
	wire_answer(&wire);
	wire_close(&wire);
}

/* ---- Slow clients ---- */

#define BIG 4000000u

Test(worker_requests, a_client_that_does_not_read_keeps_no_other_waiting)
{
	char request[32];
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	snprintf(request, sizeof(request), "big %u", BIG);
	client(&wire);
	for (int i = 0; i < 3; i++)
		submit(&wire, request, 0);
	/* They were answered as far as the worker is concerned: the only place is free. */
	await_stat("counters", "bytes_out", 3LL * BIG);
	answer = invoke("hello");
	expect_echo(&answer, "hello");
	cr_assert_gt(stat_of("gauges", "buffered_bytes"), BIG);
	for (int i = 0; i < 3; i++) {
		answer = wire_answer(&wire);
		cr_assert_eq(answer.response.length, BIG);
		cr_assert_eq(strspn(answer.body, "x"), BIG);
	}
	await_stat("gauges", "buffered_bytes", 0);
	wire_close(&wire);
}

Test(worker_requests, a_client_that_hangs_up_unread_leaves_no_memory)
{
	char request[32];
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	snprintf(request, sizeof(request), "big %u", BIG);
	client(&wire);
	submit(&wire, request, 0);
	await_stat("counters", "bytes_out", BIG);
	wire_close(&wire);
	await_stat("gauges", "buffered_bytes", 0);
	/* The connection that asks. */
	await_stat("gauges", "connections_open", 1);
}

/* ---- Prewarming ---- */

static void expect_control(const char *operation, const char *part)
{
	struct wire wire;
	char *reply;

	client(&wire);
	reply = wire_control(&wire, operation);
	cr_assert_not_null(strstr(reply, part), "%s", reply);
	free(reply);
	wire_close(&wire);
}

Test(worker_requests, prewarm_fills_the_pool_and_empties_it)
{
	start((struct test_worker_options){.pool = 1});
	expect_control("{\"op\":\"prewarm\",\"count\":7}", "{\"ready\":7}");
	cr_assert_eq(fake_get_counts(worker.engine).alive, 7);
	expect_control("{\"op\":\"prewarm\",\"count\":2}", "{\"ready\":2}");
	cr_assert_eq(fake_get_counts(worker.engine).alive, 2);
	cr_assert_eq(stat_of("gauges", "pool_target"), 2);
	expect_control("{\"op\":\"prewarm\",\"count\":65}", "--max-instances 65");
}

Test(worker_requests, prewarm_waits_for_instances_to_be_ready_and_only_one_does_at_a_time)
{
	struct wire wire;
	struct wire_frame *frame = malloc(sizeof(*frame));
	static const char operation[] = "{\"op\":\"prewarm\",\"count\":3}";

	start((struct test_worker_options){.concurrency = 2});
	fake_make_slowly(worker.engine);
	client(&wire);
	wire_send(&wire, THAW_FRAME_control, 0, 1, operation, strlen(operation));
	while (fake_get_counts(worker.engine).created != 3)
		;
	expect_control(operation, "another prewarm is under way");
	fake_make_ready(worker.engine);
	cr_assert(wire_receive(&wire, frame));
	cr_assert_str_eq((char *)frame->payload, "{\"ready\":3}");
	free(frame);
	wire_close(&wire);
}

Test(worker_requests, prewarm_gives_up_on_instances_that_do_not_become_ready)
{
	start((struct test_worker_options){.pool = 2, .prewarm_patience_ns = 1});
	fake_make_slowly(worker.engine);
	expect_control("{\"op\":\"prewarm\",\"count\":4}", "only 2 of 4 instances became ready");
	fake_make_ready(worker.engine);
}

Test(worker_requests, prewarm_tells_why_instances_cannot_be_made)
{
	start((struct test_worker_options){.pool = 1});
	fake_fail_creates(worker.engine, 1000000, "no processes are left");
	expect_control("{\"op\":\"prewarm\",\"count\":2}", "no processes are left");
	fake_fail_creates(worker.engine, 0, "");
	expect_control("{\"op\":\"prewarm\",\"count\":2}", "{\"ready\":2}");
}

/* ---- The log ---- */

Test(worker_requests, a_guest_that_logs_too_much_is_told_and_counted)
{
	struct wire_answer answer;

	/* The fixture's limit: four lines at once, one a second. */
	start((struct test_worker_options){.pool = 1});
	answer = invoke("log 50");
	expect_echo(&answer, "log 50");
	cr_assert_geq(stat_of("counters", "log_lines"), 4);
	cr_assert_eq(stat_of("counters", "log_lines") + stat_of("counters", "log_dropped"), 50);
	cr_assert_gt(stat_of("counters", "log_dropped"), 0);
}
