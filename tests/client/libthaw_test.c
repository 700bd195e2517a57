/* SPDX-License-Identifier: Apache-2.0 */
/* libthaw against a worker that keeps to the protocol: bodies, order, replacement, loss. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_worker.h"
#include "pool/libthaw/thaw.h"

static struct thaw_connection *connect_to(const struct fake_worker *worker)
{
	struct thaw_connection *connection = NULL;
	struct thaw_client_error err;

	cr_assert_eq(thaw_connect(worker->run, FAKE_NAME, &connection, &err), 0, "%s", err.message);
	return connection;
}

static void fill(uint8_t *bytes, size_t length, unsigned seed)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 4096 + seed);
}

static void expect_echo(struct thaw_connection *connection, size_t length)
{
	struct thaw_response response = {0};
	struct thaw_client_error err;
	uint8_t *request = malloc(length + 1);

	fill(request, length, (unsigned)length);
	cr_assert_eq(thaw_invoke(connection, request, length, 0, &response, &err), 0, "%s",
		     err.message);
	cr_assert_eq(response.exit_code, 0);
	cr_assert_eq(response.length, length);
	cr_assert_eq(memcmp(response.body, request, length), 0);
	cr_assert_eq(((char *)response.body)[length], '\0');
	thaw_response_clear(&response);
	free(request);
}

Test(libthaw, every_length_comes_back_whole)
{
	const size_t lengths[] = {0,	 1,	61367,	61368,	 61369,		  61424,
				  61425, 61440, 122880, 1 << 20, THAW_REQUEST_MAX};
	struct fake_worker worker;
	struct thaw_connection *connection;

	fake_worker_start(&worker, fake_echo, NULL);
	connection = connect_to(&worker);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		expect_echo(connection, lengths[i]);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

static void answer_with_failure(struct fake_worker *worker, int fd, unsigned number)
{
	static const char text[] = "it crashed\033[2J";
	struct fake_request request;
	struct {
		struct thaw_frame_response response;
		char message[sizeof(text) - 1], body[2];
	} __attribute__((packed)) answer = {.body = "ab"};

	(void)worker;
	(void)number;
	answer.response = (struct thaw_frame_response){.status = THAW_STATUS_ran,
						       .outcome = 2,
						       .exit_code = 139,
						       .start = THAW_START_made,
						       .length = 2,
						       .queued_ns = 10,
						       .run_ns = 20,
						       .total_ns = 30,
						       .message_length = sizeof(text) - 1};
	memcpy(answer.message, text, sizeof(answer.message));
	while (fake_read_request(fd, &request) == 0) {
		cr_assert_eq(request.timeout_ns, 77);
		fake_send(fd, THAW_FRAME_response, 0, request.id, &answer, sizeof(answer));
		free(request.body);
	}
}

Test(libthaw, a_failure_is_an_answer_with_all_its_fields)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_response response = {0};

	fake_worker_start(&worker, answer_with_failure, NULL);
	connection = connect_to(&worker);
	cr_assert_eq(thaw_invoke(connection, "x", 1, 77, &response, NULL), 0);
	cr_assert_eq(response.ran, 1);
	cr_assert_eq(response.exit_code, 139);
	cr_assert_str_eq(response.outcome, "crashed");
	cr_assert_str_eq(response.start, "made");
	cr_assert_str_eq(response.message, "it crashed?[2J");
	cr_assert_eq(response.queued_ns, 10);
	cr_assert_eq(response.run_ns, 20);
	cr_assert_eq(response.total_ns, 30);
	cr_assert_str_eq(response.body, "ab");
	thaw_response_clear(&response);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* Reads three requests, then answers the last one first, in pieces that take turns. */
static void answer_interleaved(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request requests[3];

	(void)worker;
	(void)number;
	for (int i = 0; i < 3; i++)
		if (fake_read_request(fd, &requests[i]) < 0)
			return;
	for (int i = 2; i >= 0; i--)
		fake_answer_begin(fd, requests[i].id, requests[i].body, 1, requests[i].length);
	for (int piece = 1; piece < 4; piece++)
		for (int i = 2; i >= 0; i--)
			fake_send(fd, THAW_FRAME_response_data, piece < 3 ? THAW_FRAME_MORE : 0,
				  requests[i].id, requests[i].body + piece, 1);
	for (int i = 0; i < 3; i++)
		free(requests[i].body);
}

Test(libthaw, answers_come_in_any_order_and_in_interleaved_pieces)
{
	static const char *const bodies[] = {"aaaa", "bbbb", "cccc"};
	struct fake_worker worker;
	struct thaw_connection *connection;
	uint64_t ids[3];

	fake_worker_start(&worker, answer_interleaved, NULL);
	connection = connect_to(&worker);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(thaw_submit(connection, bodies[i], 4, 0, &ids[i], NULL), 0);
	for (int i = 2; i >= 0; i--) {
		struct thaw_response response = {0};

		cr_assert_eq(thaw_receive(connection, &response, NULL), 0);
		cr_assert_eq(response.id, ids[i]);
		cr_assert_str_eq(response.body, bodies[i]);
		thaw_response_clear(&response);
	}
	cr_assert_lt(thaw_receive(connection, &(struct thaw_response){0}, NULL), 0);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

Test(libthaw, both_directions_full_is_no_deadlock)
{
	enum { COUNT = 24, LENGTH = 2 << 20 };
	struct fake_worker worker;
	struct thaw_connection *connection;
	uint8_t *body = malloc(LENGTH);
	uint64_t id;

	fill(body, LENGTH, 5);
	fake_worker_start(&worker, fake_echo, NULL);
	connection = connect_to(&worker);
	for (int i = 0; i < COUNT; i++)
		cr_assert_eq(thaw_submit(connection, body, LENGTH, 0, &id, NULL), 0);
	for (int i = 0; i < COUNT; i++) {
		struct thaw_response response = {0};

		cr_assert_eq(thaw_receive(connection, &response, NULL), 0);
		cr_assert_eq(response.length, LENGTH);
		cr_assert_eq(memcmp(response.body, body, LENGTH), 0);
		thaw_response_clear(&response);
	}
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
	free(body);
}

Test(libthaw, at_most_256_requests_are_in_flight)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_client_error err;
	uint64_t id;

	fake_worker_start(&worker, fake_echo, NULL);
	connection = connect_to(&worker);
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++)
		cr_assert_eq(thaw_submit(connection, "x", 1, 0, &id, NULL), 0);
	cr_assert_lt(thaw_submit(connection, "x", 1, 0, &id, &err), 0);
	cr_assert_eq(err.code, 1);
	cr_assert(strstr(err.message, "256"));
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++) {
		struct thaw_response response = {0};

		cr_assert_eq(thaw_receive(connection, &response, NULL), 0);
		thaw_response_clear(&response);
	}
	expect_echo(connection, 3);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* ---- Replacement and loss ---- */

/* The first connection reads a whole request, does not run it, and says so. */
static void go_away_once(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	if (number > 0) {
		fake_echo(worker, fd, number);
		return;
	}
	if (fake_read_request(fd, &request) == 0)
		free(request.body);
	fake_send(fd, THAW_FRAME_goaway, 0, 0, NULL, 0);
}

Test(libthaw, a_request_that_was_sent_away_is_run_once_elsewhere)
{
	struct fake_worker worker;
	struct thaw_connection *connection;

	fake_worker_start(&worker, go_away_once, NULL);
	connection = connect_to(&worker);
	expect_echo(connection, 200000);
	cr_assert_eq(worker.executed, 1);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* Sends the client away while most of a large request is still to come, and closes without reading
 * it. */
static void go_away_early(struct fake_worker *worker, int fd, unsigned number)
{
	if (number > 0)
		fake_echo(worker, fd, number);
	else
		fake_send(fd, THAW_FRAME_goaway, 0, 0, NULL, 0);
}

Test(libthaw, a_request_that_was_sent_away_halfway_is_run_once_elsewhere)
{
	struct fake_worker worker;
	struct thaw_connection *connection;

	fake_worker_start(&worker, go_away_early, NULL);
	connection = connect_to(&worker);
	expect_echo(connection, 8 << 20);
	cr_assert_eq(worker.executed, 1);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* Says goodbye in the middle of one of two answers. That one must arrive whole, and the other
 * request must go to the next worker. */
static void go_away_between(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request requests[2];

	if (number > 0) {
		fake_echo(worker, fd, number);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (fake_read_request(fd, &requests[i]) < 0)
			return;
	fake_answer_begin(fd, requests[0].id, requests[0].body, 1, 2);
	fake_send(fd, THAW_FRAME_goaway, 0, 0, NULL, 0);
	fake_send(fd, THAW_FRAME_response_data, 0, requests[0].id, requests[0].body + 1, 1);
	for (int i = 0; i < 2; i++)
		free(requests[i].body);
}

Test(libthaw, an_answer_under_way_survives_a_goodbye)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_response response = {0};
	uint64_t ids[2];

	fake_worker_start(&worker, go_away_between, NULL);
	connection = connect_to(&worker);
	cr_assert_eq(thaw_submit(connection, "ab", 2, 0, &ids[0], NULL), 0);
	cr_assert_eq(thaw_submit(connection, "cd", 2, 0, &ids[1], NULL), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(thaw_receive(connection, &response, NULL), 0);
		cr_assert_eq(response.id, ids[i]);
		cr_assert_str_eq(response.body, i == 0 ? "ab" : "cd");
		thaw_response_clear(&response);
	}
	cr_assert_eq(worker.executed, 1);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

static void always_go_away(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	(void)number;
	worker->executed++;
	if (fake_read_request(fd, &request) == 0)
		free(request.body);
	fake_send(fd, THAW_FRAME_goaway, 0, 0, NULL, 0);
}

Test(libthaw, a_worker_that_always_goes_away_is_given_up)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_response response;
	struct thaw_client_error err;

	fake_worker_start(&worker, always_go_away, NULL);
	connection = connect_to(&worker);
	cr_assert_lt(thaw_invoke(connection, "x", 1, 0, &response, &err), 0);
	cr_assert_eq(err.code, 125);
	cr_assert_leq(worker.executed, 11);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* Ends after it has read the whole first request. */
static void die_once(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	if (number > 0)
		fake_echo(worker, fd, number);
	else if (fake_read_request(fd, &request) == 0)
		free(request.body);
}

Test(libthaw, a_request_that_may_have_run_is_never_sent_again)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_response response;
	struct thaw_client_error err;

	fake_worker_start(&worker, die_once, NULL);
	connection = connect_to(&worker);
	cr_assert_lt(thaw_invoke(connection, "x", 1, 0, &response, &err), 0);
	cr_assert_eq(err.code, 125);
	cr_assert(strstr(err.message, "may or may not"));
	cr_assert_eq(worker.executed, 0);
	expect_echo(connection, 10);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

static void die_idle(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	if (number > 0) {
		fake_echo(worker, fd, number);
	} else if (fake_read_request(fd, &request) == 0) {
		fake_answer(fd, request.id, request.body, request.length);
		free(request.body);
	}
}

Test(libthaw, a_connection_that_died_idle_is_made_again)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct pollfd gone;

	fake_worker_start(&worker, die_idle, NULL);
	connection = connect_to(&worker);
	expect_echo(connection, 10);
	gone = (struct pollfd){.fd = thaw_connection_fd(connection), .events = POLLIN};
	cr_assert_eq(poll(&gone, 1, 10000), 1);
	expect_echo(connection, 10);
	cr_assert_eq(worker.executed, 1);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* Refuses at the first frame, and reads and discards the rest of the body, as PROTOCOL.md says. */
static void refuse_early(struct fake_worker *worker, int fd, unsigned number)
{
	struct thaw_frame_response refusal = {.status = THAW_STATUS_unavailable,
					      .start = THAW_START_none};
	uint8_t frame[THAW_MESSAGE_MAX];
	struct thaw_frame header;

	(void)number;
	while (recv(fd, frame, sizeof(frame), 0) > 0) {
		memcpy(&header, frame, sizeof(header));
		if (header.type == THAW_FRAME_request)
			fake_send(fd, THAW_FRAME_response, 0, header.id, &refusal, sizeof(refusal));
		if (!(header.flags & THAW_FRAME_MORE))
			worker->executed++;
	}
}

Test(libthaw, a_refusal_may_come_before_the_request_is_out)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	uint8_t *body = calloc(1, 4 << 20);

	fake_worker_start(&worker, refuse_early, NULL);
	connection = connect_to(&worker);
	for (unsigned i = 1; i <= 3; i++) {
		struct thaw_response response = {0};

		cr_assert_eq(thaw_invoke(connection, body, 4 << 20, 0, &response, NULL), 0);
		cr_assert_eq(response.ran, 0);
		cr_assert_eq(response.exit_code, 125);
		cr_assert_str_eq(response.outcome, "unavailable");
		cr_assert_neq(response.message[0], '\0');
		thaw_response_clear(&response);
	}
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
	cr_assert_eq(worker.executed, 3);
	free(body);
}

/* ---- The event and control ---- */

Test(libthaw, the_descriptor_is_readable_for_answers_that_were_read_on_the_way)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_response response = {0};
	struct pollfd readable;
	uint8_t *big = calloc(1, 8 << 20);
	uint64_t id;

	fake_worker_start(&worker, fake_echo, NULL);
	connection = connect_to(&worker);
	readable = (struct pollfd){.fd = thaw_connection_fd(connection), .events = POLLIN};
	cr_assert_eq(poll(&readable, 1, 0), 0);
	/* While the large request goes out, the answers to both arrive. */
	cr_assert_eq(thaw_submit(connection, "a", 1, 0, &id, NULL), 0);
	cr_assert_eq(thaw_submit(connection, big, 8 << 20, 0, &id, NULL), 0);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(poll(&readable, 1, 10000), 1);
		cr_assert_eq(thaw_receive(connection, &response, NULL), 0);
		thaw_response_clear(&response);
	}
	cr_assert_eq(poll(&readable, 1, 0), 0);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
	free(big);
}

static void reply_in_pieces(struct fake_worker *worker, int fd, unsigned number)
{
	uint8_t frame[THAW_MESSAGE_MAX];
	struct thaw_frame header;
	ssize_t got;

	(void)worker;
	(void)number;
	while ((got = recv(fd, frame, sizeof(frame), 0)) > 0) {
		memcpy(&header, frame, sizeof(header));
		cr_assert_eq(header.type, THAW_FRAME_control);
		cr_assert_eq(memcmp(frame + sizeof(header), "{\"op\":\"x\"}", 10), 0);
		fake_send(fd, THAW_FRAME_control_reply, THAW_FRAME_MORE, header.id, "{\"a\":", 5);
		fake_send(fd, THAW_FRAME_control_reply, 0, header.id, "1}", 2);
	}
}

Test(libthaw, a_control_reply_comes_in_pieces)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	char *reply = NULL;

	fake_worker_start(&worker, reply_in_pieces, NULL);
	connection = connect_to(&worker);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(thaw_control(connection, "{\"op\":\"x\"}", &reply, NULL), 0);
		cr_assert_str_eq(reply, "{\"a\":1}");
		free(reply);
	}
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* ---- Connecting ---- */

Test(libthaw, each_way_not_to_connect_has_its_code)
{
	struct thaw_connection *connection = NULL;
	struct thaw_client_error err;
	struct fake_worker daemon;
	char longest[200];

	cr_assert_lt(thaw_connect("/nonexistent/run", "f", &connection, &err), 0);
	cr_assert_eq(err.code, 125);
	cr_assert(strstr(err.message, "thawd"));
	fake_daemon_start(&daemon);
	cr_assert_lt(thaw_connect(daemon.run, "f", &connection, &err), 0);
	cr_assert_eq(err.code, 127);
	cr_assert_lt(thaw_connect(daemon.run, "../f", &connection, &err), 0);
	cr_assert_eq(err.code, 2);
	cr_assert_lt(thaw_connect(daemon.run, NULL, &connection, &err), 0);
	cr_assert_eq(err.code, 2);
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	cr_assert_lt(thaw_connect(longest, "f", &connection, &err), 0);
	cr_assert_eq(err.code, 2);
	cr_assert_null(connection);
	thaw_disconnect(NULL);
	thaw_response_clear(NULL);
	fake_worker_stop(&daemon);
}

Test(libthaw, a_request_above_the_limit_is_refused_before_it_is_sent)
{
	struct fake_worker worker;
	struct thaw_connection *connection;
	struct thaw_response response;
	struct thaw_client_error err;
	uint8_t *body = calloc(1, THAW_REQUEST_MAX + 1);

	fake_worker_start(&worker, fake_echo, NULL);
	connection = connect_to(&worker);
	cr_assert_lt(thaw_invoke(connection, body, THAW_REQUEST_MAX + 1, 0, &response, &err), 0);
	cr_assert_eq(err.code, 1);
	cr_assert(strstr(err.message, "64 MiB"));
	expect_echo(connection, 1);
	cr_assert_eq(worker.executed, 1);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
	free(body);
}
