/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between the front and a worker on their control socket (AF_UNIX SOCK_SEQPACKET, one
 * struct to a message). Both run the same program, which the front executes by descriptor; the
 * version is a check of that. The front trusts nothing that a worker says, because a worker may
 * have been taken over.
 */
#ifndef THAW_WORKER_PROTOCOL_H
#define THAW_WORKER_PROTOCOL_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/jail/jail.h"
#include "snapshot-format/base/name.h"

#define THAW_WORKER_PROTOCOL   1u
#define THAW_WORKER_CONTROL_FD 3 /* the only descriptor that a worker inherits beside 0, 1, 2 */

/* The descriptors that come with the first message, in this order. */
enum thaw_worker_fd {
	THAW_WORKER_FD_LISTEN,
	THAW_WORKER_FD_IMAGE,
	THAW_WORKER_FD_LOG,
	THAW_WORKER_FD_MEMORY_READ,  /* only when has_memory */
	THAW_WORKER_FD_MEMORY_WRITE, /* only when has_memory and not memory_filled */
	THAW_WORKER_FD_COUNT
};

/* Front to worker, the first message. */
struct thaw_worker_config {
	uint32_t version;
	uint32_t backend; /* enum thaw_backend_kind */
	uint32_t pool, max_instances, concurrency, queue;
	uint32_t uid;	   /* the user to become, when the front is privileged */
	uint32_t restarts; /* of this function's workers so far, for the statistics */
	uint8_t has_memory, memory_filled;
	uint8_t recycle;	 /* spent instances, where the backend can */
	uint8_t no_working_sets; /* do not prefault the working set in fresh instances */
	uint8_t reserved[4];
	char name[THAW_NAME_MAX + 1];
	struct thaw_jail_report jail; /* what thaw_jail_clone() found */
};

/* Worker to front. */
enum thaw_worker_word {
	/* The worker takes requests from the listening socket. */
	THAW_WORKER_SERVING = 1,
	/* This image cannot run here: trying again is no use. It may also follow SERVING, and then
	 * the worker ends. */
	THAW_WORKER_REFUSED,
	/* The host failed: trying again may help. */
	THAW_WORKER_FAILED
};

struct thaw_worker_report {
	uint32_t version;
	uint32_t word;	  /* enum thaw_worker_word */
	uint8_t uuid[16]; /* of the image; zeros before it is read */
	char message[1024];
};

/* Front to worker: stop accepting, finish what you have read, send the clients away, exit. */
struct thaw_worker_drain {
	uint32_t version;
	uint32_t reserved;
};

#endif
