/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request, from complete to answered. The thread that read it takes a place and an instance,
 * runs the guest and answers. With the place the thread then runs requests that wait in the queue.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/wire/names.h"
#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

/* How many instances a request may try, when those before were lost before they had it. */
#define LOST_TRIES 3u

/* ---- What the guest says ---- */

/* What a run needs of its callbacks, and what they make. */
struct run_context {
	struct thaw_worker_thread *thread;
	uint64_t number;
	uint64_t length;	/* of the response so far */
	struct thaw_body large; /* its memory once the thread's own is too small */
	bool out_of_memory;
};

static bool grow(struct run_context *context, uint64_t length)
{
	bool first = !context->large.bytes;

	if (!thaw_body_grow(context->thread->worker, &context->large, length))
		return false;
	if (first)
		memcpy(context->large.bytes, context->thread->response, context->length);
	return true;
}

static void take_response(void *opaque, const void *bytes, size_t length)
{
	struct run_context *context = opaque;
	uint64_t end = context->length + length;
	uint8_t *into = context->thread->response;

	if (context->out_of_memory || length == 0)
		return;
	if (context->large.bytes || end > sizeof(context->thread->response)) {
		if (end > context->large.reserved && !grow(context, end)) {
			context->out_of_memory = true;
			return;
		}
		into = context->large.bytes;
	}
	memcpy(into + context->length, bytes, length);
	context->length = end;
}

/* An instance that was lost may have answered in part; the next one's response starts anew. */
static void forget_response(struct thaw_worker *worker, struct run_context *context)
{
	context->length = 0;
	if (context->large.bytes)
		thaw_body_free(worker, &context->large);
	context->large = (struct thaw_body){0};
}

static int take_log(void *opaque, const char *line, size_t length)
{
	struct run_context *context = opaque;

	return thaw_worker_log_guest(context->thread->worker, context->number, line, length);
}

static void take_handed_over(void *opaque)
{
	struct run_context *context = opaque;
	struct thaw_worker_thread *thread = context->thread;

	if (thread->spent_count == THAW_SPENT_MAX || thaw_pool_low(&thread->worker->pool))
		thaw_worker_tidy(thread);
}

/* A slow guest must not keep the worker from what the client says next, nor, when it is very slow,
 * the next request from a fresh instance. */
static void take_slow(void *opaque, bool very)
{
	struct run_context *context = opaque;

	thaw_client_release(context->thread);
	if (very)
		thaw_worker_refill(context->thread->worker);
}

/* ---- The run ---- */

/* From here until the run is over a cancel or a hang-up kills the instance. False: one came
 * before. */
static bool attach_instance(struct thaw_request *request, struct thaw_instance *instance)
{
	bool go;

	pthread_mutex_lock(&request->client->lock);
	go = !request->cancelled;
	if (go)
		request->instance = instance;
	pthread_mutex_unlock(&request->client->lock);
	return go;
}

static void detach_instance(struct thaw_request *request)
{
	pthread_mutex_lock(&request->client->lock);
	request->instance = NULL;
	pthread_mutex_unlock(&request->client->lock);
}

/* An instance that was lost (killed from outside while it waited, or never made) has as a rule not
 * seen the request, so another one may. Replaces *INSTANCE; NULL when there is none. */
static void run_unless_lost(struct thaw_worker_thread *thread, struct thaw_request *request,
			    struct thaw_instance **instance, const struct thaw_run *run,
			    struct thaw_frame_response *response, struct thaw_outcome *outcome)
{
	struct thaw_pool *pool = &thread->worker->pool;
	enum thaw_start start;

	for (unsigned tries = 1;; tries++) {
		thaw_instance_run(*instance, run, outcome);
		if (outcome->kind != THAW_OUTCOME_lost || tries == LOST_TRIES)
			return;
		forget_response(thread->worker, run->context);
		detach_instance(request);
		/* The pool is short of one, and perhaps of more that are lost as well. */
		thread->tidy_due = true;
		thaw_pool_discard(pool, *instance);
		*instance = NULL;
		if (thaw_pool_claim(pool, instance, &start, NULL) < 0)
			return;
		response->start = start;
		/* The client may have given up in between; the run then says so. */
		if (!attach_instance(request, *instance))
			thaw_instance_kill(*instance);
	}
}

static void count_run(struct thaw_worker *worker, const struct thaw_frame_response *response,
		      uint64_t total_ns)
{
	struct thaw_metrics *metrics = &worker->metrics;

	thaw_count(&metrics->outcome[response->outcome], 1);
	thaw_count(&metrics->bytes_out, response->length);
	thaw_histogram_record(&metrics->queued_ns, response->queued_ns);
	thaw_histogram_record(&metrics->run_ns, response->run_ns);
	thaw_histogram_record(&metrics->total_ns, total_ns);
}

/* Runs REQUEST in *INSTANCE, whose start RESPONSE has already, and answers. */
static void run_and_answer(struct thaw_worker_thread *thread, struct thaw_request *request,
			   struct thaw_instance **instance, struct thaw_frame_response *response)
{
	struct thaw_client *client = request->client;
	struct thaw_worker *worker = thread->worker;
	struct run_context context = {.thread = thread, .number = request->number};
	struct thaw_outcome outcome = {0};
	struct thaw_run run = {.request = request->body,
			       .request_length = request->length,
			       .deadline_ns = request->deadline_ns,
			       .response_max = THAW_RESPONSE_MAX,
			       .context = &context,
			       .respond = take_response,
			       .log = take_log,
			       .handed_over = take_handed_over,
			       .slow = take_slow};

	run_unless_lost(thread, request, instance, &run, response, &outcome);
	response->status = THAW_STATUS_ran;
	response->outcome = outcome.kind;
	response->exit_code = outcome.exit_code;
	response->run_ns = outcome.run_ns;
	/* Half a response could be taken for a whole one. */
	if (outcome.kind == THAW_OUTCOME_finished || outcome.kind == THAW_OUTCOME_exited)
		response->length = context.length;
	if (outcome.kind != THAW_OUTCOME_finished)
		thaw_worker_log_outcome(worker, request->number, &outcome);
	count_run(worker, response, thaw_monotonic_ns() - request->complete_ns);

	thaw_client_get(client);
	pthread_mutex_lock(&client->lock);
	request->instance = NULL;
	if (context.out_of_memory) {
		thaw_request_refuse(request, THAW_STATUS_failed,
				    "the worker has no memory for the response; try again");
		thaw_body_free(worker, &context.large);
	} else {
		thaw_request_answer(request, response, outcome.message,
				    context.large.bytes ? context.large.bytes : thread->response,
				    &context.large);
	}
	pthread_mutex_unlock(&client->lock);
	thaw_client_put(client);
}

/* By a thread that has a place in the pool. */
static void run_request(struct thaw_worker_thread *thread, struct thaw_request *request)
{
	struct thaw_pool *pool = &thread->worker->pool;
	struct thaw_frame_response response = {0};
	struct thaw_instance *instance;
	struct thaw_error err = THAW_ERROR_INIT;
	enum thaw_start start;
	uint64_t now_ns;

	if (thaw_pool_claim(pool, &instance, &start, &err) < 0) {
		thaw_request_refuse_unlocked(request, THAW_STATUS_failed, err.message);
		return;
	}
	now_ns = thaw_monotonic_ns();
	if (thaw_request_expired(request, now_ns)) {
		thaw_pool_unclaim(pool, instance);
		thaw_request_end_unrun_unlocked(request, THAW_OUTCOME_deadline,
						"the deadline passed while the request waited");
	} else if (!attach_instance(request, instance)) {
		thaw_pool_unclaim(pool, instance);
		thaw_request_end_unrun_unlocked(request, THAW_OUTCOME_cancelled,
						"the client cancelled the request");
	} else {
		response.start = start;
		response.queued_ns = now_ns - request->complete_ns;
		run_and_answer(thread, request, &instance, &response);
		thaw_worker_leave(thread, instance, &response);
	}
}

/* ---- Entering and waiting ---- */

/* A body in the thread's own frame does not outlast the thread's next read. */
static bool own_body(struct thaw_worker *worker, struct thaw_request *request)
{
	if (request->owned.bytes || request->length == 0)
		return true;
	if (!thaw_body_copy(worker, &request->owned, request->body, request->length))
		return false;
	request->body = request->owned.bytes;
	return true;
}

/* True: the caller has a place for it; otherwise the request is the queue's, or answered. */
static bool enter(struct thaw_worker *worker, struct thaw_request *request)
{
	enum thaw_pool_place place = thaw_pool_enter(&worker->pool, NULL);

	if (place == THAW_POOL_BUSY && own_body(worker, request))
		place = thaw_pool_enter(&worker->pool, &request->node);
	if (place == THAW_POOL_QUEUED)
		thaw_housekeeping_watch_queue(worker);
	if (place == THAW_POOL_BUSY)
		thaw_request_refuse_unlocked(request, THAW_STATUS_busy,
					     thaw_wire_status_text(THAW_STATUS_busy));
	return place == THAW_POOL_PLACE;
}

void thaw_request_serve(struct thaw_worker_thread *thread, struct thaw_request *request)
{
	struct thaw_worker *worker = thread->worker;

	thaw_request_complete(worker, request);
	if (!enter(worker, request)) {
		thaw_client_release(thread);
		return;
	}
	for (;;) {
		run_request(thread, request);
		/* The request that has the place next may want the instance. */
		if (thaw_pool_low(&worker->pool))
			thaw_worker_recycle(thread);
		request = (struct thaw_request *)thaw_pool_leave(&worker->pool);
		if (!request)
			return;
		/* It may be another client's. */
		thaw_client_release(thread);
	}
}
