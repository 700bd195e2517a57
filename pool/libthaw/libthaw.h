/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of libthaw. A connection is a small state machine over one socket: pending requests
 * wait in slots, and pump() moves frames both ways until its caller's condition holds. Everything
 * that arrives is checked before it changes anything, because the worker is not trusted.
 *
 * A request runs at most once: it is sent again only when the worker said that it will not run it
 * (GOAWAY), or never had all of it. Any other loss is reported to the caller.
 *
 * A connection belongs to one thread at a time, and there is no state outside connections. So
 * nothing here has a lock.
 *
 *   libthaw.c   the functions of <thaw.h>, the socket, the pump
 *   wire.c      frames out, frames in
 *   pending.c   the slots of requests
 */
#ifndef THAW_LIBTHAW_H
#define THAW_LIBTHAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/libthaw/thaw.h"
#include "pool/wire/frame.h"
#include "snapshot-format/base/error.h"

/* Bytes that one connection may hold in memory, whatever its worker sends. */
#define THAW_CLIENT_REQUESTS_HELD  (256u << 20)
#define THAW_CLIENT_RESPONSES_HELD (512u << 20)
#define THAW_CLIENT_CONTROL_MAX	   (16u << 20)

struct thaw_pending {
	uint64_t id; /* 0: the slot is free */
	const uint8_t *body;
	uint8_t *owned;	     /* BODY, when it is the connection's copy; else NULL */
	size_t length, sent; /* of BODY */
	uint64_t timeout_ns;
	bool begun;	/* its first frame is sent */
	bool answering; /* the first frame of its answer has arrived */
	bool answered;	/* all of its answer is here, perhaps before all of it was sent */
	/* Answered and sent. The worker reads a request to its end even after it has refused it. */
	bool complete;
	size_t received; /* bytes of the answer's body */
	struct thaw_response response;
	struct thaw_pending *next; /* in the list of unsent or of complete requests */
};

struct thaw_pending_list {
	struct thaw_pending *first, **end; /* END: where the next one is linked */
};

/* The control operation under way; there is at most one. */
struct thaw_control_state {
	uint64_t id;	  /* 0: none */
	const char *json; /* the caller's */
	bool sent, complete;
	char *reply;
	size_t length, room;
};

struct thaw_connection {
	char *run, *name;
	int fd; /* -1 between two connections */
	int epoll_fd, event_fd;
	bool signalled;	   /* event_fd is readable */
	bool goaway;	   /* a GOAWAY came: only the rest of begun answers arrives */
	bool write_ended;  /* a send failed: only frames that the worker left behind are read */
	unsigned attempts; /* connections in a row that brought no answer */
	uint64_t sequence; /* of the last id */
	uint64_t receive_timeout_ns; /* the socket's SO_RCVTIMEO */
	struct thaw_pending *slots[THAW_IN_FLIGHT_MAX];
	unsigned in_flight; /* slots taken, complete ones included */
	size_t requests_held, responses_held;
	struct thaw_pending_list unsent, complete;
	struct thaw_control_state control;
	uint8_t *buffer; /* the frame that arrived last; THAW_MESSAGE_MAX bytes */
};

/* ---- wire.c ---- */

enum thaw_wire {
	THAW_WIRE_DONE = 1,
	THAW_WIRE_BLOCKED = 2,
	THAW_WIRE_ENDED = 3,
	THAW_WIRE_GOAWAY = 4
};

/* Send the next frame of PENDING, or the control operation's. DONE, BLOCKED or ENDED; they never
 * wait. */
int thaw_wire_send_request(struct thaw_connection *connection, struct thaw_pending *pending);
int thaw_wire_send_control(struct thaw_connection *connection);
/* Receives one frame and applies it. WAIT: for as long as the socket's timeout says. Any of enum
 * thaw_wire, or -1 with ERR: the connection is of no more use. */
int thaw_wire_receive(struct thaw_connection *connection, bool wait, struct thaw_error *err);

/* ---- pending.c ---- */

/* Takes a slot and gives it an id. NULL with ERR: all are taken, or memory is short. */
struct thaw_pending *thaw_pending_add(struct thaw_connection *connection, struct thaw_error *err);
/* The unanswered request ID, or NULL. */
struct thaw_pending *thaw_pending_find(const struct thaw_connection *connection, uint64_t id);
/* Frees the slot, the request's body and its answer. */
void thaw_pending_free(struct thaw_connection *connection, struct thaw_pending *pending);
/* Puts PENDING into the list of complete requests, if it is answered and sent. */
void thaw_pending_settle(struct thaw_connection *connection, struct thaw_pending *pending);
void thaw_pending_append(struct thaw_pending_list *list, struct thaw_pending *pending);
/* Takes the first out of LIST; NULL: LIST is empty. */
struct thaw_pending *thaw_pending_pop(struct thaw_pending_list *list);
void thaw_pending_remove(struct thaw_pending_list *list, const struct thaw_pending *pending);
/* True while part of an answer has arrived, but not all of it. */
bool thaw_pending_any_answering(const struct thaw_connection *connection);
/* True when the worker never had all of any unanswered request, so that it cannot have run one. */
bool thaw_pending_none_delivered(const struct thaw_connection *connection);
/* True when the last frame of PENDING is sent. */
bool thaw_pending_is_sent(const struct thaw_pending *pending);
/* Makes each unanswered request unsent again, for a new socket. */
void thaw_pending_rewind(struct thaw_connection *connection);
/* Frees each request that is not complete. */
void thaw_pending_abandon(struct thaw_connection *connection);

#endif
