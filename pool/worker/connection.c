/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection. One thread at a time reads it: its event is one-shot, and that thread arms
 * it again, before it runs a guest, so that what the client sends next (another request, a cancel,
 * its end) is seen by another thread. Where a client sends one request at a time, arming would be a
 * call that is made for nothing, and its next request would wake another thread than the one that
 * is there; so such a connection is held: it is armed once the guest has taken its time
 * (THAW_SLOW_NS), or when after the answer, with the instance put back, nothing comes for a while
 * (THAW_LINGER_MS): until then the thread waits in recv(), which is one call and one wake-up less
 * on the next request's path than the epoll set.
 * The memory lives until the last reference is gone; the descriptor with it, so that its number
 * names nobody else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/worker/worker.h"

/* Frames that one wake-up may read before others get their turn. */
#define FRAMES_AT_ONCE 64

/* ---- Lifetime ---- */

void thaw_connection_get(struct thaw_connection *connection)
{
	atomic_fetch_add_explicit(&connection->references, 1, memory_order_relaxed);
}

void thaw_connection_put(struct thaw_connection *connection)
{
	/* Whoever frees must see all that the others did: release on the way down, acquire at the
	 * end. */
	if (atomic_fetch_sub_explicit(&connection->references, 1, memory_order_acq_rel) != 1)
		return;
	thaw_output_drop(connection);
	close(connection->fd);
	pthread_mutex_destroy(&connection->lock);
	free(connection);
}

static struct thaw_connection *connection_new(struct thaw_worker *worker, int fd)
{
	static const struct timeval linger = {THAW_LINGER_MS / 1000, THAW_LINGER_MS % 1000 * 1000};
	struct thaw_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &linger, sizeof(linger))) {
		free(connection);
		return NULL;
	}
	*connection = (struct thaw_connection){
		.source = THAW_SOURCE_CONNECTION,
		.worker = worker,
		.fd = fd,
		.references = 1,
	};
	pthread_mutex_init(&connection->lock, NULL);
	return connection;
}

static void list_add(struct thaw_worker *worker, struct thaw_connection *connection)
{
	connection->next = worker->connections;
	if (connection->next)
		connection->next->previous = connection;
	worker->connections = connection;
	worker->connection_count++;
}

static void list_remove(struct thaw_worker *worker, struct thaw_connection *connection)
{
	pthread_mutex_lock(&worker->connections_lock);
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		worker->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	worker->connection_count--;
	pthread_mutex_unlock(&worker->connections_lock);
}

/* Ends what the client asked for: running guests are killed, and answered to nobody by the threads
 * that run them. */
static void abandon_requests(struct thaw_connection *connection)
{
	struct thaw_request *request, *next;

	pthread_mutex_lock(&connection->lock);
	connection->closing = true;
	for (request = connection->requests; request; request = next) {
		next = request->next;
		if (request->state != THAW_REQUEST_COMPLETE) {
			thaw_request_free(request);
			continue;
		}
		thaw_count(&connection->worker->metrics.hang_ups, 1);
		request->cancelled = true;
		if (request->instance)
			thaw_instance_kill(request->instance);
		else if (thaw_pool_withdraw(&connection->worker->pool, &request->node))
			thaw_request_free(request);
	}
	pthread_mutex_unlock(&connection->lock);
}

/* Unread frames would turn the client's end of stream into a reset, and hide our last words from
 * it. */
static void discard_unread(int fd)
{
	char byte;

	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) > 0)
		;
}

static void connection_end(struct thaw_connection *connection)
{
	struct thaw_worker *worker = connection->worker;

	epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
	shutdown(connection->fd, SHUT_RDWR);
	discard_unread(connection->fd);
	abandon_requests(connection);
	list_remove(worker, connection);
	thaw_connection_put(connection);
}

/* From here on another thread may read the connection, or end it. It enters the epoll set with its
 * first arming and not before: a hang-up is reported even for an entry that asks for nothing. */
static void arm(struct thaw_connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
				    .data.ptr = connection};
	int operation = connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	connection->watched = true;
	if (epoll_ctl(connection->worker->epoll_fd, operation, connection->fd, &event) == 0)
		return;
	thaw_log(THAW_LOG_error, "cannot watch a connection: %s", strerror(errno));
	connection_end(connection);
}

void thaw_connection_release(struct thaw_worker_thread *thread)
{
	struct thaw_connection *connection = thread->held;

	thread->held = NULL;
	if (connection)
		arm(connection);
}

/* ALONE: none but this request of the client's is unanswered. Under KVM the thread is the guest,
 * and would not arm in time. */
static void hold_or_arm(struct thaw_worker_thread *thread, struct thaw_connection *connection,
			bool alone)
{
	thread->held = connection;
	if (!alone || thaw_engine_backend(thread->worker->engine) != THAW_BACKEND_PROCESS)
		thaw_connection_release(thread);
}

/* With nothing to read on the connection that it holds. False: there is nothing left to do either.
 */
static bool puts_one_back(struct thaw_worker_thread *thread)
{
	if (!thread->held || !thread->used || thread->puts_back_slowly)
		return false;
	thaw_worker_put_back(thread);
	return true;
}

static bool more_to_read(const struct thaw_connection *connection)
{
	char byte;

	return recv(connection->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* ---- Frames ---- */

/* What a frame leaves to do. */
enum next_step { NEXT_FRAME, NEXT_RUN, NEXT_CONTROL };

static struct thaw_request *find(struct thaw_connection *connection, uint64_t id)
{
	struct thaw_request *request = connection->requests;

	while (request && request->id != id)
		request = request->next;
	return request;
}

static enum next_step protocol_error(struct thaw_connection *connection, const char *text)
{
	thaw_count(&connection->worker->metrics.protocol_errors, 1);
	thaw_output_finish(connection, THAW_FRAME_protocol_error, text);
	return NEXT_FRAME;
}

static int add_piece(struct thaw_request *request, const struct thaw_frame_view *view)
{
	struct thaw_body *body = &request->owned;

	if (!thaw_worker_reserve(request->connection->worker, view->length))
		return -1;
	body->reserved += view->length;
	memcpy(body->bytes + body->length, view->body, view->length);
	body->length += view->length;
	return 0;
}

static enum next_step busy(struct thaw_request *request)
{
	thaw_request_refuse(request, THAW_STATUS_busy,
			    "too many bytes of requests wait already; try again");
	return NEXT_FRAME;
}

/* The memory of the whole body is address space only until its pieces fill it. */
static enum next_step begin_assembly(struct thaw_request *request,
				     const struct thaw_frame_view *view)
{
	request->owned.bytes = malloc(request->length);
	request->body = request->owned.bytes;
	if (!request->owned.bytes || add_piece(request, view) < 0)
		return busy(request);
	return NEXT_FRAME;
}

static enum next_step request_frame(struct thaw_connection *connection,
				    const struct thaw_frame_view *view, struct thaw_request **out)
{
	struct thaw_request *request;

	if (find(connection, view->id))
		return protocol_error(connection, "the id of an unanswered request is used again");
	if (connection->request_count >= THAW_IN_FLIGHT_MAX)
		return protocol_error(connection, "too many requests are unanswered");
	request = thaw_request_new(connection, view);
	if (!request)
		return protocol_error(connection, "out of memory");
	if (request->length > THAW_REQUEST_MAX) {
		thaw_request_refuse(request, THAW_STATUS_too_large,
				    "a request may have 64 MiB, and this one has more");
		return NEXT_FRAME;
	}
	if (view->more)
		return begin_assembly(request, view);
	request->body = view->body;
	*out = request;
	return NEXT_RUN;
}

static enum next_step data_frame(struct thaw_connection *connection,
				 const struct thaw_frame_view *view, struct thaw_request **out)
{
	struct thaw_request *request = find(connection, view->id);

	if (!request || request->state == THAW_REQUEST_COMPLETE)
		return protocol_error(connection,
				      "a piece belongs to no request that is being sent");
	if (request->state == THAW_REQUEST_DISCARDING) {
		if (!view->more)
			thaw_request_free(request);
		return NEXT_FRAME;
	}
	if (view->length > request->length - request->owned.length ||
	    (!view->more && view->length < request->length - request->owned.length))
		return protocol_error(connection, "the pieces of a request are not its length");
	if (add_piece(request, view) < 0) {
		enum next_step step = busy(request);

		if (!view->more)
			thaw_request_free(request);
		return step;
	}
	if (view->more)
		return NEXT_FRAME;
	request->state = THAW_REQUEST_COMPLETE;
	connection->unanswered++;
	*out = request;
	return NEXT_RUN;
}

/* A request that is gone was answered before the cancel came: no harm. */
static enum next_step cancel_frame(struct thaw_connection *connection, uint64_t id)
{
	struct thaw_request *request = find(connection, id);
	struct thaw_worker *worker = connection->worker;

	if (!request || request->state == THAW_REQUEST_DISCARDING || request->cancelled)
		return NEXT_FRAME;
	thaw_count(&worker->metrics.cancels, 1);
	if (request->instance) {
		request->cancelled = true;
		thaw_instance_kill(request->instance);
	} else if (request->state == THAW_REQUEST_ASSEMBLING ||
		   thaw_pool_withdraw(&worker->pool, &request->node)) {
		thaw_request_end_unrun(request, THAW_OUTCOME_cancelled,
				       "the client cancelled the request");
	} else {
		/* A thread is about to run it, and looks at this before it does. */
		request->cancelled = true;
	}
	return NEXT_FRAME;
}

static enum next_step take_frame(struct thaw_connection *connection,
				 const struct thaw_frame_view *view, struct thaw_request **out)
{
	switch (view->type) {
	case THAW_FRAME_request:
		return request_frame(connection, view, out);
	case THAW_FRAME_request_data:
		return data_frame(connection, view, out);
	case THAW_FRAME_cancel:
		return cancel_frame(connection, view->id);
	default:
		return NEXT_CONTROL;
	}
}

static void answer_control(struct thaw_connection *connection, const struct thaw_frame_view *view)
{
	char *reply =
		thaw_worker_control(connection->worker, (const char *)view->body, view->length);
	struct thaw_output message = {.type = THAW_FRAME_control_reply,
				      .rest_type = THAW_FRAME_control_reply,
				      .id = view->id,
				      .body = (const uint8_t *)reply,
				      .length = reply ? strlen(reply) : 0};

	pthread_mutex_lock(&connection->lock);
	if (!connection->closing)
		thaw_output_send(connection, &message);
	pthread_mutex_unlock(&connection->lock);
	free(reply);
}

/* Reads one frame; HOW is MSG_DONTWAIT, or 0 to wait for THAW_LINGER_MS. False: there is none, and
 * *ENDED says that there will not be another. */
static bool read_frame(struct thaw_worker_thread *thread, struct thaw_connection *connection,
		       int how, size_t *length, bool *ended)
{
	ssize_t got;

	do
		got = recv(connection->fd, thread->frame, sizeof(thread->frame), how | MSG_TRUNC);
	while (got < 0 && errno == EINTR);
	/* An empty message cannot be told from the end of the stream, and is no frame either. */
	*ended = got == 0 || (got < 0 && errno != EAGAIN);
	*length = got > 0 ? (size_t)got : 0;
	return got > 0;
}

/* What the thread would do while it waits in the epoll set is done first, or not at all. */
static bool may_linger(struct thaw_worker_thread *thread)
{
	struct thaw_worker *worker = thread->worker;

	if (!thread->held)
		return false;
	thread->recycled = false;
	thaw_worker_prepare(thread);
	if (thread->untidy || thread->unprepared || atomic_load(&worker->draining))
		return false;
	if (atomic_fetch_add(&worker->lingering, 1) < THAW_LINGER_MOST)
		return true;
	atomic_fetch_sub(&worker->lingering, 1);
	return false;
}

/* For the first frame after an answer. */
static bool linger(struct thaw_worker_thread *thread, struct thaw_connection *connection,
		   size_t *length, bool *ended)
{
	bool got;

	if (!may_linger(thread))
		return false;
	got = read_frame(thread, connection, 0, length, ended);
	atomic_fetch_sub(&thread->worker->lingering, 1);
	return got;
}

static void read_frames(struct thaw_worker_thread *thread, struct thaw_connection *connection)
{
	bool reads_on = false; /* after an answer, without a pause */

	for (int i = 0; i < FRAMES_AT_ONCE; i++) {
		struct thaw_request *request = NULL;
		struct thaw_frame_view view;
		enum next_step step = NEXT_FRAME;
		const char *wrong;
		bool ended, closing, alone;
		size_t length;

		if (!read_frame(thread, connection, MSG_DONTWAIT, &length, &ended)) {
			if (!ended && puts_one_back(thread))
				continue;
			if (!ended && !linger(thread, connection, &length, &ended) && !ended)
				break;
			reads_on = false;
		}
		if (ended) {
			thread->held = NULL;
			connection_end(connection);
			return;
		}
		wrong = thaw_frame_check(thread->frame, length, sizeof(thread->frame), &view);
		pthread_mutex_lock(&connection->lock);
		closing = connection->closing;
		if (wrong && !closing)
			protocol_error(connection, wrong);
		else if (!closing)
			step = take_frame(connection, &view, &request);
		alone = connection->request_count == 1;
		pthread_mutex_unlock(&connection->lock);
		if (step == NEXT_RUN) {
			/* A client that had an answer and sent two has more to do for others. */
			hold_or_arm(thread, connection,
				    alone && !(reads_on && more_to_read(connection)));
			thaw_request_serve(thread, request);
			if (!thread->held)
				return;
			reads_on = true;
			continue;
		}
		if (step == NEXT_CONTROL) {
			/* The answer may take its time, and the client may hang up over it. */
			thaw_connection_get(connection);
			thread->held = NULL;
			arm(connection);
			answer_control(connection, &view);
			thaw_connection_put(connection);
			return;
		}
	}
	thread->held = NULL;
	arm(connection);
}

void thaw_connection_event(struct thaw_worker_thread *thread, struct thaw_connection *connection,
			   uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		connection_end(connection);
	else
		read_frames(thread, connection);
}

/* ---- Accepting ---- */

static void turn_away(int fd)
{
	static const char text[] = "too many connections are open";
	struct {
		struct thaw_frame frame;
		char text[sizeof(text) - 1];
	} message = {.frame = {.version = THAW_PROTOCOL_VERSION,
			       .type = THAW_FRAME_protocol_error,
			       .length = sizeof(message.text)}};

	memcpy(message.text, text, sizeof(message.text));
	(void)!send(fd, &message, sizeof(message.frame) + sizeof(message.text),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_RDWR);
	discard_unread(fd);
	close(fd);
}

/* Accepting and listing are one step for thaw_worker_drain(): a client is either listed, or
 * another's to accept. */
static struct thaw_connection *accept_one(struct thaw_worker *worker)
{
	struct thaw_connection *connection = NULL;
	int fd = -1;

	pthread_mutex_lock(&worker->connections_lock);
	if (!atomic_load(&worker->draining))
		fd = accept4(worker->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && worker->connection_count < THAW_CONNECTIONS_MAX)
		connection = connection_new(worker, fd);
	if (connection)
		list_add(worker, connection);
	pthread_mutex_unlock(&worker->connections_lock);
	if (fd >= 0 && !connection) {
		thaw_count(&worker->metrics.connections_refused, 1);
		turn_away(fd);
	}
	return connection;
}

void thaw_worker_accept(struct thaw_worker_thread *thread)
{
	struct thaw_worker *worker = thread->worker;
	struct thaw_connection *connection = accept_one(worker);
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
				    .data.ptr = &worker->listen_source};

	/* Fails, rightly, when the worker has begun to drain and stopped listening. */
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, worker->listen_fd, &event);
	if (!connection)
		return;
	thaw_count(&worker->metrics.connections, 1);
	/* Most clients send at once: look before waiting for an event. */
	read_frames(thread, connection);
}
