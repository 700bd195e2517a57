/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's life: in its client's table from its first frame, out of it with its answer. Here is
 * all but the run: completion, answers, cancel, hang-up, and the deadline in the queue.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/wire/names.h"
#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

/* ---- The table ---- */

struct thaw_request *thaw_request_new(struct thaw_client *client,
				      const struct thaw_frame_view *view)
{
	struct thaw_request *request = malloc(sizeof(*request));

	if (!request)
		return NULL;
	*request = (struct thaw_request){
		.client = client,
		.next = client->requests,
		.state = view->more ? THAW_REQUEST_ASSEMBLING : THAW_REQUEST_COMPLETE,
		.id = view->id,
		.timeout_ns = view->request.timeout_ns,
		.length = view->request.length,
	};
	if (request->next)
		request->next->previous = request;
	client->requests = request;
	client->request_count++;
	client->unanswered += request->state == THAW_REQUEST_COMPLETE;
	thaw_client_get(client);
	return request;
}

struct thaw_request *thaw_request_find(struct thaw_client *client, uint64_t id)
{
	struct thaw_request *request = client->requests;

	while (request && request->id != id)
		request = request->next;
	return request;
}

void thaw_request_free(struct thaw_request *request)
{
	struct thaw_client *client = request->client;

	if (request->previous)
		request->previous->next = request->next;
	else
		client->requests = request->next;
	if (request->next)
		request->next->previous = request->previous;
	client->request_count--;
	client->unanswered -= request->state == THAW_REQUEST_COMPLETE;
	thaw_body_free(client->worker, &request->owned);
	free(request);
	thaw_client_put(client);
}

void thaw_request_complete(struct thaw_worker *worker, struct thaw_request *request)
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

/* ---- Answers ---- */

void thaw_request_answer(struct thaw_request *request, struct thaw_frame_response *response,
			 const char *message, const uint8_t *body, struct thaw_body *owned)
{
	struct thaw_client *client = request->client;
	struct thaw_worker *worker = client->worker;
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
	if (client->closing)
		thaw_body_free(worker, &output.owned);
	else
		thaw_output_send(client, &output);
	if (atomic_load(&worker->draining))
		thaw_worker_drain_client(client);
}

void thaw_request_refuse(struct thaw_request *request, enum thaw_status status, const char *message)
{
	struct thaw_frame_response response = {.status = status,
					       .exit_code = thaw_wire_status_code(status)};
	struct thaw_body none = {0};

	thaw_count(&request->client->worker->metrics.requests, !request->complete_ns);
	thaw_request_answer(request, &response, message, NULL, &none);
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
	thaw_count(&request->client->worker->metrics.requests, !request->complete_ns);
	thaw_count(&request->client->worker->metrics.outcome[outcome], 1);
	thaw_request_answer(request, &response, message, NULL, &none);
}

void thaw_request_refuse_unlocked(struct thaw_request *request, enum thaw_status status,
				  const char *message)
{
	struct thaw_client *client = request->client;

	thaw_client_get(client);
	pthread_mutex_lock(&client->lock);
	thaw_request_refuse(request, status, message);
	pthread_mutex_unlock(&client->lock);
	thaw_client_put(client);
}

void thaw_request_end_unrun_unlocked(struct thaw_request *request, enum thaw_outcome_kind outcome,
				     const char *message)
{
	struct thaw_client *client = request->client;

	thaw_client_get(client);
	pthread_mutex_lock(&client->lock);
	thaw_request_end_unrun(request, outcome, message);
	pthread_mutex_unlock(&client->lock);
	thaw_client_put(client);
}

/* ---- Ends that the client asks for ---- */

void thaw_request_cancel(struct thaw_request *request)
{
	struct thaw_worker *worker = request->client->worker;

	if (request->state == THAW_REQUEST_DISCARDING || request->cancelled)
		return;
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
}

/* A thread that runs one of the requests finds the client closing, and sends no answer. */
void thaw_request_abandon_all(struct thaw_client *client)
{
	struct thaw_request *request, *next;

	pthread_mutex_lock(&client->lock);
	client->closing = true;
	for (request = client->requests; request; request = next) {
		next = request->next;
		if (request->state != THAW_REQUEST_COMPLETE) {
			thaw_request_free(request);
			continue;
		}
		thaw_count(&client->worker->metrics.hang_ups, 1);
		request->cancelled = true;
		if (request->instance)
			thaw_instance_kill(request->instance);
		else if (thaw_pool_withdraw(&client->worker->pool, &request->node))
			thaw_request_free(request);
	}
	pthread_mutex_unlock(&client->lock);
}

/* ---- Deadlines in the queue ---- */

bool thaw_request_expired(const struct thaw_request *request, uint64_t now_ns)
{
	return request->deadline_ns && now_ns >= request->deadline_ns;
}

static bool node_expired(const struct thaw_queue_node *node, void *now_ns)
{
	return thaw_request_expired((const struct thaw_request *)node, *(const uint64_t *)now_ns);
}

void thaw_request_expire_queued(struct thaw_worker *worker)
{
	uint64_t now_ns = thaw_monotonic_ns();
	struct thaw_queue_node *node;

	while ((node = thaw_pool_expire(&worker->pool, node_expired, &now_ns)))
		thaw_request_end_unrun_unlocked((struct thaw_request *)node, THAW_OUTCOME_deadline,
						"the deadline passed while the request waited");
}
