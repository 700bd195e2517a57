/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for the bodies of requests and responses. All of it counts against THAW_BUFFERED_MAX, so
 * that clients which send or read slowly cannot take the worker's memory. A body in a thread's own
 * frame or response buffer is not counted: there is one of each for each thread.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/worker/worker.h"

bool thaw_body_reserve(struct thaw_worker *worker, uint64_t bytes)
{
	uint64_t before = atomic_fetch_add(&worker->buffered_bytes, bytes);

	if (bytes <= THAW_BUFFERED_MAX && before <= THAW_BUFFERED_MAX - bytes)
		return true;
	atomic_fetch_sub(&worker->buffered_bytes, bytes);
	return false;
}

void thaw_body_release(struct thaw_worker *worker, uint64_t bytes)
{
	atomic_fetch_sub(&worker->buffered_bytes, bytes);
}

void thaw_body_free(struct thaw_worker *worker, struct thaw_body *body)
{
	free(body->bytes);
	thaw_body_release(worker, body->reserved);
	*body = (struct thaw_body){0};
}

bool thaw_body_copy(struct thaw_worker *worker, struct thaw_body *body, const uint8_t *bytes,
		    uint64_t length)
{
	if (!thaw_body_reserve(worker, length))
		return false;
	body->reserved = length;
	body->bytes = malloc(length);
	if (!body->bytes)
		return false;
	memcpy(body->bytes, bytes, length);
	return true;
}

/* The memory is address space only until the pieces fill it, so it is accounted for as they
 * come. */
bool thaw_body_begin(struct thaw_body *body, uint64_t length)
{
	body->bytes = malloc(length);
	return body->bytes != NULL;
}

bool thaw_body_add(struct thaw_worker *worker, struct thaw_body *body, const uint8_t *bytes,
		   uint64_t length)
{
	if (!thaw_body_reserve(worker, length))
		return false;
	body->reserved += length;
	memcpy(body->bytes + body->length, bytes, length);
	body->length += length;
	return true;
}

/* The next power of two that holds LENGTH, so that a response is copied about once in all. */
bool thaw_body_grow(struct thaw_worker *worker, struct thaw_body *body, uint64_t length)
{
	uint64_t room = UINT64_C(1) << (64 - __builtin_clzll(length - 1));
	uint64_t more = room - body->reserved;
	uint8_t *bytes;

	if (!thaw_body_reserve(worker, more))
		return false;
	bytes = realloc(body->bytes, room);
	if (!bytes) {
		thaw_body_release(worker, more);
		return false;
	}
	body->bytes = bytes;
	body->reserved = room;
	return true;
}
