/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of libthaw for tests: a run directory with a daemon's lock and one function's
 * socket, on which a thread speaks the protocol as a script tells it, rightly or wrongly.
 */
#ifndef THAW_FAKE_WORKER_H
#define THAW_FAKE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/wire/frame.h"

struct fake_worker {
	char run[64];
	/* Called on the worker's thread for each connection, NUMBER from 0; FD is closed
	 * afterwards. */
	void (*serve)(struct fake_worker *worker, int fd, unsigned number);
	const void *context;
	_Atomic unsigned executed; /* for scripts to count in */
	int listen_fd, lock_fd;
	pthread_t thread;
};

#define FAKE_NAME "f"

void fake_worker_start(struct fake_worker *worker,
		       void (*serve)(struct fake_worker *, int, unsigned), const void *context);
void fake_worker_stop(struct fake_worker *worker);
/* A run directory and a lock, but no socket. */
void fake_daemon_start(struct fake_worker *worker);

struct fake_request {
	uint64_t id, timeout_ns;
	uint8_t *body; /* to be freed */
	size_t length;
};

/* Reads frames until one request is whole. Returns 0, or -1 when the client has gone. */
int fake_read_request(int fd, struct fake_request *request);
/* Sends one frame; LENGTH is put into the header. */
void fake_send(int fd, uint8_t type, uint16_t flags, uint64_t id, const void *payload,
	       size_t length);
/* Answers with BODY, in as many frames as it takes. */
void fake_answer(int fd, uint64_t id, const void *body, size_t length);
/* An answer's first frame for BODY_LENGTH bytes, with the first PIECE bytes of BODY and MORE if
 * that is not all. */
void fake_answer_begin(int fd, uint64_t id, const void *body, size_t piece, size_t body_length);

/* Scripts: answers everything with what was asked. */
void fake_echo(struct fake_worker *worker, int fd, unsigned number);

#endif
