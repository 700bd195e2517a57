/* SPDX-License-Identifier: Apache-2.0 */
/* libthaw: the functions of <thaw.h>, the socket, and the pump; see libthaw.h. */
#include "pool/libthaw/libthaw.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "pool/common/paths.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define ATTEMPTS_MAX	    10u
#define GRACE_NS	    (10 * THAW_NS_PER_SEC) /* how long a worker may be late */
#define CONTROL_PATIENCE_NS (30 * THAW_NS_PER_SEC)

/* Always returns -1. */
static int tell(const struct thaw_error *from, struct thaw_client_error *to)
{
	if (to) {
		to->code = (int)from->kind;
		memcpy(to->message, from->message, sizeof(to->message));
	}
	return -1;
}

_Static_assert(sizeof(((struct thaw_error *)0)->message) ==
		       sizeof(((struct thaw_client_error *)0)->message),
	       "tell() copies one to the other");

/* ---- The socket ---- */

static int refuse_connect(const struct thaw_connection *connection, int errnum,
			  struct thaw_error *err)
{
	bool alive = thaw_paths_daemon_alive(connection->run, NULL);

	if (errnum == ENOENT && alive)
		return thaw_fail(err, THAW_ERR_NOT_FOUND,
				 "no function '%s' is served: freeze it, or see 'thaw list'",
				 connection->name);
	if (errnum == EACCES || errnum == EPERM)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "this user may not invoke function '%s': run as the user of thawd",
				 connection->name);
	if (!alive && (errnum == ENOENT || errnum == ECONNREFUSED))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "no daemon serves %s: start one with 'thawd', or name its "
				 "directory with --run or THAW_RUN",
				 connection->run);
	return thaw_fail_errno(err, THAW_ERR_ENGINE, errnum,
			       "cannot connect to function '%s' in %s", connection->name,
			       connection->run);
}

static int watch(const struct thaw_connection *connection, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(connection->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_socket(struct thaw_connection *connection, struct thaw_error *err)
{
	struct sockaddr_un address;
	socklen_t length;
	thaw_autoclose int fd = -1;

	if (thaw_paths_socket(connection->run, connection->name, &address, &length, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot make a socket");
	while (connect(fd, (const struct sockaddr *)&address, length) < 0)
		if (errno != EINTR)
			return refuse_connect(connection, errno, err);
	if (watch(connection, fd) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot watch a socket");
	connection->fd = thaw_take_fd(&fd);
	connection->write_ended = false;
	connection->goaway = false;
	connection->receive_timeout_ns = 0;
	return 0;
}

static void close_socket(struct thaw_connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
}

/* Gives up every request in flight. Answers that are whole stay. */
static void break_connection(struct thaw_connection *connection)
{
	close_socket(connection);
	thaw_pending_abandon(connection);
	free(connection->control.reply);
	connection->control = (struct thaw_control_state){0};
	connection->attempts = 0;
}

/* Waits longer each time, so that a worker that keeps going away does not keep a core busy. */
static int reconnect(struct thaw_connection *connection, struct thaw_error *err)
{
	struct timespec pause = {.tv_nsec = (long)connection->attempts * 20000000};

	close_socket(connection);
	if (connection->attempts >= ATTEMPTS_MAX)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "function '%s' went away %u times in a row: see 'thaw logs %s'",
				 connection->name, ATTEMPTS_MAX, connection->name);
	if (connection->attempts++ > 0)
		nanosleep(&pause, NULL);
	thaw_pending_rewind(connection);
	return open_socket(connection, err);
}

/* ---- The pump ---- */

static void set_patience(struct thaw_connection *connection, uint64_t patience_ns)
{
	struct timeval limit = {.tv_sec = (time_t)(patience_ns / THAW_NS_PER_SEC),
				.tv_usec = (suseconds_t)(patience_ns % THAW_NS_PER_SEC / 1000)};

	if (connection->receive_timeout_ns == patience_ns)
		return;
	setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	connection->receive_timeout_ns = patience_ns;
}

static bool anything_to_send(const struct thaw_connection *connection)
{
	const struct thaw_control_state *control = &connection->control;

	return !connection->write_ended && !connection->goaway &&
	       ((control->id != 0 && !control->sent) || connection->unsent.first);
}

static int send_next(struct thaw_connection *connection)
{
	struct thaw_pending *pending = connection->unsent.first;
	int sent;

	/* A control operation goes between two requests. The protocol lets it go between two pieces
	 * of a request too, but that gains nothing. */
	if (connection->control.id != 0 && !connection->control.sent &&
	    (!pending || !pending->begun))
		return thaw_wire_send_control(connection);
	sent = thaw_wire_send_request(connection, pending);
	if (sent == THAW_WIRE_DONE && thaw_pending_is_sent(pending)) {
		thaw_pending_pop(&connection->unsent);
		thaw_pending_settle(connection, pending);
	}
	return sent;
}

static int silent(const struct thaw_connection *connection, struct thaw_error *err)
{
	return thaw_fail(err, THAW_ERR_ENGINE, "the worker of '%s' does not answer",
			 connection->name);
}

/* The socket has no room and nothing to read: waits until either changes. */
static int wait_either(const struct thaw_connection *connection, uint64_t patience_ns,
		       struct thaw_error *err)
{
	struct pollfd poll_fd = {.fd = connection->fd, .events = POLLIN | POLLOUT};
	int limit_ms = patience_ns > 0 && patience_ns / 1000000 < INT32_MAX
			       ? (int)(patience_ns / 1000000) + 1
			       : -1;
	int moved = poll(&poll_fd, 1, limit_ms);

	return moved == 0 ? silent(connection, err) : 0;
}

static int handle_end(struct thaw_connection *connection, struct thaw_error *err)
{
	if (thaw_pending_none_delivered(connection))
		return reconnect(connection, err);
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "the worker of '%s' ended before it answered: the request may or may not "
			 "have run; see 'thaw logs %s'",
			 connection->name, connection->name);
}

/* Receives one frame. CAN_WAIT is false while there is something to send as well. */
static int receive_next(struct thaw_connection *connection, bool can_wait, struct thaw_error *err)
{
	int got = thaw_wire_receive(connection, can_wait, err);

	if (got == THAW_WIRE_GOAWAY)
		connection->goaway = true;
	else if (got == THAW_WIRE_ENDED && !connection->goaway)
		return handle_end(connection, err);
	else if (got == THAW_WIRE_ENDED && thaw_pending_any_answering(connection))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the worker of '%s' went away in the middle of an answer",
				 connection->name);
	if (connection->goaway && !thaw_pending_any_answering(connection))
		return reconnect(connection, err);
	return got;
}

static int step(struct thaw_connection *connection, uint64_t patience_ns, struct thaw_error *err)
{
	bool sending;
	int moved;

	if (connection->fd < 0)
		return reconnect(connection, err);
	sending = anything_to_send(connection);
	if (sending) {
		moved = send_next(connection);
		if (moved == THAW_WIRE_DONE)
			return 0;
		/* Frames that the worker left behind say whether the request may be sent again. */
		if (moved == THAW_WIRE_ENDED) {
			connection->write_ended = true;
			sending = false;
		}
	}
	set_patience(connection, patience_ns);
	moved = receive_next(connection, !sending, err);
	if (moved == THAW_WIRE_BLOCKED)
		return sending ? wait_either(connection, patience_ns, err)
			       : silent(connection, err);
	return moved < 0 ? -1 : 0;
}

/* Moves frames until DONE returns true. A failure gives up every request in flight. PATIENCE_NS:
 * how long to wait for the worker's next frame; 0: for ever. */
static int pump(struct thaw_connection *connection,
		bool (*done)(const struct thaw_connection *, const struct thaw_pending *),
		const struct thaw_pending *pending, uint64_t patience_ns, struct thaw_error *err)
{
	while (!done(connection, pending))
		if (step(connection, patience_ns, err) < 0) {
			break_connection(connection);
			return -1;
		}
	return 0;
}

static bool all_sent(const struct thaw_connection *connection, const struct thaw_pending *pending)
{
	(void)pending;
	return !connection->unsent.first;
}

static bool is_complete(const struct thaw_connection *connection,
			const struct thaw_pending *pending)
{
	(void)connection;
	return pending->complete;
}

static bool any_complete(const struct thaw_connection *connection,
			 const struct thaw_pending *pending)
{
	(void)pending;
	return connection->complete.first;
}

static bool control_complete(const struct thaw_connection *connection,
			     const struct thaw_pending *pending)
{
	(void)pending;
	return connection->control.complete;
}

/* Keeps event_fd readable while there are complete answers: the socket is not readable for an
 * answer that was read while its caller waited for another. */
static void signal_complete(struct thaw_connection *connection)
{
	bool wanted = connection->complete.first != NULL;
	uint64_t one = 1;

	if (wanted == connection->signalled)
		return;
	if (wanted && write(connection->event_fd, &one, sizeof(one)) < 0)
		return;
	if (!wanted && read(connection->event_fd, &one, sizeof(one)) < 0)
		return;
	connection->signalled = wanted;
}

/* ---- <thaw.h> ---- */

static struct thaw_connection *new_connection(const char *name)
{
	struct thaw_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->fd = -1;
	connection->unsent.end = &connection->unsent.first;
	connection->complete.end = &connection->complete.first;
	connection->name = strdup(name);
	connection->buffer = malloc(THAW_MESSAGE_MAX);
	connection->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	connection->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!connection->name || !connection->buffer || connection->epoll_fd < 0 ||
	    connection->event_fd < 0 || watch(connection, connection->event_fd) < 0) {
		thaw_disconnect(connection);
		return NULL;
	}
	return connection;
}

int thaw_connect(const char *run_dir, const char *name, struct thaw_connection **out,
		 struct thaw_client_error *err)
{
	struct thaw_connection *connection = new_connection(name ? name : "");
	struct thaw_error failure = THAW_ERROR_INIT;

	if (!connection) {
		thaw_fail_errno(&failure, THAW_ERR_FAILURE, errno, "cannot set up a connection");
		return tell(&failure, err);
	}
	if (thaw_paths_run(run_dir, &connection->run, &failure) < 0 ||
	    open_socket(connection, &failure) < 0) {
		thaw_disconnect(connection);
		return tell(&failure, err);
	}
	*out = connection;
	return 0;
}

void thaw_disconnect(struct thaw_connection *connection)
{
	if (!connection)
		return;
	break_connection(connection);
	for (unsigned i = 0; i < THAW_IN_FLIGHT_MAX; i++) {
		if (connection->slots[i] && connection->slots[i]->id != 0)
			thaw_pending_free(connection, connection->slots[i]);
		free(connection->slots[i]);
	}
	if (connection->epoll_fd >= 0)
		close(connection->epoll_fd);
	if (connection->event_fd >= 0)
		close(connection->event_fd);
	free(connection->run);
	free(connection->name);
	free(connection->buffer);
	free(connection);
}

static struct thaw_pending *add_request(struct thaw_connection *connection, const void *request,
					size_t length, uint64_t timeout_ns, struct thaw_error *err)
{
	struct thaw_pending *pending;

	if (length > THAW_REQUEST_MAX) {
		thaw_fail(err, THAW_ERR_FAILURE,
			  "the request is %zu bytes, and the limit is %u MiB: send it in parts",
			  length, THAW_REQUEST_MAX >> 20);
		return NULL;
	}
	pending = thaw_pending_add(connection, err);
	if (!pending)
		return NULL;
	pending->body = request;
	pending->length = length;
	pending->timeout_ns = timeout_ns;
	return pending;
}

/* Copies the body: the caller may free its bytes when thaw_submit() returns, but after a GOAWAY
 * they must be sent again. */
static int keep_body(struct thaw_connection *connection, struct thaw_pending *pending,
		     struct thaw_error *err)
{
	if (pending->length > THAW_CLIENT_REQUESTS_HELD - connection->requests_held)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "requests of more than %u MiB are in flight on one connection: "
				 "receive an answer first",
				 THAW_CLIENT_REQUESTS_HELD >> 20);
	pending->owned = malloc(pending->length + 1);
	if (!pending->owned)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (pending->length > 0)
		memcpy(pending->owned, pending->body, pending->length);
	pending->body = pending->owned;
	connection->requests_held += pending->length;
	return 0;
}

/* Gives a complete answer to the caller, together with the memory of its body. */
static void hand_over(struct thaw_connection *connection, struct thaw_pending *pending,
		      struct thaw_response *response)
{
	*response = pending->response;
	connection->responses_held -= response->length;
	pending->answering = false;
	pending->response = (struct thaw_response){0};
	thaw_pending_free(connection, pending);
}

int thaw_invoke(struct thaw_connection *connection, const void *request, size_t length,
		uint64_t timeout_ns, struct thaw_response *response, struct thaw_client_error *err)
{
	uint64_t patience_ns =
		timeout_ns > 0 && timeout_ns < UINT64_MAX - GRACE_NS ? timeout_ns + GRACE_NS : 0;
	struct thaw_error failure = THAW_ERROR_INIT;
	struct thaw_pending *pending =
		add_request(connection, request, length, timeout_ns, &failure);
	int done;

	if (!pending)
		return tell(&failure, err);
	thaw_pending_append(&connection->unsent, pending);
	done = pump(connection, is_complete, pending, patience_ns, &failure);
	if (done == 0) {
		thaw_pending_remove(&connection->complete, pending);
		hand_over(connection, pending, response);
	}
	signal_complete(connection);
	return done < 0 ? tell(&failure, err) : 0;
}

int thaw_submit(struct thaw_connection *connection, const void *request, size_t length,
		uint64_t timeout_ns, uint64_t *id, struct thaw_client_error *err)
{
	struct thaw_error failure = THAW_ERROR_INIT;
	struct thaw_pending *pending =
		add_request(connection, request, length, timeout_ns, &failure);
	uint64_t made;
	int done;

	if (!pending)
		return tell(&failure, err);
	if (keep_body(connection, pending, &failure) < 0) {
		thaw_pending_free(connection, pending);
		return tell(&failure, err);
	}
	made = pending->id;
	thaw_pending_append(&connection->unsent, pending);
	done = pump(connection, all_sent, NULL, 0, &failure);
	signal_complete(connection);
	if (done < 0)
		return tell(&failure, err);
	*id = made;
	return 0;
}

int thaw_receive(struct thaw_connection *connection, struct thaw_response *response,
		 struct thaw_client_error *err)
{
	struct thaw_error failure = THAW_ERROR_INIT;
	int done;

	if (connection->in_flight == 0) {
		thaw_fail(&failure, THAW_ERR_USAGE, "no request is in flight: submit one first");
		return tell(&failure, err);
	}
	done = pump(connection, any_complete, NULL, 0, &failure);
	if (done == 0)
		hand_over(connection, thaw_pending_pop(&connection->complete), response);
	signal_complete(connection);
	return done < 0 ? tell(&failure, err) : 0;
}

int thaw_control(struct thaw_connection *connection, const char *json, char **reply,
		 struct thaw_client_error *err)
{
	struct thaw_control_state *control = &connection->control;
	struct thaw_error failure = THAW_ERROR_INIT;
	int done;

	if (strlen(json) > THAW_FRAME_PAYLOAD_MAX) {
		thaw_fail(&failure, THAW_ERR_USAGE, "a control operation is at most %u bytes",
			  THAW_FRAME_PAYLOAD_MAX);
		return tell(&failure, err);
	}
	/* The id is from the same sequence as those of requests, so it equals none of them. */
	*control = (struct thaw_control_state){.id = ++connection->sequence << 8, .json = json};
	done = pump(connection, control_complete, NULL, CONTROL_PATIENCE_NS, &failure);
	if (done == 0) {
		*reply = thaw_take(control->reply);
		*control = (struct thaw_control_state){0};
	}
	signal_complete(connection);
	return done < 0 ? tell(&failure, err) : 0;
}

int thaw_connection_fd(const struct thaw_connection *connection)
{
	return connection->epoll_fd;
}
