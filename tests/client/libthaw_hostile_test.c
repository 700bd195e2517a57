/* SPDX-License-Identifier: Apache-2.0 */
/* libthaw against a worker that was taken over: whatever the worker sends, the error is that one
 * connection's. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_worker.h"
#include "pool/libthaw/thaw.h"

/* One frame, or two, that the worker sends in answer to a good request. Id 0 stands for the id of
 * the request. */
struct bad_answer {
	const char *what;
	struct thaw_frame header, second;
	bool with_response; /* RESPONSE precedes PAYLOAD */
	struct thaw_frame_response response;
	const char *payload;
	long length_skew; /* added to the header's length */
};

#define GOOD_HEADER(frame_type)                                                                    \
	{                                                                                          \
		.version = THAW_PROTOCOL_VERSION, .type = THAW_FRAME_##frame_type                  \
	}
#define RESPONSE(text, body, ...)                                                                  \
	{                                                                                          \
		.what = text, .header = GOOD_HEADER(response), .with_response = true,              \
		.payload = body, .response = {                                                     \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct bad_answer bad_answers[] = {
	{.what = "another version", .header = {.version = 2, .type = THAW_FRAME_response}},
	{.what = "flags that are not known",
	 .header = {.version = 1, .type = THAW_FRAME_response, .flags = 2},
	 .with_response = true,
	 .response = {.length = 1},
	 .payload = "x"},
	{.what = "an unknown type", .header = {.version = 1, .type = 200}},
	{.what = "a client's type", .header = GOOD_HEADER(request)},
	{.what = "a short answer", .header = GOOD_HEADER(response), .payload = "short"},
	{.what = "a length too large",
	 .header = GOOD_HEADER(response),
	 .with_response = true,
	 .response = {.length = 0},
	 .length_skew = 1},
	{.what = "a length too small",
	 .header = GOOD_HEADER(response),
	 .with_response = true,
	 .response = {.length = 0},
	 .length_skew = -1},
	{.what = "another's answer",
	 .header = {.version = 1, .type = THAW_FRAME_response, .id = 0xfffff00},
	 .with_response = true,
	 .response = {.length = 0}},
	{.what = "a piece of no answer", .header = GOOD_HEADER(response_data), .payload = "x"},
	{.what = "a reply to nothing", .header = GOOD_HEADER(control_reply), .payload = "{}"},
	{.what = "a protocol error", .header = GOOD_HEADER(protocol_error), .payload = "\033[2Jno"},
	RESPONSE("an unknown status", "", .status = 99),
	RESPONSE("an unknown outcome", "", .outcome = 99),
	RESPONSE("an unknown start", "", .start = 99),
	RESPONSE("a negative exit code", "", .exit_code = -1),
	RESPONSE("an exit code above 255", "", .exit_code = 256),
	RESPONSE("a message beyond the frame", "x", .message_length = 2),
	RESPONSE("a message of 4 GiB", "x", .message_length = 0xffffffff),
	RESPONSE("a body of 2^64-1", "x", .length = UINT64_MAX),
	RESPONSE("a body above the limit", "x", .length = THAW_RESPONSE_MAX + 1ull),
	RESPONSE("more body than announced", "xy", .length = 1),
	RESPONSE("less body than announced and no more to come", "x", .length = 2),
	{.what = "more to come after all of the body",
	 .header = {.version = 1, .type = THAW_FRAME_response, .flags = THAW_FRAME_MORE},
	 .with_response = true,
	 .response = {.length = 1},
	 .payload = "x"},
	{.what = "an empty piece",
	 .header = {.version = 1, .type = THAW_FRAME_response, .flags = THAW_FRAME_MORE},
	 .with_response = true,
	 .response = {.length = 5},
	 .payload = "x",
	 .second = {.version = 1, .type = THAW_FRAME_response_data, .flags = THAW_FRAME_MORE}},
	{.what = "a second first frame",
	 .header = {.version = 1, .type = THAW_FRAME_response, .flags = THAW_FRAME_MORE},
	 .with_response = true,
	 .response = {.length = 5},
	 .payload = "x",
	 .second = GOOD_HEADER(response)},
};

static void send_raw(int fd, struct thaw_frame header, const struct bad_answer *bad, uint64_t id)
{
	uint8_t frame[4096];
	size_t length = sizeof(header);

	if (bad && bad->with_response) {
		memcpy(frame + length, &bad->response, sizeof(bad->response));
		length += sizeof(bad->response);
	}
	if (bad && bad->payload) {
		memcpy(frame + length, bad->payload, strlen(bad->payload));
		length += strlen(bad->payload);
	}
	if (header.id == 0)
		header.id = id;
	header.length = (uint32_t)((long)(length - sizeof(header)) + (bad ? bad->length_skew : 0));
	memcpy(frame, &header, sizeof(header));
	send(fd, frame, length, MSG_NOSIGNAL);
}

static void answer_badly_once(struct fake_worker *worker, int fd, unsigned number)
{
	const struct bad_answer *bad = worker->context;
	struct fake_request request;

	if (number > 0) {
		fake_echo(worker, fd, number);
		return;
	}
	if (fake_read_request(fd, &request) < 0)
		return;
	send_raw(fd, bad->header, bad, request.id);
	if (bad->second.version)
		send_raw(fd, bad->second, NULL, request.id);
	free(request.body);
	/* Wait until the client hangs up: the frame must end the connection, not the worker. */
	fake_read_request(fd, &request);
}

Test(libthaw_hostile, each_malformed_frame_ends_one_connection_with_an_error)
{
	for (size_t i = 0; i < sizeof(bad_answers) / sizeof(bad_answers[0]); i++) {
		struct thaw_connection *connection = NULL;
		struct thaw_response response = {0};
		struct thaw_client_error err;
		struct fake_worker worker;

		fake_worker_start(&worker, answer_badly_once, &bad_answers[i]);
		cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, &err), 0);
		cr_expect_lt(thaw_invoke(connection, "x", 1, 0, &response, &err), 0, "%s",
			     bad_answers[i].what);
		cr_expect_eq(err.code, 125, "%s: %d", bad_answers[i].what, err.code);
		cr_expect(!strchr(err.message, '\033'));
		/* The next connection behaves. */
		cr_expect_eq(thaw_invoke(connection, "x", 1, 0, &response, &err), 0, "%s: %s",
			     bad_answers[i].what, err.message);
		thaw_response_clear(&response);
		thaw_disconnect(connection);
		fake_worker_stop(&worker);
	}
}

static void send_tiny_then_huge(struct fake_worker *worker, int fd, unsigned number)
{
	static uint8_t huge[THAW_MESSAGE_MAX + 1];
	const struct thaw_frame header = {.version = 1, .type = THAW_FRAME_response};
	struct fake_request request;

	(void)worker;
	memcpy(huge, &header, sizeof(header));
	if (fake_read_request(fd, &request) < 0)
		return;
	send(fd, huge, number % 2 ? sizeof(huge) : sizeof(header) - 1, MSG_NOSIGNAL);
	free(request.body);
	fake_read_request(fd, &request);
}

Test(libthaw_hostile, a_frame_too_short_or_too_long_is_an_error)
{
	struct thaw_connection *connection = NULL;
	struct thaw_response response;
	struct fake_worker worker;

	fake_worker_start(&worker, send_tiny_then_huge, NULL);
	cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, NULL), 0);
	for (int i = 0; i < 4; i++)
		cr_expect_lt(thaw_invoke(connection, "x", 1, 0, &response, NULL), 0);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void send_descriptors(struct fake_worker *worker, int fd, unsigned number)
{
	const struct thaw_frame_response response = {.start = THAW_START_pool};
	struct fake_request request;
	struct {
		struct thaw_frame header;
		struct thaw_frame_response response;
	} frame = {{.version = 1, .type = THAW_FRAME_response, .length = sizeof(response)},
		   response};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec part = {&frame, sizeof(frame)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	(void)worker;
	(void)number;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	while (fake_read_request(fd, &request) == 0) {
		frame.header.id = request.id;
		sendmsg(fd, &message, MSG_NOSIGNAL);
		free(request.body);
	}
}

Test(libthaw_hostile, descriptors_from_a_worker_are_not_taken)
{
	struct thaw_connection *connection = NULL;
	struct thaw_response response;
	struct fake_worker worker;
	unsigned before;

	fake_worker_start(&worker, send_descriptors, NULL);
	cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, NULL), 0);
	cr_assert_eq(thaw_invoke(connection, "x", 1, 0, &response, NULL), 0);
	thaw_response_clear(&response);
	before = count_descriptors();
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(thaw_invoke(connection, "x", 1, 0, &response, NULL), 0);
		thaw_response_clear(&response);
	}
	cr_assert_eq(count_descriptors(), before);
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

static void reply_with_a_nul(struct fake_worker *worker, int fd, unsigned number)
{
	uint8_t frame[256];
	struct thaw_frame header;

	(void)worker;
	(void)number;
	if (recv(fd, frame, sizeof(frame), 0) <= 0)
		return;
	memcpy(&header, frame, sizeof(header));
	fake_send(fd, THAW_FRAME_control_reply, 0, header.id, "{\0}", 3);
	recv(fd, frame, sizeof(frame), 0);
}

static void reply_for_ever(struct fake_worker *worker, int fd, unsigned number)
{
	static uint8_t spaces[THAW_FRAME_PAYLOAD_MAX];
	uint8_t frame[256];
	struct thaw_frame header;

	(void)worker;
	(void)number;
	if (recv(fd, frame, sizeof(frame), 0) <= 0)
		return;
	memset(spaces, ' ', sizeof(spaces));
	memcpy(&header, frame, sizeof(header));
	for (int i = 0; i < 1000; i++)
		fake_send(fd, THAW_FRAME_control_reply, THAW_FRAME_MORE, header.id, spaces,
			  sizeof(spaces));
}

Test(libthaw_hostile, a_control_reply_is_bounded_text)
{
	void (*const scripts[])(struct fake_worker *, int, unsigned) = {reply_with_a_nul,
									reply_for_ever};

	for (int i = 0; i < 2; i++) {
		struct thaw_connection *connection = NULL;
		struct thaw_client_error err;
		struct fake_worker worker;
		char *reply = NULL;

		fake_worker_start(&worker, scripts[i], NULL);
		cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, NULL), 0);
		cr_expect_lt(thaw_control(connection, "{}", &reply, &err), 0);
		cr_expect_eq(err.code, 125);
		cr_expect_null(reply);
		thaw_disconnect(connection);
		fake_worker_stop(&worker);
	}
}

/* ---- Mutations ---- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Sends good frames with a few bytes changed, one after the other, until the client hangs up. */
static void answer_with_mutations(struct fake_worker *worker, int fd, unsigned number)
{
	uint64_t state = 0x9e3779b97f4a7c15ull + number;
	struct fake_request request;
	uint8_t frame[sizeof(struct thaw_frame) + sizeof(struct thaw_frame_response) + 32];

	(void)worker;
	if (fake_read_request(fd, &request) < 0)
		return;
	for (int i = 0; i < 8; i++) {
		size_t body = next_random(&state) % 32;
		struct thaw_frame_response response = {.start = 1,
						       .length = body + (i < 4 ? 8 : 0)};
		struct thaw_frame header = {.version = 1,
					    .type = i ? THAW_FRAME_response_data
						      : THAW_FRAME_response,
					    .flags = i < 4,
					    .id = request.id};
		size_t length = sizeof(header) + (i ? 0 : sizeof(response)) + body;

		header.length = (uint32_t)(length - sizeof(header));
		memset(frame, 'b', sizeof(frame));
		memcpy(frame, &header, sizeof(header));
		if (i == 0)
			memcpy(frame + sizeof(header), &response, sizeof(response));
		for (uint64_t changes = next_random(&state) % 3; changes > 0; changes--)
			frame[next_random(&state) % length] ^=
				(uint8_t)(1u << next_random(&state) % 8);
		if (send(fd, frame, length, MSG_NOSIGNAL) < 0)
			break;
	}
	free(request.body);
}

Test(libthaw_hostile, mutated_frames_never_break_the_library)
{
	struct thaw_connection *connection = NULL;
	struct fake_worker worker;

	fake_worker_start(&worker, answer_with_mutations, NULL);
	cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		struct thaw_response response = {0};
		struct thaw_client_error err = {0};

		if (thaw_invoke(connection, "x", 1, 0, &response, &err) < 0)
			cr_assert(err.code != 0 && err.message[0]);
		else
			cr_assert_leq(response.length, THAW_RESPONSE_MAX);
		thaw_response_clear(&response);
	}
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}

/* ---- What a connection may hold ---- */

static void read_and_keep_quiet(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	(void)worker;
	(void)number;
	while (fake_read_request(fd, &request) == 0)
		free(request.body);
}

Test(libthaw_hostile, requests_in_flight_are_bounded_in_bytes)
{
	struct thaw_connection *connection = NULL;
	uint8_t *body = calloc(1, THAW_REQUEST_MAX);
	struct thaw_client_error err;
	struct fake_worker worker;
	uint64_t id;

	fake_worker_start(&worker, read_and_keep_quiet, NULL);
	cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, NULL), 0);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(thaw_submit(connection, body, THAW_REQUEST_MAX, 0, &id, &err), 0);
	cr_assert_lt(thaw_submit(connection, body, 1, 0, &id, &err), 0);
	cr_assert_eq(err.code, 1);
	cr_assert(strstr(err.message, "256 MiB"));
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
	free(body);
}

/* Announces the largest answer to each request, and sends no more of it. */
static void announce_much(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	(void)worker;
	(void)number;
	while (fake_read_request(fd, &request) == 0) {
		fake_answer_begin(fd, request.id, "x", 1, THAW_RESPONSE_MAX);
		free(request.body);
	}
}

Test(libthaw_hostile, answers_under_way_are_bounded_in_bytes)
{
	struct thaw_connection *connection = NULL;
	struct thaw_response response;
	struct thaw_client_error err;
	struct fake_worker worker;
	uint64_t id;

	fake_worker_start(&worker, announce_much, NULL);
	cr_assert_eq(thaw_connect(worker.run, FAKE_NAME, &connection, NULL), 0);
	for (int i = 0; i < 9; i++)
		cr_assert_eq(thaw_submit(connection, "x", 1, 0, &id, &err), 0);
	cr_assert_lt(thaw_receive(connection, &response, &err), 0);
	cr_assert_eq(err.code, 125);
	cr_assert(strstr(err.message, "512 MiB"));
	thaw_disconnect(connection);
	fake_worker_stop(&worker);
}
