/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request, from complete to answered. The thread that read it runs it and answers it. The
 * answer and the request's leaving the table are one step under the connection's lock: a client
 * that has the answer may use the id again at once, and a draining worker never says goodbye before
 * it.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "pool/wire/names.h"
#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

/* A guest can write a MiB or so in this time. */
#define QUICK_NS 500000u
/* A client may wait for this, rather than wake another thread, which costs about as much. */
#define QUICK_PUT_BACK_NS 100000u
/* Instances for one request, when those before were lost before they had it. */
#define LOST_TRIES 3u

/* ---- Body memory ---- */

bool thaw_worker_reserve(struct thaw_worker *worker, uint64_t bytes)
{
	uint64_t before = atomic_fetch_add(&worker->buffered_bytes, bytes);

	if (bytes <= THAW_BUFFERED_MAX && before <= THAW_BUFFERED_MAX - bytes)
		return true;
	atomic_fetch_sub(&worker->buffered_bytes, bytes);
	return false;
}

void thaw_worker_release(struct thaw_worker *worker, uint64_t bytes)
{
	atomic_fetch_sub(&worker->buffered_bytes, bytes);
}

/* ---- The table ---- */

struct thaw_request *thaw_request_new(struct thaw_connection *connection,
				      const struct thaw_frame_view *view)
{
	struct thaw_request *request = malloc(sizeof(*request));

	if (!request)
		return NULL;
	*request = (struct thaw_request){
		.connection = connection,
		.next = connection->requests,
		.state = view->more ? THAW_REQUEST_ASSEMBLING : THAW_REQUEST_COMPLETE,
		.id = view->id,
		.timeout_ns = view->request.timeout_ns,
		.length = view->request.length,
	};
	if (request->next)
		request->next->previous = request;
	connection->requests = request;
	connection->request_count++;
	connection->unanswered += request->state == THAW_REQUEST_COMPLETE;
	thaw_connection_get(connection);
	return request;
}

void thaw_request_free(struct thaw_request *request)
{
	struct thaw_connection *connection = request->connection;

	if (request->previous)
		request->previous->next = request->next;
	else
		connection->requests = request->next;
	if (request->next)
		request->next->previous = request->previous;
	connection->request_count--;
	connection->unanswered -= request->state == THAW_REQUEST_COMPLETE;
	thaw_body_free(connection->worker, &request->owned);
	free(request);
	thaw_connection_put(connection);
}

/* ---- Answers ---- */

/* Sends the answer and lets the request go. */
static void answer(struct thaw_request *request, struct thaw_frame_response *response,
		   const char *message, const uint8_t *body, struct thaw_body *owned)
{
	struct thaw_connection *connection = request->connection;
	struct thaw_worker *worker = connection->worker;
	struct {
		struct thaw_frame_response response;
		char message[256];
	} head;
	struct thaw_output output = {.type = THAW_FRAME_response,
				     .rest_type = THAW_FRAME_response_data,
				     .id = request->id,
				     .head = &head,
				     .body = body,
				     .length = response->length,
				     .owned = *owned};

	*owned = (struct thaw_body){0};
	response->message_length = (uint32_t)strnlen(message, sizeof(head.message) - 1);
	if (request->complete_ns)
		response->total_ns = thaw_monotonic_ns() - request->complete_ns;
	head.response = *response;
	memcpy(head.message, message, response->message_length);
	output.head_length = sizeof(head.response) + response->message_length;
	thaw_count(&worker->metrics.status[response->status], 1);
	thaw_count(&worker->metrics.start[response->start], 1);
	if (request->state == THAW_REQUEST_ASSEMBLING) {
		thaw_body_free(worker, &request->owned);
		request->state = THAW_REQUEST_DISCARDING;
	} else {
		thaw_request_free(request);
	}
	if (connection->closing)
		thaw_body_free(worker, &output.owned);
	else
		thaw_output_send(connection, &output);
	if (atomic_load(&worker->draining))
		thaw_worker_drain_connection(connection);
}

void thaw_request_refuse(struct thaw_request *request, enum thaw_status status, const char *message)
{
	struct thaw_frame_response response = {.status = status,
					       .exit_code = thaw_wire_status_code(status)};
	struct thaw_body none = {0};

	thaw_count(&request->connection->worker->metrics.requests, !request->complete_ns);
	answer(request, &response, message, NULL, &none);
}

#define EXIT_CODE_OF(name, code, text) code,
static const int outcome_codes[] = {THAW_OUTCOMES(EXIT_CODE_OF)};

void thaw_request_end_unrun(struct thaw_request *request, enum thaw_outcome_kind outcome,
			    const char *message)
{
	struct thaw_frame_response response = {
		.status = THAW_STATUS_ran, .outcome = outcome, .exit_code = outcome_codes[outcome]};
	struct thaw_body none = {0};

	if (request->complete_ns)
		response.queued_ns = thaw_monotonic_ns() - request->complete_ns;
	thaw_count(&request->connection->worker->metrics.requests, !request->complete_ns);
	thaw_count(&request->connection->worker->metrics.outcome[outcome], 1);
	answer(request, &response, message, NULL, &none);
}

/* The two above for a thread that holds neither the lock nor a reference of its own. */
static void refuse_unlocked(struct thaw_request *request, enum thaw_status status,
			    const char *message)
{
	struct thaw_connection *connection = request->connection;

	thaw_connection_get(connection);
	pthread_mutex_lock(&connection->lock);
	thaw_request_refuse(request, status, message);
	pthread_mutex_unlock(&connection->lock);
	thaw_connection_put(connection);
}

static void end_unrun_unlocked(struct thaw_request *request, enum thaw_outcome_kind outcome,
			       const char *message)
{
	struct thaw_connection *connection = request->connection;

	thaw_connection_get(connection);
	pthread_mutex_lock(&connection->lock);
	thaw_request_end_unrun(request, outcome, message);
	pthread_mutex_unlock(&connection->lock);
	thaw_connection_put(connection);
}

/* ---- Running ---- */

/* What a run needs of its callbacks, and what they make. */
struct run_context {
	struct thaw_worker_thread *thread;
	uint64_t number;
	uint64_t length;	/* of the response so far */
	struct thaw_body large; /* its memory once the thread's own is too small */
	bool out_of_memory;
};

/* The next power of two that holds LENGTH, so that a response is copied about once in all. */
static bool grow(struct run_context *context, uint64_t length)
{
	struct thaw_worker *worker = context->thread->worker;
	uint64_t room = UINT64_C(1) << (64 - __builtin_clzll(length - 1));
	uint64_t more = room - context->large.reserved;
	uint8_t *bytes;

	if (!thaw_worker_reserve(worker, more))
		return false;
	bytes = realloc(context->large.bytes, room);
	if (!bytes) {
		thaw_worker_release(worker, more);
		return false;
	}
	if (!context->large.bytes)
		memcpy(bytes, context->thread->response, context->length);
	context->large.bytes = bytes;
	context->large.reserved = room;
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

static int take_log(void *opaque, const char *line, size_t length)
{
	struct run_context *context = opaque;

	return thaw_worker_log_guest(context->thread->worker, context->number, line, length);
}

static void refill(struct thaw_worker *worker)
{
	struct thaw_error err = THAW_ERROR_INIT;

	/* Not the caller's failure: if the engine is broken its watcher says so. */
	if (thaw_pool_refill(&worker->pool, &err) < 0)
		thaw_log(THAW_LOG_debug, "the pool is not refilled: %s", err.message);
}

void thaw_worker_tidy(struct thaw_worker_thread *thread)
{
	if (!thread->untidy)
		return;
	thread->untidy = false;
	while (thread->spent_count)
		thaw_pool_discard(&thread->worker->pool, thread->spent[--thread->spent_count]);
	refill(thread->worker);
}

void thaw_worker_prepare(struct thaw_worker_thread *thread)
{
	thread->unprepared = thaw_pool_prepare(&thread->worker->pool, thaw_monotonic_ns());
}

static void take_handed_over(void *opaque)
{
	struct run_context *context = opaque;
	struct thaw_worker_thread *thread = context->thread;

	if (thread->spent_count == THAW_SPENT_MAX || thaw_pool_low(&thread->worker->pool))
		thaw_worker_tidy(thread);
}

/* A guest that takes its time must not keep the client's next word from being heard, nor, later,
 * the next request from a fresh instance. */
static void take_slow(void *opaque, bool very)
{
	struct run_context *context = opaque;

	thaw_connection_release(context->thread);
	if (!very)
		return;
	refill(context->thread->worker);
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

/* From here until the run is over a cancel or a hang-up kills the instance. False: it came before.
 */
static bool attach_instance(struct thaw_request *request, struct thaw_instance *instance)
{
	bool go;

	pthread_mutex_lock(&request->connection->lock);
	go = !request->cancelled;
	if (go)
		request->instance = instance;
	pthread_mutex_unlock(&request->connection->lock);
	return go;
}

static void detach_instance(struct thaw_request *request)
{
	pthread_mutex_lock(&request->connection->lock);
	request->instance = NULL;
	pthread_mutex_unlock(&request->connection->lock);
}

/* Whatever came before, the next one's response is whole. */
static void forget_response(struct thaw_worker *worker, struct run_context *context)
{
	context->length = 0;
	if (context->large.bytes)
		thaw_body_free(worker, &context->large);
	context->large = (struct thaw_body){0};
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
		thaw_pool_discard(pool, *instance);
		*instance = NULL;
		if (thaw_pool_claim(pool, instance, &start, NULL) < 0)
			return;
		response->start = start;
		if (!attach_instance(request, *instance)) {
			/* The client gave up in between; the run says so. */
			thaw_instance_kill(*instance);
		}
	}
}

/* Runs REQUEST in *INSTANCE, whose start RESPONSE tells already, and answers. */
static void run_and_answer(struct thaw_worker_thread *thread, struct thaw_request *request,
			   struct thaw_instance **instance, struct thaw_frame_response *response)
{
	struct thaw_connection *connection = request->connection;
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
	/* Half a response helps nobody, and could be taken for a whole one. */
	if (outcome.kind == THAW_OUTCOME_finished || outcome.kind == THAW_OUTCOME_exited)
		response->length = context.length;
	if (outcome.kind != THAW_OUTCOME_finished)
		thaw_worker_log_outcome(worker, request->number, &outcome);
	count_run(worker, response, thaw_monotonic_ns() - request->complete_ns);

	thaw_connection_get(connection);
	pthread_mutex_lock(&connection->lock);
	request->instance = NULL;
	if (context.out_of_memory) {
		thaw_request_refuse(request, THAW_STATUS_failed,
				    "the worker has no memory for the response; try again");
		thaw_body_free(worker, &context.large);
	} else {
		answer(request, response, outcome.message,
		       context.large.bytes ? context.large.bytes : thread->response,
		       &context.large);
	}
	pthread_mutex_unlock(&connection->lock);
	thaw_connection_put(connection);
}

static bool expired(const struct thaw_request *request, uint64_t now_ns)
{
	return request->deadline_ns && now_ns >= request->deadline_ns;
}

/* Only a guest that waits quietly and had no time to fill its memory may wait for the broom. */
static void leave_to_tidy(struct thaw_worker_thread *thread, struct thaw_instance *instance)
{
	thread->untidy = thread->unprepared = true;
	if (instance && thread->spent_count < THAW_SPENT_MAX)
		thread->spent[thread->spent_count++] = instance;
	else if (instance)
		thaw_pool_discard(&thread->worker->pool, instance);
}

void thaw_worker_put_back(struct thaw_worker_thread *thread)
{
	struct thaw_instance *instance = thread->used;
	uint64_t started_ns;

	if (!instance)
		return;
	thread->used = NULL;
	started_ns = thaw_monotonic_ns();
	if (thaw_pool_recycle(&thread->worker->pool, instance))
		thread->recycled = true;
	else
		leave_to_tidy(thread, instance);
	thread->puts_back_slowly = thaw_monotonic_ns() - started_ns > QUICK_PUT_BACK_NS;
}

/* What an instance leaves to do when its request is answered. */
static void leave_behind(struct thaw_worker_thread *thread, struct thaw_instance *instance,
			 const struct thaw_frame_response *response)
{
	struct thaw_pool *pool = &thread->worker->pool;
	bool finished = instance && response->outcome == THAW_OUTCOME_finished;
	bool quick = finished && response->run_ns < QUICK_NS;

	/* The client that was just woken is likely to wait for this processor. */
	sched_yield();
	if (quick && pool->config.recycle) {
		thaw_worker_put_back(thread);
		thread->used = instance;
	} else if (finished && thaw_pool_recycle(pool, instance)) {
		thread->recycled = true;
	} else if (quick || !instance) {
		leave_to_tidy(thread, instance);
	} else {
		thread->untidy = thread->unprepared = true;
		thaw_pool_discard(pool, instance);
	}
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
		refuse_unlocked(request, THAW_STATUS_failed, err.message);
		return;
	}
	now_ns = thaw_monotonic_ns();
	if (expired(request, now_ns)) {
		thaw_pool_unclaim(pool, instance);
		end_unrun_unlocked(request, THAW_OUTCOME_deadline,
				   "the deadline passed while the request waited");
	} else if (!attach_instance(request, instance)) {
		thaw_pool_unclaim(pool, instance);
		end_unrun_unlocked(request, THAW_OUTCOME_cancelled,
				   "the client cancelled the request");
	} else {
		response.start = start;
		response.queued_ns = now_ns - request->complete_ns;
		run_and_answer(thread, request, &instance, &response);
		leave_behind(thread, instance, &response);
	}
}

/* ---- Entering and waiting ---- */

static void complete(struct thaw_worker *worker, struct thaw_request *request)
{
	uint64_t timeout_ns = worker->meta->timeout_ns;

	if (request->timeout_ns && (!timeout_ns || request->timeout_ns < timeout_ns))
		timeout_ns = request->timeout_ns;
	request->complete_ns = thaw_monotonic_ns();
	/* A timeout that ends after the clock does is none. */
	if (timeout_ns &&
	    __builtin_add_overflow(request->complete_ns, timeout_ns, &request->deadline_ns))
		request->deadline_ns = 0;
	request->number = atomic_fetch_add(&worker->invocations, 1) + 1;
	thaw_count(&worker->metrics.requests, 1);
	thaw_count(&worker->metrics.bytes_in, request->length);
}

/* A body in the thread's own frame does not outlast its next read. */
static bool own_body(struct thaw_request *request)
{
	struct thaw_body *owned = &request->owned;

	if (owned->bytes || request->length == 0)
		return true;
	if (!thaw_worker_reserve(request->connection->worker, request->length))
		return false;
	owned->reserved = request->length;
	owned->bytes = malloc(request->length);
	if (!owned->bytes)
		return false;
	memcpy(owned->bytes, request->body, request->length);
	request->body = owned->bytes;
	return true;
}

/* True: the caller has a place for it; otherwise the request is the queue's, or answered. */
static bool enter(struct thaw_worker *worker, struct thaw_request *request)
{
	enum thaw_pool_place place = thaw_pool_enter(&worker->pool, NULL);

	if (place == THAW_POOL_BUSY && own_body(request))
		place = thaw_pool_enter(&worker->pool, &request->node);
	if (place == THAW_POOL_QUEUED)
		thaw_worker_tend_queue(worker);
	if (place == THAW_POOL_BUSY)
		refuse_unlocked(request, THAW_STATUS_busy, thaw_wire_status_text(THAW_STATUS_busy));
	return place == THAW_POOL_PLACE;
}

void thaw_request_serve(struct thaw_worker_thread *thread, struct thaw_request *request)
{
	struct thaw_worker *worker = thread->worker;

	complete(worker, request);
	if (!enter(worker, request)) {
		thaw_connection_release(thread);
		return;
	}
	for (;;) {
		run_request(thread, request);
		/* Whoever has the place next may want the instance. */
		if (thaw_pool_low(&worker->pool))
			thaw_worker_put_back(thread);
		request = (struct thaw_request *)thaw_pool_leave(&worker->pool);
		if (!request)
			return;
		/* Another client's, perhaps. */
		thaw_connection_release(thread);
	}
}

static bool node_expired(const struct thaw_queue_node *node, void *now_ns)
{
	return expired((const struct thaw_request *)node, *(const uint64_t *)now_ns);
}

void thaw_request_expire_queued(struct thaw_worker *worker)
{
	uint64_t now_ns = thaw_monotonic_ns();
	struct thaw_queue_node *node;

	while ((node = thaw_pool_expire(&worker->pool, node_expired, &now_ns)))
		end_unrun_unlocked((struct thaw_request *)node, THAW_OUTCOME_deadline,
				   "the deadline passed while the request waited");
}
