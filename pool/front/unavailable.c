/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a function has no worker, because its image is refused or its worker keeps ending, the
 * front accepts its connections and answers each request at once with the reason. When a worker
 * serves again, these connections get a goaway, and their clients connect to the worker. The front
 * keeps no answer: a client that does not read is disconnected.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/front/internal.h"
#include "pool/wire/frame_check.h"
#include "pool/wire/names.h"

#define WAITERS_MAX 256u

struct thaw_waiter {
	struct thaw_watch watch;
	struct thaw_waiter *next;
	struct thaw_function *function;
};

/* Sends one frame of two pieces, either of which may be empty. A client without room for it does
 * not read its answers. */
static int send_frame(int fd, enum thaw_frame_type type, uint64_t id, struct iovec first,
		      struct iovec second)
{
	struct thaw_frame frame = {.type = (uint8_t)type, .id = id};
	const struct iovec parts[] = {first, second};

	return thaw_frame_send(fd, &frame, parts, 2) == THAW_FRAME_SENT ? 0 : -1;
}

static int send_text(int fd, enum thaw_frame_type type, uint64_t id, const char *text)
{
	return send_frame(fd, type, id, (struct iovec){0}, thaw_frame_part(text, strlen(text)));
}

static void waiter_end(struct thaw_waiter *waiter)
{
	struct thaw_waiter **link = &waiter->function->waiters;
	char byte;

	while (*link != waiter)
		link = &(*link)->next;
	*link = waiter->next;
	waiter->function->front->waiters--;
	shutdown(waiter->watch.fd, SHUT_RDWR);
	/* Unread frames would make the kernel report a reset to the client, ahead of the answer. */
	while (recv(waiter->watch.fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) > 0)
		;
	thaw_watch_close(&waiter->watch);
	free(waiter);
}

static int answer_request(const struct thaw_waiter *waiter, uint64_t id)
{
	const struct thaw_function *function = waiter->function;
	size_t length = strlen(function->reason);
	struct thaw_frame_response response = {
		.status = function->status,
		.exit_code = thaw_wire_status_code(function->status),
		.message_length = (uint32_t)length,
	};

	return send_frame(waiter->watch.fd, THAW_FRAME_response, id,
			  thaw_frame_part(&response, sizeof(response)),
			  thaw_frame_part(function->reason, length));
}

static int answer_control(const struct thaw_waiter *waiter, uint64_t id)
{
	const struct thaw_function *function = waiter->function;
	json_t *reply = json_pack("{s:s, s:i, s:s}", "error", function->reason, "code",
				  thaw_wire_status_code(function->status), "status",
				  thaw_wire_status_name(function->status));
	char *text = json_dumps(reply, JSON_COMPACT);
	int result = -1;

	if (text)
		result = send_text(waiter->watch.fd, THAW_FRAME_control_reply, id, text);
	free(text);
	json_decref(reply);
	return result;
}

static int answer(const struct thaw_waiter *waiter, const uint8_t *message, size_t length,
		  size_t room)
{
	struct thaw_frame_view view;
	const char *wrong = thaw_frame_check(message, length, room, &view);

	if (wrong) {
		send_text(waiter->watch.fd, THAW_FRAME_protocol_error, 0, wrong);
		return -1;
	}
	if (view.type == THAW_FRAME_request)
		return answer_request(waiter, view.id);
	if (view.type == THAW_FRAME_control)
		return answer_control(waiter, view.id);
	/* A further piece of a request that is answered already, or its cancel. */
	return 0;
}

static void waiter_ready(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_waiter *waiter = thaw_container_of(watch, struct thaw_waiter, watch);
	static uint8_t message[THAW_MESSAGE_MAX];
	size_t length = 0;
	enum thaw_frame_received received =
		thaw_frame_receive(watch->fd, message, sizeof(message), MSG_DONTWAIT, &length);

	(void)events;
	if (received == THAW_FRAME_NOTHING_YET)
		return;
	if (received != THAW_FRAME_RECEIVED || answer(waiter, message, length, sizeof(message)) < 0)
		waiter_end(waiter);
}

static void accept_ready(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_function *function = thaw_container_of(watch, struct thaw_function, listener);
	struct thaw_front *front = function->front;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
	struct thaw_waiter *waiter;

	(void)events;
	if (fd < 0)
		return;
	waiter = front->waiters < WAITERS_MAX ? malloc(sizeof(*waiter)) : NULL;
	if (!waiter) {
		close(fd);
		return;
	}
	*waiter = (struct thaw_waiter){.watch = {.fd = fd, .ready = waiter_ready},
				       .next = function->waiters,
				       .function = function};
	function->waiters = waiter;
	front->waiters++;
	if (thaw_watch_begin(front, &waiter->watch, EPOLLIN) < 0)
		waiter_end(waiter);
}

void thaw_unavailable_begin(struct thaw_function *function)
{
	if (function->listener.ready)
		return;
	function->listener.ready = accept_ready;
	if (thaw_watch_begin(function->front, &function->listener, EPOLLIN) < 0)
		thaw_log(THAW_LOG_error, "%s: cannot answer its clients: %s", function->name,
			 strerror(errno));
}

void thaw_unavailable_end(struct thaw_function *function)
{
	struct thaw_waiter *waiter;

	if (!function->listener.ready)
		return;
	function->listener.ready = NULL;
	thaw_watch_end(&function->listener);
	while ((waiter = function->waiters)) {
		send_text(waiter->watch.fd, THAW_FRAME_goaway, 0, "");
		waiter_end(waiter);
	}
}
