/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of libthaw. A connection is a small state machine over one socket: pending requests
 * wait in slots, pump() moves frames both ways until what its caller wants has come true, and
 * everything that arrives is checked before it changes anything: the worker is not trusted.
 *
 * At most once: a request is sent again only when the worker said that it will not run it (GOAWAY),
 * or when it never had all of it. Any other loss is the caller's to know about.
 */
#ifndef THAW_LIBTHAW_H
#define THAW_LIBTHAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/libthaw/thaw.h"
#include "pool/wire/frame.h"
#include "snapshot-format/base/error.h"

/* What one connection may hold in memory at a time, whatever its worker sends. */
#define THAW_CLIENT_REQUESTS_HELD  (256u << 20)
#define THAW_CLIENT_RESPONSES_HELD (512u << 20)
#define THAW_CLIENT_CONTROL_MAX	   (16u << 20)

struct thaw_pending {
	uint64_t id; /* 0: the slot is free */
	const uint8_t *body;
	uint8_t *owned; /* BODY, when it is a copy of ours */
	size_t length, sent;
	uint64_t timeout_ns;
	bool begun;	/* its first frame is sent */
	bool answering; /* the first frame of its answer is here */
	bool answered;	/* all of its answer is here: this may come before the request is out */
	bool complete; /* answered and sent: the worker reads to the end even what it has refused */
	size_t received;
	struct thaw_response response;
	struct thaw_pending *next; /* in the list of unsent, or of complete, requests */
};

struct thaw_pending_list {
	struct thaw_pending *first, **end;
};

/* The one control operation under way. */
struct thaw_control_state {
	uint64_t id; /* 0: none */
	const char *json;
	bool sent, complete;
	char *reply;
	size_t length, room;
};

struct thaw_connection {
	char *run, *name;
	int fd; /* -1 between two connections */
	int epoll_fd, event_fd;
	bool signalled; /* event_fd is readable */
	bool goaway;	/* the worker said so: answers under way still arrive, nothing else will */
	bool write_ended;  /* a send failed: only what the worker left behind is still read */
	unsigned attempts; /* connections in a row that brought no answer */
	uint64_t sequence;
	uint64_t receive_timeout_ns; /* as SO_RCVTIMEO has it */
	struct thaw_pending *slots[THAW_IN_FLIGHT_MAX];
	unsigned in_flight; /* slots taken, complete ones included */
	size_t requests_held, responses_held;
	struct thaw_pending_list unsent, complete;
	struct thaw_control_state control;
	uint8_t *buffer; /* one frame, as it arrived */
};

/* wire.c: frames out, frames in. */

enum thaw_wire {
	THAW_WIRE_DONE = 1,
	THAW_WIRE_BLOCKED = 2,
	THAW_WIRE_ENDED = 3,
	THAW_WIRE_GOAWAY = 4
};

/* Sends the next frame of PENDING or of the control operation; DONE, BLOCKED or ENDED. */
int thaw_wire_send_request(struct thaw_connection *connection, struct thaw_pending *pending);
int thaw_wire_send_control(struct thaw_connection *connection);
/* Takes one frame in, waiting for it if WAIT; any of enum thaw_wire, or -1 with ERR. */
int thaw_wire_receive(struct thaw_connection *connection, bool wait, struct thaw_error *err);

/* pending.c: the slots. */

struct thaw_pending *thaw_pending_add(struct thaw_connection *connection, struct thaw_error *err);
struct thaw_pending *thaw_pending_find(const struct thaw_connection *connection, uint64_t id);
void thaw_pending_free(struct thaw_connection *connection, struct thaw_pending *pending);
/* Moves PENDING to the list of complete requests if it is answered and sent. */
void thaw_pending_settle(struct thaw_connection *connection, struct thaw_pending *pending);
void thaw_pending_append(struct thaw_pending_list *list, struct thaw_pending *pending);
struct thaw_pending *thaw_pending_pop(struct thaw_pending_list *list);
void thaw_pending_remove(struct thaw_pending_list *list, const struct thaw_pending *pending);
/* True while part of an answer, but not all of it, is here. */
bool thaw_pending_any_answering(const struct thaw_connection *connection);
/* True when no request that lacks an answer could have been run: the worker never had all of one.
 */
bool thaw_pending_none_delivered(const struct thaw_connection *connection);
bool thaw_pending_is_sent(const struct thaw_pending *pending);
/* Makes every unanswered request unsent again, for a new connection. */
void thaw_pending_rewind(struct thaw_connection *connection);
/* Frees every request that is not complete. */
void thaw_pending_abandon(struct thaw_connection *connection);

#endif
