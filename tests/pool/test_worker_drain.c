/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a worker, over the fake engine: what it still runs, what it tells its clients, and
 * when its process ends. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "snapshot-format/base/clock.h"
#include "tests/pool/wire.h"
#include "tests/pool/worker_fixture.h"

static struct test_worker worker;

static void teardown(void)
{
	test_worker_clean(&worker);
}

TestSuite(worker_drain, .fini = teardown, .timeout = 900);

static void start(struct test_worker_options options)
{
	test_worker_start(&worker, &options, NULL);
}

static void client(struct wire *wire)
{
	wire_open(wire, worker.run, TEST_WORKER_NAME);
}

static void submit(struct wire *wire, const char *request)
{
	wire_submit(wire, request, strlen(request), 0);
}

static void expect_echo(struct wire *wire, const char *request)
{
	struct wire_answer answer = wire_answer(wire);

	cr_assert_eq(answer.response.status, THAW_STATUS_ran, "%s", answer.message);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_finished, "%s", answer.message);
	cr_assert_str_eq(answer.body, request);
}

static void expect_goaway(struct wire *wire)
{
	static struct wire_frame frame;

	cr_assert(wire_receive(wire, &frame), "the connection ended without a goaway");
	cr_assert_eq(frame.header.type, THAW_FRAME_goaway);
	cr_assert_eq(frame.header.length, 0);
	cr_assert_not(wire_receive(wire, &frame));
	wire_close(wire);
}

Test(worker_drain, a_worker_without_clients_ends)
{
	start((struct test_worker_options){.pool = 3});
	test_worker_drain(&worker);
	cr_assert_eq(test_worker_wait(&worker), 0);
}

Test(worker_drain, idle_clients_are_sent_away)
{
	struct wire fresh, used;

	start((struct test_worker_options){.pool = 3});
	client(&used);
	submit(&used, "hello");
	expect_echo(&used, "hello");
	client(&fresh);
	submit(&fresh, "hello");
	expect_echo(&fresh, "hello");
	test_worker_drain(&worker);
	/* One of them is held by the thread that answered it. */
	expect_goaway(&used);
	expect_goaway(&fresh);
	cr_assert_eq(test_worker_wait(&worker), 0);
}

Test(worker_drain, requests_that_run_and_that_wait_are_answered_first)
{
	struct wire runs, waits;

	start((struct test_worker_options){.queue = 4});
	client(&runs);
	submit(&runs, "hold");
	fake_await_holding(worker.engine, 1);
	client(&waits);
	submit(&waits, "one");
	submit(&waits, "two");
	while (wire_stat(worker.run, TEST_WORKER_NAME, "gauges", "queued") != 2)
		;
	test_worker_drain(&worker);
	fake_release(worker.engine, 1);
	expect_echo(&runs, "hold");
	expect_goaway(&runs);
	expect_echo(&waits, "one");
	expect_echo(&waits, "two");
	expect_goaway(&waits);
	cr_assert_eq(test_worker_wait(&worker), 0);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 3);
}

Test(worker_drain, half_a_request_is_not_run)
{
	static const char rest[4000];
	static struct wire_frame frame;
	struct {
		struct thaw_frame_request request;
		char piece[1000];
	} payload = {.request = {.length = 5000}};
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, 1, &payload, sizeof(payload));
	while (wire_stat(worker.run, TEST_WORKER_NAME, "gauges", "buffered_bytes") != 1000)
		;
	test_worker_drain(&worker);
	cr_assert(wire_receive(&wire, &frame));
	cr_assert_eq(frame.header.type, THAW_FRAME_goaway);
	wire_send(&wire, THAW_FRAME_request_data, 0, 1, rest, sizeof(rest));
	cr_assert_not(wire_receive(&wire, &frame));
	wire_close(&wire);
	cr_assert_eq(test_worker_wait(&worker), 0);
	cr_assert_eq(fake_get_counts(worker.engine).runs, 0);
}

Test(worker_drain, clients_that_come_late_are_left_for_the_next_worker)
{
	struct wire runs, late;
	int accepted;

	start((struct test_worker_options){.pool = 1});
	client(&runs);
	submit(&runs, "hold");
	fake_await_holding(worker.engine, 1);
	test_worker_drain(&worker);
	/* The goaway of another client tells that the order was carried out. */
	fake_release(worker.engine, 1);
	expect_echo(&runs, "hold");
	expect_goaway(&runs);
	client(&late);
	cr_assert_eq(test_worker_wait(&worker), 0);
	accepted = accept(worker.listener, NULL, NULL);
	cr_assert_geq(accepted, 0);
	close(accepted);
	wire_close(&late);
}

#define BIG 4000000u

static void leave_unread(struct wire *wire)
{
	char request[32];

	snprintf(request, sizeof(request), "big %u", BIG);
	client(wire);
	submit(wire, request);
	while (wire_stat(worker.run, TEST_WORKER_NAME, "counters", "bytes_out") != BIG)
		;
}

Test(worker_drain, a_client_that_reads_slowly_gets_all_of_its_answer)
{
	struct wire_answer answer;
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	leave_unread(&wire);
	test_worker_drain(&worker);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.length, BIG);
	cr_assert_eq(strspn(answer.body, "x"), BIG);
	expect_goaway(&wire);
	cr_assert_eq(test_worker_wait(&worker), 0);
}

Test(worker_drain, a_client_that_does_not_read_keeps_the_worker_for_its_grace_only)
{
	struct wire wire;

	start((struct test_worker_options){.pool = 1, .drain_grace_ns = 20 * THAW_NS_PER_MS});
	leave_unread(&wire);
	test_worker_drain(&worker);
	cr_assert_eq(test_worker_wait(&worker), 0);
	wire_close(&wire);
}

Test(worker_drain, the_grace_begins_when_the_last_invocation_has_ended)
{
	struct wire unread, runs;
	uint64_t ended_ns;

	start((struct test_worker_options){
		.pool = 2, .concurrency = 2, .drain_grace_ns = 50 * THAW_NS_PER_MS});
	leave_unread(&unread);
	client(&runs);
	submit(&runs, "hold");
	fake_await_holding(worker.engine, 1);
	test_worker_drain(&worker);
	/* More than the grace passes while the invocation runs. */
	usleep(100000);
	ended_ns = thaw_monotonic_ns();
	fake_release(worker.engine, 1);
	expect_echo(&runs, "hold");
	expect_goaway(&runs);
	cr_assert_eq(test_worker_wait(&worker), 0);
	cr_assert_geq(thaw_monotonic_ns() - ended_ns, 50 * THAW_NS_PER_MS);
	wire_close(&unread);
}

Test(worker_drain, a_second_order_changes_nothing)
{
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	submit(&wire, "slow");
	fake_await_holding(worker.engine, 1);
	test_worker_drain(&worker);
	test_worker_drain(&worker);
	fake_release(worker.engine, 1);
	expect_echo(&wire, "slow");
	expect_goaway(&wire);
	cr_assert_eq(test_worker_wait(&worker), 0);
}

Test(worker_drain, a_prewarm_under_way_ends)
{
	static const char operation[] = "{\"op\":\"prewarm\",\"count\":3}";
	static struct wire_frame frame;
	struct wire runs, asks;

	start((struct test_worker_options){.concurrency = 1});
	client(&runs);
	submit(&runs, "hold");
	fake_await_holding(worker.engine, 1);
	fake_make_slowly(worker.engine);
	client(&asks);
	wire_send(&asks, THAW_FRAME_control, 0, 1, operation, strlen(operation));
	while (fake_get_counts(worker.engine).created != 4)
		;
	test_worker_drain(&worker);
	/* The reply may be cut short by the goaway; either way the worker ends. */
	cr_assert(wire_receive(&asks, &frame));
	wire_close(&asks);
	fake_release(worker.engine, 1);
	expect_echo(&runs, "hold");
	expect_goaway(&runs);
	cr_assert_eq(test_worker_wait(&worker), 0);
}

Test(worker_drain, a_worker_whose_front_is_gone_ends_at_once)
{
	struct wire wire;

	start((struct test_worker_options){.pool = 1});
	client(&wire);
	submit(&wire, "hold");
	fake_await_holding(worker.engine, 1);
	cr_assert_eq(shutdown(worker.front, SHUT_RDWR), 0);
	cr_assert_eq(test_worker_wait(&worker), 1);
	wire_close(&wire);
}
