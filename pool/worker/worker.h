/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: one jailed process that serves one function. What its files share.
 *
 *   start.c             the order of starting
 *   threads.c     the threads: one event, one thread, no hand-over
 *   connection.c  a client: its frames in, its lifetime
 *   output.c      a client: frames out, and the queue for one that reads slowly
 *   request.c     one request from complete to answered
 *   control.c     statistics, logs, prewarming
 *   function_log.c         guest lines and outcomes into the log ring
 *   drain.c       the end of a worker
 *   housekeeping.c        the thread that tends slow clients and requests whose time ran out in the
 * queue
 *
 * Lock order: worker.connections_lock, connection.lock, pool.lock; none is held across a run.
 */
#ifndef THAW_WORKER_H
#define THAW_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "pool/common/log_ring.h"
#include "pool/common/rate_limit.h"
#include "pool/common/worker_protocol.h"
#include "pool/wire/frame_check.h"
#include "pool/worker/instances.h"
#include "pool/worker/metrics.h"

#define THAW_CONNECTIONS_MAX 1024u
#define THAW_BUFFERED_MAX    (UINT64_C(512) << 20) /* bodies held, in all */
#define THAW_OUTPUT_MAX                                                                            \
	(UINT64_C(256) << 20)	   /* of these, responses that one client does not read */
#define THAW_DRAIN_GRACE_MS 10000u /* for slow clients once every invocation has ended */
/* How long a thread waits for the next request of the client that it answered, and how many may. */
#define THAW_LINGER_MS	 1000u
#define THAW_LINGER_MOST 16u

/* What epoll's data points to. */
enum thaw_source { THAW_SOURCE_LISTEN, THAW_SOURCE_FRONT, THAW_SOURCE_CONNECTION };

struct thaw_connection;

struct thaw_worker {
	struct thaw_worker_config config;
	struct thaw_jail_report jail;
	struct thaw_engine *engine;
	int kvm_fd;  /* or -errno */
	int proc_fd; /* THAW_JAIL_PROC_FD, or -1 */
	const struct thaw_image_meta *meta;
	struct thaw_image_sizes sizes;
	uint64_t started_ns;

	struct thaw_pool pool;
	struct thaw_metrics metrics;

	int epoll_fd, listen_fd, front_fd;
	enum thaw_source listen_source, front_source;
	_Atomic unsigned threads, waiting, lingering;
	_Atomic bool draining;

	pthread_mutex_t connections_lock;
	struct thaw_connection *connections;
	unsigned connection_count;
	_Atomic uint64_t buffered_bytes;
	_Atomic uint64_t invocations; /* the last number given; they name invocations in the log */

	int tend_epoll_fd, tend_wake_fd;
	_Atomic bool tend_queue; /* requests wait in the queue: look at their deadlines */

	struct thaw_log_ring *log;
	pthread_mutex_t log_lock;
	struct thaw_rate_limit log_limit;

	pthread_mutex_t prewarm_lock;
};

/* A serving thread's own memory: the frame it reads and the response it makes. */
#define THAW_SPENT_MAX 8u

struct thaw_worker_thread {
	struct thaw_worker *worker;
	/* The connection whose request it serves and that nobody watches for the moment: the next
	 * request is then read by the same thread, and wakes no other one. NULL: none. */
	struct thaw_connection *held;
	/* A spent instance that is to be put back as soon as the thread has nothing to read. Never
	 * more: they would be missed, others be made for them, and caches hold none of them. */
	struct thaw_instance *used;
	bool puts_back_slowly; /* the last one took so long that nobody should wait for it */
	/* What requests left to be tidied up: spent instances, and as many places in the pool. It
	 * is done when no next request comes, or several at a time, while a guest runs and before
	 * the pool is empty: a thread that tidied after each answer would not be there for the next
	 * request, and forks and ends would be in each one's way. */
	struct thaw_instance *spent[THAW_SPENT_MAX];
	unsigned spent_count;
	bool untidy;
	bool recycled;	 /* instances, just now, that may be prepared if nothing else is to do */
	bool unprepared; /* there may be fresh instances to see to, or too many of them */
	uint8_t frame[THAW_MESSAGE_MAX + 1];
	/* Room for the headers, then as much of a response as one frame takes with the longest
	 * message. */
	uint8_t response[THAW_FRAME_PAYLOAD_MAX];
};

/* Body memory, and how much of it the worker has accounted for. */
struct thaw_body {
	uint8_t *bytes;
	uint64_t length, reserved;
};

/* One request of a client, from its first frame until it is answered. */
enum thaw_request_state {
	THAW_REQUEST_ASSEMBLING, /* pieces are still to come */
	THAW_REQUEST_DISCARDING, /* answered already; the rest of its pieces is thrown away */
	THAW_REQUEST_COMPLETE	 /* waits or runs */
};

struct thaw_request {
	struct thaw_queue_node node;	      /* first: the queue hands out nodes */
	struct thaw_request *next, *previous; /* in its connection */
	struct thaw_connection *connection;
	enum thaw_request_state state;
	uint64_t id, number, timeout_ns, length;
	const uint8_t *body;
	struct thaw_body
		owned; /* BODY's memory, when it is this request's own; its length so far */
	uint64_t complete_ns, deadline_ns;
	bool cancelled;			/* under the connection's lock */
	struct thaw_instance *instance; /* the same; while it runs */
};

/* One message to a client, in as many frames as it takes. */
struct thaw_output {
	struct thaw_output *next;
	uint8_t type, rest_type; /* of the first frame and of those after it */
	bool begun;		 /* the first frame is out */
	uint64_t id;
	const void *head; /* payload of the first frame before the body; shorter than a frame */
	size_t head_length;
	const uint8_t *body;
	uint64_t length, sent;	/* of BODY */
	struct thaw_body owned; /* BODY's memory where it is the message's own */
};

struct thaw_connection {
	enum thaw_source source; /* first: epoll's data points here */
	struct thaw_worker *worker;
	int fd;
	_Atomic unsigned references;		 /* epoll's, each request's, the tender's */
	struct thaw_connection *next, *previous; /* under connections_lock */
	pthread_mutex_t lock;
	struct thaw_request *requests;
	unsigned request_count; /* of them, of every state */
	unsigned unanswered;	/* of them, complete ones */
	struct thaw_output *output, **output_tail;
	uint64_t output_bytes;	  /* that wait in OUTPUT */
	bool watched;		  /* in the epoll set; of the thread that reads */
	bool tended;		  /* registered with the tender */
	bool closing;		  /* no frame is looked at any more */
	bool finish_after_output; /* shut down when the last byte is out */
};

/* threads.c */
int thaw_worker_threads_start(struct thaw_worker *worker, struct thaw_error *err);

/* connection.c */
void thaw_worker_accept(struct thaw_worker_thread *thread);
void thaw_connection_event(struct thaw_worker_thread *thread, struct thaw_connection *connection,
			   uint32_t events);
/* Has others watch the connection that THREAD holds, if it holds one. It is then not the thread's
 * any more, and may be gone. */
void thaw_connection_release(struct thaw_worker_thread *thread);
void thaw_connection_get(struct thaw_connection *connection);
void thaw_connection_put(struct thaw_connection *connection);

/* output.c; the connection's lock is held. */
/* Sends MESSAGE, whose owned memory it takes. What the client does not take at once is kept, and
 * copied where it is not owned. A client that makes the worker keep too much is cut off. */
void thaw_output_send(struct thaw_connection *connection, struct thaw_output *message);
/* Sends what waits as far as the client takes it. */
void thaw_output_flush(struct thaw_connection *connection);
void thaw_output_drop(struct thaw_connection *connection);
/* Says goodbye with a frame of TYPE, and shuts the connection down once everything is out. */
void thaw_output_finish(struct thaw_connection *connection, enum thaw_frame_type type,
			const char *text);
void thaw_body_free(struct thaw_worker *worker, struct thaw_body *body);

/* request.c; with the connection's lock held but for thaw_request_serve(). */
struct thaw_request *thaw_request_new(struct thaw_connection *connection,
				      const struct thaw_frame_view *view);
/* Gives back its reference too: the caller has another one. */
void thaw_request_free(struct thaw_request *request);
/* Answers without a run, and frees the request, but for one whose pieces still come: that is left
 * DISCARDING. */
void thaw_request_refuse(struct thaw_request *request, enum thaw_status status,
			 const char *message);
/* The same for one that ended before an instance saw it. */
void thaw_request_end_unrun(struct thaw_request *request, enum thaw_outcome_kind outcome,
			    const char *message);
/* Runs a complete request, or queues or refuses it; then runs others that wait. The request is gone
 * afterwards. */
void thaw_request_serve(struct thaw_worker_thread *thread, struct thaw_request *request);
/* Puts back the instance that the last request of THREAD used, if that is still to do. */
void thaw_worker_put_back(struct thaw_worker_thread *thread);
/* Gives up what requests of THREAD left, and refills the pool. */
void thaw_worker_tidy(struct thaw_worker_thread *thread);
/* Sees to the fresh instances while no request comes. */
void thaw_worker_prepare(struct thaw_worker_thread *thread);
/* Answers every request in the queue whose time is over. */
void thaw_request_expire_queued(struct thaw_worker *worker);
/* Accounts for BYTES more of body memory; false: the worker holds too much already. */
bool thaw_worker_reserve(struct thaw_worker *worker, uint64_t bytes);
void thaw_worker_release(struct thaw_worker *worker, uint64_t bytes);

/* control.c: the JSON answer to operation JSON; to be freed. NULL without memory. */
char *thaw_worker_control(struct thaw_worker *worker, const char *json, size_t length);

/* function_log.c */
int thaw_worker_log_guest(struct thaw_worker *worker, uint64_t invocation, const char *line,
			  size_t length);
void thaw_worker_log_outcome(struct thaw_worker *worker, uint64_t invocation,
			     const struct thaw_outcome *outcome);

/* drain.c */
void thaw_worker_drain(struct thaw_worker *worker);
/* With the connection's lock held: the last answer is out while the worker drains. */
void thaw_worker_drain_connection(struct thaw_connection *connection);
/* Ends the process when a draining worker has no connection left. */
void thaw_worker_exit_if_drained(struct thaw_worker *worker);

/* housekeeping.c */
int thaw_worker_tend_start(struct thaw_worker *worker, struct thaw_error *err);
void thaw_worker_tend_queue(struct thaw_worker *worker);
/* With the connection's lock held: output waits, send it when the client reads. */
void thaw_worker_tend_output(struct thaw_connection *connection);

#endif
