/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between the front and a worker on their control socket (AF_UNIX SOCK_SEQPACKET, one
 * struct a message). Both are the same binary, so the version only guards against one that was
 * replaced on disk in between. The front treats what a worker says as hostile: it may have been
 * taken over.
 */
#ifndef THAW_WORKER_PROTOCOL_H
#define THAW_WORKER_PROTOCOL_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/jail/jail.h"

#define THAW_WORKER_PROTOCOL   1u
#define THAW_WORKER_CONTROL_FD 3 /* the one descriptor that a worker inherits beside 0, 1, 2 */

/* Front to worker, first message; with it come the descriptors, in this order. */
enum thaw_worker_fd {
	THAW_WORKER_FD_LISTEN,
	THAW_WORKER_FD_IMAGE,
	THAW_WORKER_FD_LOG,
	THAW_WORKER_FD_MEMORY_READ,  /* only when has_memory */
	THAW_WORKER_FD_MEMORY_WRITE, /* only when has_memory and not memory_filled */
	THAW_WORKER_FD_COUNT
};

struct thaw_worker_config {
	uint32_t version;
	uint32_t backend; /* enum thaw_backend_kind */
	uint32_t pool, max_instances, concurrency, queue;
	uint32_t uid;	   /* to become, when privileged */
	uint32_t restarts; /* of this function's worker so far, for the statistics */
	uint8_t has_memory, memory_filled;
	uint8_t recycle; /* spent instances, where that is possible */
	uint8_t no_working_sets;
	uint8_t reserved[4];
	char name[THAW_IMAGE_NAME_MAX + 1];
	struct thaw_jail_report jail; /* what the clone found */
};

/* Worker to front. */
enum thaw_worker_word {
	THAW_WORKER_SERVING = 1, /* requests are being taken from the listening socket */
	THAW_WORKER_REFUSED,	 /* this image cannot be run here: trying again is no use. After
				  * SERVING, too, before the worker ends */
	THAW_WORKER_FAILED	 /* the host failed: trying again may help */
};

struct thaw_worker_report {
	uint32_t version;
	uint32_t word; /* enum thaw_worker_word */
	uint8_t uuid[16];
	char message[1024];
};

/* Front to worker: stop accepting, finish what was read, tell the clients, exit. */
struct thaw_worker_drain {
	uint32_t version;
	uint32_t reserved;
};

#endif
