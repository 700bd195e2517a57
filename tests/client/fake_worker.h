/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker for tests of libthaw: a run directory with a daemon's lock and one function's socket,
 * and a thread that speaks the protocol on it as a script says, rightly or wrongly.
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
	/* The script. The worker's thread calls it for each connection, NUMBER from 0, and closes
	 * FD afterwards. */
	void (*serve)(struct fake_worker *worker, int fd, unsigned number);
	const void *context;	   /* for the script */
	_Atomic unsigned executed; /* a script counts here */
	int listen_fd, lock_fd;
	pthread_t thread;
};

#define FAKE_NAME "f"

/* Makes the run directory, the lock and the socket, and starts the thread. */
void fake_worker_start(struct fake_worker *worker,
		       void (*serve)(struct fake_worker *, int, unsigned), const void *context);
/* Ends the thread, when its script returns, and removes the run directory. */
void fake_worker_stop(struct fake_worker *worker);
/* Makes a run directory and a lock, but no socket. */
void fake_daemon_start(struct fake_worker *worker);

struct fake_request {
	uint64_t id, timeout_ns;
	uint8_t *body; /* the caller's to free */
	size_t length;
};

/* Reads frames until one request is whole. Returns 0, or -1 when the client has gone. */
int fake_read_request(int fd, struct fake_request *request);
/* Sends one frame; its header says LENGTH. */
void fake_send(int fd, uint8_t type, uint16_t flags, uint64_t id, const void *payload,
	       size_t length);
/* Answers with BODY, in as many frames as it takes. */
void fake_answer(int fd, uint64_t id, const void *body, size_t length);
/* Sends the first frame of an answer of BODY_LENGTH bytes: the first PIECE bytes of BODY, with
 * MORE if more follow. */
void fake_answer_begin(int fd, uint64_t id, const void *body, size_t piece, size_t body_length);

/* A script: answers each request with the request's body. */
void fake_echo(struct fake_worker *worker, int fd, unsigned number);

#endif
