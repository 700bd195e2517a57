/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's frames: reading them, checking them, and doing what each asks for. Whatever a client
 * sends, it costs that client its connection at most.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pool/worker/worker.h"

/* Frames that one wake-up may read before other clients get their turn. */
#define FRAMES_AT_ONCE 64

/* ---- What a frame asks for; with the client's lock held ---- */

/* What a frame leaves to do without the lock. */
enum next_step { NEXT_FRAME, NEXT_RUN, NEXT_CONTROL };

static enum next_step protocol_error(struct thaw_client *client, const char *text)
{
	thaw_count(&client->worker->metrics.protocol_errors, 1);
	thaw_output_finish(client, THAW_FRAME_protocol_error, text);
	return NEXT_FRAME;
}

static enum next_step busy(struct thaw_request *request)
{
	thaw_request_refuse(request, THAW_STATUS_busy,
			    "too many bytes of requests wait already; try again");
	return NEXT_FRAME;
}

static enum next_step begin_assembly(struct thaw_worker *worker, struct thaw_request *request,
				     const struct thaw_frame_view *view)
{
	if (!thaw_body_begin(&request->owned, request->length))
		return busy(request);
	request->body = request->owned.bytes;
	if (!thaw_body_add(worker, &request->owned, view->body, view->length))
		return busy(request);
	return NEXT_FRAME;
}

static enum next_step request_frame(struct thaw_client *client, const struct thaw_frame_view *view,
				    struct thaw_request **out)
{
	struct thaw_request *request;

	if (thaw_request_find(client, view->id))
		return protocol_error(client, "the id of an unanswered request is used again");
	if (client->request_count >= THAW_IN_FLIGHT_MAX)
		return protocol_error(client, "too many requests are unanswered");
	request = thaw_request_new(client, view);
	if (!request)
		return protocol_error(client, "out of memory");
	if (request->length > THAW_REQUEST_MAX) {
		thaw_request_refuse(request, THAW_STATUS_too_large,
				    "a request may have 64 MiB, and this one has more");
		return NEXT_FRAME;
	}
	if (view->more)
		return begin_assembly(client->worker, request, view);
	request->body = view->body;
	*out = request;
	return NEXT_RUN;
}

static enum next_step data_frame(struct thaw_client *client, const struct thaw_frame_view *view,
				 struct thaw_request **out)
{
	struct thaw_request *request = thaw_request_find(client, view->id);

	if (!request || request->state == THAW_REQUEST_COMPLETE)
		return protocol_error(client, "a piece belongs to no request that is being sent");
	if (request->state == THAW_REQUEST_DISCARDING) {
		if (!view->more)
			thaw_request_free(request);
		return NEXT_FRAME;
	}
	if (view->length > request->length - request->owned.length ||
	    (!view->more && view->length < request->length - request->owned.length))
		return protocol_error(client, "the pieces of a request are not its length");
	if (!thaw_body_add(client->worker, &request->owned, view->body, view->length)) {
		enum next_step step = busy(request);

		if (!view->more)
			thaw_request_free(request);
		return step;
	}
	if (view->more)
		return NEXT_FRAME;
	request->state = THAW_REQUEST_COMPLETE;
	client->unanswered++;
	*out = request;
	return NEXT_RUN;
}

static enum next_step cancel_frame(struct thaw_client *client, uint64_t id)
{
	struct thaw_request *request = thaw_request_find(client, id);

	/* A request that is gone was answered before the cancel came. */
	if (request)
		thaw_request_cancel(request);
	return NEXT_FRAME;
}

static enum next_step take_frame(struct thaw_client *client, const struct thaw_frame_view *view,
				 struct thaw_request **out)
{
	switch (view->type) {
	case THAW_FRAME_request:
		return request_frame(client, view, out);
	case THAW_FRAME_request_data:
		return data_frame(client, view, out);
	case THAW_FRAME_cancel:
		return cancel_frame(client, view->id);
	default:
		return NEXT_CONTROL;
	}
}

/* ---- Control operations ---- */

static void answer_control(struct thaw_client *client, const struct thaw_frame_view *view)
{
	char *reply = thaw_worker_control(client->worker, (const char *)view->body, view->length);
	struct thaw_output message = {.type = THAW_FRAME_control_reply,
				      .rest_type = THAW_FRAME_control_reply,
				      .id = view->id,
				      .body = (const uint8_t *)reply,
				      .length = reply ? strlen(reply) : 0};

	pthread_mutex_lock(&client->lock);
	if (!client->closing)
		thaw_output_send(client, &message);
	pthread_mutex_unlock(&client->lock);
	free(reply);
}

/* The answer may take its time, and the client may hang up meanwhile: it is armed first. */
static void serve_control(struct thaw_worker_thread *thread, struct thaw_client *client,
			  const struct thaw_frame_view *view)
{
	thaw_client_get(client);
	thread->held = NULL;
	thaw_client_arm(client);
	answer_control(client, view);
	thaw_client_put(client);
}

/* ---- Reading ---- */

/* Reads one frame; HOW is MSG_DONTWAIT, or 0 to wait for THAW_LINGER_MS. False: there is none, and
 * *ENDED says that there will not be another. */
static bool read_frame(struct thaw_worker_thread *thread, struct thaw_client *client, int how,
		       size_t *length, bool *ended)
{
	enum thaw_frame_received received =
		thaw_frame_receive(client->fd, thread->frame, sizeof(thread->frame), how, length);

	/* A client that reset its connection has hung up: what it had sent does not matter. */
	*ended = received == THAW_FRAME_END || received == THAW_FRAME_RESET;
	return received == THAW_FRAME_RECEIVED;
}

static bool more_to_read(const struct thaw_client *client)
{
	char byte;

	return recv(client->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Does what the thread put off for when the client that it holds has nothing to say. False: there
 * is nothing, or it would keep the client waiting. */
static bool recycles(struct thaw_worker_thread *thread)
{
	if (!thread->held || !thread->to_recycle || thread->recycles_slowly)
		return false;
	thaw_worker_recycle(thread);
	return true;
}

/* What the thread would do between two waits in the epoll set comes first; where it cannot be done
 * now, the thread does not linger. */
static bool may_linger(struct thaw_worker_thread *thread)
{
	struct thaw_worker *worker = thread->worker;

	if (!thread->held)
		return false;
	thread->just_recycled = false;
	thaw_worker_upkeep(thread);
	if (thread->tidy_due || thread->upkeep_due || atomic_load(&worker->draining))
		return false;
	if (atomic_fetch_add(&worker->lingering, 1) < THAW_LINGER_MOST)
		return true;
	atomic_fetch_sub(&worker->lingering, 1);
	return false;
}

/* Waits for the first frame after an answer. */
static bool linger(struct thaw_worker_thread *thread, struct thaw_client *client, size_t *length,
		   bool *ended)
{
	bool got;

	if (!may_linger(thread))
		return false;
	got = read_frame(thread, client, 0, length, ended);
	atomic_fetch_sub(&thread->worker->lingering, 1);
	return got;
}

/* Looks at the frame of LENGTH bytes that the thread read. *ALONE: the client has one unanswered
 * request. */
static enum next_step look(struct thaw_worker_thread *thread, struct thaw_client *client,
			   size_t length, struct thaw_frame_view *view,
			   struct thaw_request **request, bool *alone)
{
	const char *wrong = thaw_frame_check(thread->frame, length, sizeof(thread->frame), view);
	enum next_step step = NEXT_FRAME;

	pthread_mutex_lock(&client->lock);
	if (wrong && !client->closing)
		protocol_error(client, wrong);
	else if (!client->closing)
		step = take_frame(client, view, request);
	*alone = client->request_count == 1;
	pthread_mutex_unlock(&client->lock);
	return step;
}

void thaw_client_read(struct thaw_worker_thread *thread, struct thaw_client *client)
{
	bool reads_on = false; /* after an answer, without a pause */

	for (int i = 0; i < FRAMES_AT_ONCE; i++) {
		struct thaw_request *request = NULL;
		struct thaw_frame_view view;
		enum next_step step;
		bool ended, alone;
		size_t length;

		if (!read_frame(thread, client, MSG_DONTWAIT, &length, &ended)) {
			if (!ended && recycles(thread))
				continue;
			if (!ended && !linger(thread, client, &length, &ended) && !ended)
				break;
			reads_on = false;
		}
		if (ended) {
			thread->held = NULL;
			thaw_client_end(client);
			return;
		}
		step = look(thread, client, length, &view, &request, &alone);
		if (step == NEXT_CONTROL) {
			serve_control(thread, client, &view);
			return;
		}
		if (step == NEXT_RUN) {
			/* A client that had an answer and sent two requests has more to do for
			 * other threads. */
			thaw_client_hold(thread, client,
					 alone && !(reads_on && more_to_read(client)));
			thaw_request_serve(thread, request);
			if (!thread->held)
				return;
			reads_on = true;
		}
	}
	thread->held = NULL;
	thaw_client_arm(client);
}
