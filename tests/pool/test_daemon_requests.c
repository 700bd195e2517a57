/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a real daemon: right answers, many at once, bodies of every size, misbehaviour,
 * limits, the wire's rules. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/engine.h"
#include "tests/pool/daemon_fixture.h"
#include "tests/pool/wire.h"

#define MS UINT64_C(1000000)

/* The environment variable that tells the tests' processes the directory of the images. */
#define IMAGES "TEST_DAEMON_IMAGES"

static const char *const functions[] = {"hello", "counter", "mirror", "misbehave"};
#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

/* Guests that hang hold their places for as long as a test lasts, and under an emulated processor
 * four of them make a test last minutes. */
#define TIMEOUT_MS 900000

static struct test_daemon server;

/* Images are frozen once for all tests, though each test has a daemon of its own: in an emulated
 * machine freezing takes longer than most tests. */
ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	daemon_prepare(&server);
	for (size_t i = 0; i < FUNCTIONS; i++)
		daemon_freeze(&server, functions[i], functions[i], TIMEOUT_MS);
	setenv(IMAGES, server.state, 1);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	daemon_clean(&server);
}

static void setup(void)
{
	static const char *const args[] = {"--concurrency", "4", "--queue", "8", NULL};
	char image[128], mine[128];

	daemon_prepare(&server);
	for (size_t i = 0; i < FUNCTIONS; i++) {
		snprintf(image, sizeof(image), "%s/%s.thaw", getenv(IMAGES), functions[i]);
		snprintf(mine, sizeof(mine), "%s/%s.thaw", server.state, functions[i]);
		cr_assert_eq(link(image, mine), 0);
	}
	daemon_start(&server, args);
}

static void teardown(void)
{
	daemon_clean(&server);
}

TestSuite(daemon_requests, .init = setup, .fini = teardown, .timeout = 900);

Test(daemon_requests, a_request_is_answered)
{
	struct wire_answer answer = wire_invoke(server.run, "hello", "");

	cr_assert_eq(answer.response.status, THAW_STATUS_ran);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_finished);
	cr_assert_eq(answer.response.exit_code, 0);
	cr_assert_str_eq(answer.body, "hello, world\n");
	cr_assert_gt(answer.response.run_ns, 0);
	cr_assert_geq(answer.response.total_ns, answer.response.run_ns);
}

static void *count_often(void *argument)
{
	long wrong = 0;
	struct wire wire;

	wire_open(&wire, argument, "counter");
	for (int i = 0; i < 50; i++) {
		struct wire_answer answer;

		/* There are more clients than places and queue: a client that is refused as busy
		 * tries again. */
		do {
			wire_submit(&wire, "", 0, 0);
			answer = wire_answer(&wire);
		} while (answer.response.status == THAW_STATUS_busy);
		wrong += strcmp(answer.body, "1\n") != 0;
	}
	wire_close(&wire);
	return (void *)wrong;
}

Test(daemon_requests, every_request_finds_fresh_state)
{
	pthread_t threads[16];
	void *wrong;

	for (int i = 0; i < 16; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count_often, server.run), 0);
	for (int i = 0; i < 16; i++) {
		pthread_join(threads[i], &wrong);
		cr_assert_eq((long)wrong, 0);
	}
}

Test(daemon_requests, many_in_flight_on_one_connection)
{
	bool seen[33] = {false};
	struct wire wire;

	wire_open(&wire, server.run, "counter");
	for (int i = 0; i < 10; i++)
		wire_submit(&wire, "", 0, 0);
	for (int i = 0; i < 10; i++) {
		struct wire_answer answer = wire_answer(&wire);

		cr_assert_eq(answer.response.status, THAW_STATUS_ran);
		cr_assert_str_eq(answer.body, "1\n");
		cr_assert_not(seen[answer.id]);
		seen[answer.id] = true;
	}
	wire_close(&wire);
}

Test(daemon_requests, bodies_of_every_size_arrive_whole_and_come_back)
{
	const size_t first = THAW_FRAME_PAYLOAD_MAX - sizeof(struct thaw_frame_request);
	const size_t back = THAW_FRAME_PAYLOAD_MAX - sizeof(struct thaw_frame_response);
	const size_t sizes[] = {0,
				1,
				back,
				back + 1,
				first - 1,
				first,
				first + 1,
				THAW_FRAME_PAYLOAD_MAX,
				THAW_FRAME_PAYLOAD_MAX + 1,
				first + THAW_FRAME_PAYLOAD_MAX,
				(5 << 20) + 3,
				THAW_REQUEST_MAX};
	uint8_t *body = malloc(THAW_REQUEST_MAX);
	struct wire wire;

	wire_open(&wire, server.run, "mirror");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct wire_answer answer;

		for (size_t at = 0; at < sizes[i]; at++)
			body[at] = (uint8_t)(at * 7 + at / 251 + i);
		wire_submit(&wire, body, sizes[i], 0);
		answer = wire_answer(&wire);
		cr_assert_eq(answer.response.status, THAW_STATUS_ran, "%s", answer.message);
		cr_assert_eq(answer.response.length, sizes[i], "%zu: %s", sizes[i], answer.message);
		cr_assert_eq(memcmp(answer.body, body, sizes[i]), 0, "%zu", sizes[i]);
	}
	free(body);
	wire_close(&wire);
}

Test(daemon_requests, a_request_beyond_the_limit_is_refused_and_the_connection_goes_on)
{
	struct thaw_frame_request request = {.length = THAW_REQUEST_MAX + UINT64_C(1)};
	struct wire_answer answer;
	struct wire wire;

	wire_open(&wire, server.run, "hello");
	wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, 77, &request, sizeof(request));
	answer = wire_answer(&wire);
	cr_assert_eq(answer.id, 77);
	cr_assert_eq(answer.response.status, THAW_STATUS_too_large);
	cr_assert_eq(answer.response.exit_code, 1);
	wire_send(&wire, THAW_FRAME_request_data, THAW_FRAME_MORE, 77, "more", 4);
	wire_send(&wire, THAW_FRAME_request_data, 0, 77, "last", 4);
	wire_submit(&wire, "", 0, 0);
	answer = wire_answer(&wire);
	cr_assert_str_eq(answer.body, "hello, world\n");
	wire_close(&wire);
}

static const struct {
	const char *request;
	enum thaw_outcome_kind outcome;
	int exit_code;
} ways[] = {
	{"ok", THAW_OUTCOME_finished, 0},
	{"status 3", THAW_OUTCOME_finished, 3},
	{"exit 7", THAW_OUTCOME_exited, 7},
	{"abort because", THAW_OUTCOME_aborted, 134},
	{"crash", THAW_OUTCOME_crashed, 139},
	{"divide", THAW_OUTCOME_crashed, 136},
	{"bad-hypercall", THAW_OUTCOME_violation, 159},
	{"answer-too-much", THAW_OUTCOME_too_much, 153},
};

/* A virtual machine has two descriptors, and four more machines than before may stand ready or be
 * on their way out. */
#define DESCRIPTORS_SLACK 16u

static bool holds_no_more_than(void *before)
{
	return daemon_descriptors(daemon_worker(&server, "misbehave")) <=
	       *(const unsigned *)before + DESCRIPTORS_SLACK;
}

Test(daemon_requests, misbehaviour_reaches_its_caller_and_nobody_else)
{
	unsigned descriptors = 0;

	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
			struct wire_answer answer;

			/* Only once: 64 MiB take long in an emulated machine. */
			if (round > 0 && ways[i].outcome == THAW_OUTCOME_too_much)
				continue;
			answer = wire_invoke(server.run, "misbehave", ways[i].request);

			cr_assert_eq(answer.response.status, THAW_STATUS_ran);
			cr_assert_eq(answer.response.outcome, ways[i].outcome, "%s: %s",
				     ways[i].request, answer.message);
			cr_assert_eq(answer.response.exit_code, ways[i].exit_code);
			answer = wire_invoke(server.run, "misbehave", "echo fine");
			cr_assert_str_eq(answer.body, "fine\n");
		}
		if (round == 0)
			descriptors = daemon_descriptors(daemon_worker(&server, "misbehave"));
	}
	cr_assert(daemon_wait(holds_no_more_than, &descriptors));
}

Test(daemon_requests, a_deadline_ends_a_run)
{
	struct wire_answer answer;
	struct wire wire;

	wire_open(&wire, server.run, "misbehave");
	wire_submit(&wire, "hang", 4, 100 * MS);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_deadline);
	cr_assert_eq(answer.response.exit_code, 124);
	cr_assert_geq(answer.response.total_ns, 100 * MS);
	wire_close(&wire);
}

static bool is_busy(void *context)
{
	long long wanted = *(long long *)context;

	return wire_stat(server.run, "misbehave", "gauges", "busy") == wanted;
}

static bool is_queued(void *context)
{
	long long wanted = *(long long *)context;

	return wire_stat(server.run, "misbehave", "gauges", "queued") == wanted;
}

/* Fills all four places with guests that hang. */
static void occupy(struct wire *wire)
{
	long long places = 4;

	wire_open(wire, server.run, "misbehave");
	for (int i = 0; i < 4; i++)
		wire_submit(wire, "hang", 4, 0);
	cr_assert(daemon_wait(is_busy, &places));
}

Test(daemon_requests, what_waits_is_bounded_ordered_and_under_deadline)
{
	long long none = 0, eight = 8;
	struct wire_answer answer;
	struct wire hanging, wire;
	uint64_t last = 0;

	occupy(&hanging);
	wire_open(&wire, server.run, "misbehave");
	/* The deadline passes in the queue: the answer comes while all places are taken. */
	wire_submit(&wire, "ok", 2, 50 * MS);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_deadline);
	cr_assert_eq(answer.response.start, THAW_START_none);
	/* A cancel takes a request out of the queue. */
	wire_send(&wire, THAW_FRAME_cancel, 0, wire_submit(&wire, "ok", 2, 0), NULL, 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_cancelled);
	cr_assert(daemon_wait(is_queued, &none));
	/* Eight may wait, the ninth is busy at once. */
	for (uint64_t i = 0; i < 8; i++)
		last = wire_submit(&wire, "echo waited", 11, 0);
	cr_assert(daemon_wait(is_queued, &eight));
	wire_submit(&wire, "echo waited", 11, 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.status, THAW_STATUS_busy);
	cr_assert_eq(answer.response.exit_code, 125);
	/* When the hanging clients go away their places are free. The oldest come first, but for
	 * those that run beside each other in the four places. */
	wire_close(&hanging);
	for (uint64_t i = 0; i < 8; i++) {
		answer = wire_answer(&wire);
		cr_assert_leq(
			answer.id, last - 7 + i + 3,
			"answer %d is to request %d: status %u, outcome %u, start %u, after %llu "
			"us in the queue and %llu us in all: %s",
			(int)i, (int)(answer.id - (last - 7)), answer.response.status,
			answer.response.outcome, answer.response.start,
			(unsigned long long)answer.response.queued_ns / 1000,
			(unsigned long long)answer.response.total_ns / 1000, answer.message);
		cr_assert_eq(answer.response.status, THAW_STATUS_ran);
		cr_assert_str_eq(answer.body, "waited\n");
	}
	wire_close(&wire);
}

Test(daemon_requests, cancel_and_hang_up_end_a_run)
{
	long long one = 1, none = 0;
	struct wire_answer answer;
	struct wire wire;
	uint64_t id;

	wire_open(&wire, server.run, "misbehave");
	id = wire_submit(&wire, "hang", 4, 0);
	cr_assert(daemon_wait(is_busy, &one));
	wire_send(&wire, THAW_FRAME_cancel, 0, id, NULL, 0);
	answer = wire_answer(&wire);
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_cancelled);
	cr_assert_eq(answer.response.exit_code, 125);
	/* The place is free some time after the answer, and must not be taken for the next one's.
	 */
	cr_assert(daemon_wait(is_busy, &none));
	/* A cancel that comes too late is no error. */
	wire_send(&wire, THAW_FRAME_cancel, 0, id, NULL, 0);
	wire_submit(&wire, "hang", 4, 0);
	cr_assert(daemon_wait(is_busy, &one));
	wire_close(&wire);
	cr_assert(daemon_wait(is_busy, &none));
	cr_assert_eq(wire_stat(server.run, "misbehave", "counters", "hang_ups"), 1);
	cr_assert_eq(wire_stat(server.run, "misbehave", "counters", "cancels"), 1);
}

static bool mirror_is_idle(void *context)
{
	(void)context;
	return wire_stat(server.run, "mirror", "counters", "requests") >= 10 &&
	       wire_stat(server.run, "mirror", "gauges", "busy") == 0 &&
	       wire_stat(server.run, "mirror", "gauges", "queued") == 0;
}

static bool nothing_buffered(void *context)
{
	return wire_stat(server.run, context, "gauges", "buffered_bytes") == 0;
}

/* One client sends half a request; the other asks for much and does not read it yet. */
Test(daemon_requests, slow_clients_hold_memory_and_no_instance)
{
	struct thaw_frame_request request = {.length = 1 << 20};
	const size_t size = 1 << 20;
	uint8_t *body = calloc(1, size);
	char name[] = "mirror";
	struct wire half, deaf;
	struct wire_answer answer;

	wire_open(&half, server.run, "mirror");
	wire_send(&half, THAW_FRAME_request, THAW_FRAME_MORE, 1, &request, sizeof(request));
	wire_send(&half, THAW_FRAME_request_data, THAW_FRAME_MORE, 1, body, 60000);
	wire_open(&deaf, server.run, "mirror");
	for (uint8_t i = 0; i < 10; i++) {
		memset(body, i, size);
		wire_submit(&deaf, body, size, 0);
	}
	cr_assert(daemon_wait(mirror_is_idle, NULL));
	cr_assert_gt(wire_stat(server.run, "mirror", "gauges", "buffered_bytes"), 0);
	answer = wire_invoke(server.run, "mirror", "fine");
	cr_assert_str_eq(answer.body, "fine");
	for (int i = 0; i < 10; i++) {
		answer = wire_answer(&deaf);
		cr_assert_eq(answer.response.length, size, "%s", answer.message);
		memset(body, (int)answer.id - 1, size);
		cr_assert_eq(memcmp(answer.body, body, size), 0);
	}
	/* A client that never reads, and hangs up. */
	wire_submit(&deaf, body, size, 0);
	wire_close(&deaf);
	wire_close(&half);
	cr_assert(daemon_wait(nothing_buffered, name), "what they held is given back");
	free(body);
}

/* WANT: a part of what the worker says. */
static void expect_protocol_error(struct wire *wire, const char *want)
{
	static struct wire_frame frame;
	char text[256];

	cr_assert(wire_receive(wire, &frame));
	cr_assert_eq(frame.header.type, THAW_FRAME_protocol_error);
	snprintf(text, sizeof(text), "%.*s", (int)frame.header.length, (const char *)frame.payload);
	cr_assert_not_null(strstr(text, want), "wanted \"%s\", got \"%s\"", want, text);
	cr_assert_not(wire_receive(wire, &frame), "and then the end");
	wire_close(wire);
}

Test(daemon_requests, broken_rules_end_the_connection_and_say_which)
{
	struct thaw_frame_request ten = {.length = 10};
	struct wire wire;

	wire_open(&wire, server.run, "hello");
	cr_assert_eq(send(wire.fd, "x", 1, 0), 1);
	expect_protocol_error(&wire, "shorter than a frame's header");
	wire_open(&wire, server.run, "hello");
	wire_send(&wire, THAW_FRAME_response, 0, 1, NULL, 0);
	expect_protocol_error(&wire, "may not send frames of this type");
	wire_open(&wire, server.run, "hello");
	wire_send(&wire, THAW_FRAME_request_data, 0, 1, "x", 1);
	expect_protocol_error(&wire, "belongs to no request");
	/* An id twice. */
	wire_open(&wire, server.run, "hello");
	wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, 1, &ten, sizeof(ten));
	wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, 1, &ten, sizeof(ten));
	expect_protocol_error(&wire, "used again");
	/* Too much, and too little. */
	wire_open(&wire, server.run, "hello");
	wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, 1, &ten, sizeof(ten));
	wire_send(&wire, THAW_FRAME_request_data, THAW_FRAME_MORE, 1, "01234567890", 11);
	expect_protocol_error(&wire, "are not its length");
	wire_open(&wire, server.run, "hello");
	wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, 1, &ten, sizeof(ten));
	wire_send(&wire, THAW_FRAME_request_data, 0, 1, "012345678", 9);
	expect_protocol_error(&wire, "are not its length");
	/* More than may be in flight. */
	wire_open(&wire, server.run, "hello");
	for (uint64_t id = 1; id <= THAW_IN_FLIGHT_MAX + 1; id++)
		wire_send(&wire, THAW_FRAME_request, THAW_FRAME_MORE, id, &ten, sizeof(ten));
	expect_protocol_error(&wire, "too many requests are unanswered");
	cr_assert_eq(wire_stat(server.run, "hello", "counters", "protocol_errors"), 7);
}

static void expect_in_control(struct wire *wire, const char *json, const char *text)
{
	char *reply = wire_control(wire, json);

	cr_assert_not_null(strstr(reply, text), "%s: %s", json, reply);
	free(reply);
}

Test(daemon_requests, control_operations)
{
	/* Sixteen brackets, and one more: right JSON both, and its operation is known. */
	static const char wide[] = "{\"op\":\"stats\",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}",
			  deep[] = "{\"op\":\"stats\",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}";
	struct wire wire;

	wire_open(&wire, server.run, "misbehave");
	expect_in_control(&wire, "{\"op\":\"prewarm\",\"count\":12}", "\"ready\":12");
	cr_assert_eq(wire_stat(server.run, "misbehave", "gauges", "fresh"), 12);
	expect_in_control(&wire, "{\"op\":\"prewarm\",\"count\":2}", "\"ready\":");
	cr_assert_eq(wire_stat(server.run, "misbehave", "gauges", "fresh"), 2);
	expect_in_control(&wire, "{\"op\":\"prewarm\",\"count\":5000}", "--max-instances");
	expect_in_control(&wire, "{\"op\":\"prewarm\"}", "\"error\":");
	expect_in_control(&wire, "{\"op\":\"prewarm\",\"count\":-1}", "\"error\":");
	expect_in_control(&wire, "{\"op\":\"logs\",\"since\":-1}", "\"error\":");
	expect_in_control(&wire, "{\"op\":\"fly\"}", "\"error\":");
	expect_in_control(&wire, "[1]", "\"error\":");
	expect_in_control(&wire, "{", "\"error\":");
	expect_in_control(&wire, "", "\"error\":");
	expect_in_control(&wire, wide, "pool_target");
	expect_in_control(&wire, deep, "\"error\":");
	wire_close(&wire);
}

Test(daemon_requests, logs_tell_what_guests_said_and_how_they_ended)
{
	struct wire_answer answer = wire_invoke(server.run, "misbehave", "crash");
	struct wire wire;

	wire_open(&wire, server.run, "misbehave");
	expect_in_control(&wire, "{\"op\":\"logs\"}", "crashed");
	expect_in_control(&wire, "{\"op\":\"logs\"}", "rip=");
	answer = wire_invoke(server.run, "misbehave", "log-flood");
	answer = wire_invoke(server.run, "misbehave", "crash");
	cr_assert_eq(answer.response.outcome, THAW_OUTCOME_crashed);
	expect_in_control(&wire, "{\"op\":\"logs\"}", "of a flood");
	cr_assert_gt(wire_stat(server.run, "misbehave", "counters", "log_dropped"), 0);
	/* The lines outlive the worker that wrote them. */
	kill(daemon_worker(&server, "misbehave"), SIGKILL);
	wire_close(&wire);
	wire_open(&wire, server.run, "misbehave");
	expect_in_control(&wire, "{\"op\":\"logs\"}", "of a flood");
	wire_close(&wire);
}
