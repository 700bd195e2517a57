/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop around the handler. One `next` finishes an invocation and fetches the following one; the
 * request and the response travel with it where they fit a window.
 *
 * Pointers into a window live no longer than the current invocation: `next` forgets all of them.
 */
#include "guest-stub/core/core.h"

struct thaw_invocation {
	uint64_t generation, deadline_ns;
	size_t length;	      /* of the whole request */
	const uint8_t *piece; /* unread bytes in the request window */
	size_t piece_length;
	size_t beyond;	     /* unread bytes that the host still has */
	const uint8_t *body; /* the result of thaw_request_body(), or NULL */
	size_t body_length;
	void *body_heap; /* its memory, if the window was too small */
	size_t response_pending;
};

static THAW_HOT struct thaw_invocation current;
static THAW_HOT unsigned hook_count;
static void (*hooks[THAW_HOOKS_MAX])(void);

size_t thaw_core_response_pending(void)
{
	return current.response_pending;
}

int thaw_on_thaw(void (*hook)(void))
{
	if (hook_count == THAW_HOOKS_MAX)
		return -1;
	hooks[hook_count++] = hook;
	return 0;
}

/* Takes the header of the new request from the mailbox. */
static void accept_request(void)
{
	volatile struct thaw_request_header *header = &thaw_core_mailbox()->request;
	size_t in_window = header->window_length;

	free(current.body_heap);
	current = (struct thaw_invocation){
		.generation = header->generation,
		.deadline_ns = header->deadline_ns,
		.length = header->length,
		.piece = thaw_core_request_window(),
	};
	if (in_window > THAW_WINDOW_SIZE || in_window > current.length)
		thaw_abort("the host's request header makes no sense");
	current.piece_length = in_window;
	current.beyond = current.length - in_window;
}

/* Writes to the two pages that each invocation writes, before any code reads them. A page that is
 * read first costs a clone two faults: one maps the image's page, one copies it. */
static inline void touch_for_writing(void)
{
	__asm__ volatile("orb $0, (%%rsp)\n\torb $0, %0" : "+m"(current)::"memory", "cc");
}

/* No stack protector, because the guard changes while this frame is on the stack. The only other
 * live frame is that of main(), and neither function ever returns. */
__attribute__((no_stack_protector)) void thaw_serve(int (*handler)(struct thaw_invocation *))
{
	uint32_t status = 0;
	uint64_t seed[THAW_SEED_SIZE / 8];

	thaw_core_heap_trim();
	for (;;) {
		long reply =
			thaw_core_hypercall(THAW_HYPERCALL_next, status, current.response_pending);

		touch_for_writing();
		if (reply < 0)
			thaw_abort("the host refused to give a request");
		accept_request();
		for (size_t i = 0; i < sizeof(seed) / sizeof(seed[0]); i++)
			seed[i] = ((volatile uint64_t *)thaw_core_mailbox()->request.seed)[i];
		thaw_core_random_seed(seed);
		for (unsigned i = 0; i < hook_count; i++)
			hooks[i]();
		status = (uint32_t)handler(&current) & 0xff;
	}
}

size_t thaw_request_length(const struct thaw_invocation *invocation)
{
	return invocation->length;
}

uint64_t thaw_deadline_ns(const struct thaw_invocation *invocation)
{
	return invocation->deadline_ns;
}

uint64_t thaw_generation(const struct thaw_invocation *invocation)
{
	return invocation->generation;
}

/* Makes PIECE non-empty unless the request is at its end. Returns its length, 0 or negative. */
static long fill_piece(struct thaw_invocation *invocation)
{
	long got;

	if (invocation->piece_length > 0 || invocation->beyond == 0)
		return (long)invocation->piece_length;
	got = thaw_core_hypercall(THAW_HYPERCALL_read, 0, 0);
	if (got < 0)
		return got;
	if (got == 0 || (size_t)got > THAW_WINDOW_SIZE || (size_t)got > invocation->beyond)
		return THAW_EINVAL; /* the host breaks its own contract */
	invocation->piece = thaw_core_request_window();
	invocation->piece_length = (size_t)got;
	invocation->beyond -= (size_t)got;
	return got;
}

long thaw_read_piece(struct thaw_invocation *invocation, const void **piece)
{
	long length = fill_piece(invocation);

	if (length < 0)
		return length;
	*piece = invocation->piece;
	invocation->piece += length;
	invocation->piece_length = 0;
	return length;
}

long thaw_read(struct thaw_invocation *invocation, void *buffer, size_t length)
{
	uint8_t *to = buffer;
	size_t done = 0;

	while (done < length) {
		long have = fill_piece(invocation);
		size_t take;

		if (have < 0)
			return have;
		if (have == 0)
			break;
		take = (size_t)have < length - done ? (size_t)have : length - done;
		memcpy(to + done, invocation->piece, take);
		invocation->piece += take;
		invocation->piece_length -= take;
		done += take;
	}
	return (long)done;
}

const void *thaw_request_body(struct thaw_invocation *invocation, size_t *length)
{
	size_t left = invocation->piece_length + invocation->beyond;

	if (!invocation->body && invocation->beyond == 0) {
		invocation->body = invocation->piece;
		invocation->piece_length = 0;
		invocation->body_length = left;
	} else if (!invocation->body) {
		invocation->body_heap = malloc(left);
		if (!invocation->body_heap)
			return NULL;
		if (thaw_read(invocation, invocation->body_heap, left) != (long)left)
			thaw_abort("the host failed to deliver the request");
		invocation->body = invocation->body_heap;
		invocation->body_length = left;
	}
	if (length)
		*length = invocation->body_length;
	return invocation->body;
}

int thaw_write(struct thaw_invocation *invocation, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;

	while (length > 0) {
		size_t room = THAW_WINDOW_SIZE - invocation->response_pending;
		size_t take = length < room ? length : room;

		if (room == 0) {
			long reply = thaw_core_hypercall(THAW_HYPERCALL_write, 0, THAW_WINDOW_SIZE);

			if (reply < 0)
				return (int)reply;
			invocation->response_pending = 0;
			continue;
		}
		memcpy(thaw_core_response_window() + invocation->response_pending, from, take);
		invocation->response_pending += take;
		from += take;
		length -= take;
	}
	return 0;
}
