/* SPDX-License-Identifier: Apache-2.0 */
/* The wire by hand; see wire.h. */
#include "tests/pool/wire.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 240

void wire_open(struct wire *wire, const char *run, const char *name)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const struct timespec pause = {.tv_nsec = 2000000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int failed = -1;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/fn/%s.sock", run, name);
	*wire = (struct wire){.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
	for (int i = 0; i < PATIENCE_S * 500 && failed; i++) {
		failed = connect(wire->fd, (struct sockaddr *)&address, sizeof(address));
		if (failed)
			nanosleep(&pause, NULL);
	}
	cr_assert_eq(failed, 0, "%s: %s", address.sun_path, strerror(errno));
	setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

void wire_close(struct wire *wire)
{
	close(wire->fd);
	wire->fd = -1;
}

void wire_send(struct wire *wire, uint8_t type, uint16_t flags, uint64_t id, const void *payload,
	       size_t length)
{
	static _Thread_local uint8_t message[THAW_MESSAGE_MAX];
	struct thaw_frame frame = {.version = THAW_PROTOCOL_VERSION,
				   .type = type,
				   .flags = flags,
				   .length = (uint32_t)length,
				   .id = id};

	memcpy(message, &frame, sizeof(frame));
	if (length)
		memcpy(message + sizeof(frame), payload, length);
	/* A reader finds out that the worker is gone. */
	if (send(wire->fd, message, sizeof(frame) + length, MSG_NOSIGNAL) < 0)
		cr_assert(errno == EPIPE || errno == ECONNRESET, "send: %s", strerror(errno));
}

uint64_t wire_submit(struct wire *wire, const void *body, size_t length, uint64_t timeout_ns)
{
	static _Thread_local uint8_t payload[THAW_FRAME_PAYLOAD_MAX];
	struct thaw_frame_request request = {.length = length, .timeout_ns = timeout_ns};
	size_t room = sizeof(payload) - sizeof(request), at = length < room ? length : room;
	uint64_t id = ++wire->last_id;

	memcpy(payload, &request, sizeof(request));
	if (at)
		memcpy(payload + sizeof(request), body, at);
	wire_send(wire, THAW_FRAME_request, at < length ? THAW_FRAME_MORE : 0, id, payload,
		  sizeof(request) + at);
	while (at < length) {
		size_t piece = length - at < sizeof(payload) ? length - at : sizeof(payload);

		wire_send(wire, THAW_FRAME_request_data, at + piece < length ? THAW_FRAME_MORE : 0,
			  id, (const uint8_t *)body + at, piece);
		at += piece;
	}
	return id;
}

bool wire_receive(struct wire *wire, struct wire_frame *frame)
{
	ssize_t got = recv(wire->fd, frame, sizeof(*frame) - 1, 0);

	if (got < 0 && errno == ECONNRESET)
		return false;
	cr_assert_geq(got, 0, "no frame came: %s", strerror(errno));
	if (got == 0)
		return false;
	cr_assert_geq(got, (ssize_t)sizeof(frame->header));
	cr_assert_eq(frame->header.version, THAW_PROTOCOL_VERSION);
	cr_assert_eq(frame->header.length, (size_t)got - sizeof(frame->header));
	frame->payload[frame->header.length] = '\0';
	return true;
}

/* Bodies are kept until the test's process ends; a leak checker finds them here. */
struct body {
	struct body *next;
	char bytes[];
};

static _Atomic(struct body *) bodies;

static char *new_body(size_t length)
{
	struct body *body = calloc(1, sizeof(*body) + length + 1);

	cr_assert_not_null(body);
	body->next = atomic_load(&bodies);
	while (!atomic_compare_exchange_weak(&bodies, &body->next, body))
		;
	return body->bytes;
}

bool wire_try_answer(struct wire *wire, struct wire_answer *answer)
{
	static _Thread_local struct wire_frame frame;
	size_t length, at;

	*answer = (struct wire_answer){0};
	if (!wire_receive(wire, &frame) || frame.header.type == THAW_FRAME_goaway)
		return false;
	cr_assert_eq(frame.header.type, THAW_FRAME_response, "a frame of type %u: %s",
		     frame.header.type, frame.payload);
	answer->id = frame.header.id;
	memcpy(&answer->response, frame.payload, sizeof(answer->response));
	at = sizeof(answer->response) + answer->response.message_length;
	cr_assert_leq(at, frame.header.length);
	cr_assert_lt(answer->response.message_length, sizeof(answer->message));
	memcpy(answer->message, frame.payload + sizeof(answer->response),
	       answer->response.message_length);
	answer->body = new_body(answer->response.length);
	for (length = 0;;) {
		size_t piece = frame.header.length - at;

		cr_assert_leq(length + piece, answer->response.length);
		memcpy(answer->body + length, frame.payload + at, piece);
		length += piece;
		at = 0;
		if (!(frame.header.flags & THAW_FRAME_MORE))
			break;
		cr_assert(wire_receive(wire, &frame));
		cr_assert_eq(frame.header.type, THAW_FRAME_response_data);
		cr_assert_eq(frame.header.id, answer->id);
	}
	cr_assert_eq(length, answer->response.length);
	return true;
}

struct wire_answer wire_answer(struct wire *wire)
{
	struct wire_answer answer;

	cr_assert(wire_try_answer(wire, &answer), "the connection ended");
	return answer;
}

struct wire_answer wire_invoke(const char *run, const char *name, const char *body)
{
	struct wire_answer answer;
	struct wire wire;

	wire_open(&wire, run, name);
	wire_submit(&wire, body, strlen(body), 0);
	answer = wire_answer(&wire);
	wire_close(&wire);
	return answer;
}

char *wire_control(struct wire *wire, const char *json)
{
	static _Thread_local struct wire_frame frame;
	char *reply = NULL;
	size_t length = 0;

	wire_send(wire, THAW_FRAME_control, 0, ++wire->last_id, json, strlen(json));
	do {
		cr_assert(wire_receive(wire, &frame));
		cr_assert_eq(frame.header.type, THAW_FRAME_control_reply);
		reply = realloc(reply, length + frame.header.length + 1);
		memcpy(reply + length, frame.payload, frame.header.length + 1);
		length += frame.header.length;
	} while (frame.header.flags & THAW_FRAME_MORE);
	return reply;
}

long long wire_stat(const char *run, const char *function, const char *section, const char *name)
{
	struct wire wire;
	char *text;
	json_t *json;
	long long value;

	wire_open(&wire, run, function);
	text = wire_control(&wire, "{\"op\":\"stats\"}");
	wire_close(&wire);
	json = json_loads(text, 0, NULL);
	cr_assert_not_null(json, "%s", text);
	value = json_integer_value(json_object_get(json_object_get(json, section), name));
	json_decref(json);
	free(text);
	return value;
}
