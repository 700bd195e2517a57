/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the worker share. A worker is one jailed process that serves one function.
 *
 *   start.c         starting, in order
 *   threads.c       the serving threads: one takes an event and does all that it asks for
 *   frames.c        a client's frames, from recv() to what each asks for
 *   run.c           one request, from complete to answered: place, instance, run, what is left
 *   control.c       statistics, logs, prewarming
 *   hold.c          which thread reads a client, and how a client ends
 *   upkeep.c        what runs leave to do: recycle, destroy, refill, prefault
 *   housekeeping.c  the housekeeping thread: slow clients, deadlines in the queue, the end
 *   request.c       a request's life: the table of a client, answers without a run
 *   drain.c         the end of a worker
 *   output.c        frames to a client, and the queue for one that reads slowly
 *   client.c        a client's life: accepted, listed, counted references
 *   body.c          memory for bodies, and the bound on all of it
 *   function_log.c  guest lines and outcomes, into the function's log ring
 *   instances.c     the pool of instances; instances.h
 *
 * A file calls only files below it in this list.
 *
 * Locks. A thread that holds one takes only locks that come later in this list:
 *   worker.prewarm_lock  held for a whole prewarm, seconds perhaps; only ever tried, so that no
 *                        thread waits for it
 *   worker.clients_lock  the list of clients
 *   client.lock          one client's requests and output
 *   pool.lock            the instances; instances.h
 *   worker.log_lock      the rate limit of the log; the ring itself needs no lock
 * None is held while an instance is made, runs, is recycled, prefaulted or destroyed. Two are held
 * across shorter calls into the engine: client.lock across thaw_instance_kill(), because the lock
 * keeps the instance from being spent and destroyed meanwhile, and pool.lock across the questions
 * that instances.h names. The engine calls back (respond, log, slow, ...) with none of its own
 * locks held, so its locks come after all of these.
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

#define THAW_CLIENTS_MAX  1024u
#define THAW_BUFFERED_MAX (UINT64_C(512) << 20) /* bytes of bodies held, in all */
/* Of these, bytes of responses that one client does not read. */
#define THAW_OUTPUT_MAX (UINT64_C(256) << 20)
/* How long slow clients may take once every invocation of a draining worker has ended. */
#define THAW_DRAIN_GRACE_MS 10000u
/* How long a prewarm waits for another instance to become ready. */
#define THAW_PREWARM_PATIENCE_MS 5000u
/* How long a thread waits for the next request of the client that it answered, and how many threads
 * may wait so. */
#define THAW_LINGER_MS	 1000u
#define THAW_LINGER_MOST 16u

/* What epoll's data points to. */
enum thaw_source { THAW_SOURCE_LISTEN, THAW_SOURCE_FRONT, THAW_SOURCE_CLIENT };

struct thaw_client;

struct thaw_worker {
	/* Set before the first thread starts, and constant from then on. */
	struct thaw_worker_config config;
	struct thaw_jail_report jail;
	struct thaw_engine *engine;
	int kvm_fd;  /* or -errno */
	int proc_fd; /* THAW_JAIL_PROC_FD, or -1 */
	const struct thaw_image_meta *meta;
	struct thaw_image_sizes sizes;
	uint64_t started_ns;
	uint64_t drain_grace_ns, prewarm_patience_ns;
	int epoll_fd, listen_fd, front_fd;
	enum thaw_source listen_source, front_source;
	int housekeeping_epoll_fd, housekeeping_wake_fd;
	struct thaw_log_ring *log; /* any thread may append and read */

	struct thaw_pool pool;	     /* has its own lock */
	struct thaw_metrics metrics; /* relaxed atomics */

	/* Serving threads: all, those in epoll_wait(), those that wait for one client alone. */
	_Atomic unsigned threads, waiting, lingering;
	_Atomic bool draining;		 /* once true, true for good */
	_Atomic bool queue_has_deadline; /* requests wait in the queue: look at their deadlines */
	_Atomic uint64_t buffered_bytes; /* of bodies; see body.c */
	_Atomic uint64_t invocations; /* the last number given; it names an invocation in the log */

	pthread_mutex_t clients_lock;
	struct thaw_client *clients; /* under clients_lock */
	unsigned client_count;	     /* the same */

	pthread_mutex_t log_lock;
	struct thaw_rate_limit log_limit; /* under log_lock */

	pthread_mutex_t prewarm_lock; /* one prewarm at a time */

	/* The housekeeping thread's alone: when a draining worker ran its last invocation; 0: it
	 * has not yet. */
	uint64_t idle_since_ns;
};

/* ---- A serving thread ---- */

#define THAW_SPENT_MAX 8u

/* No other thread looks at this. */
struct thaw_worker_thread {
	struct thaw_worker *worker;
	/* The client whose request the thread serves and that is not in the epoll set for the
	 * moment: the same thread then reads the next request, and wakes no other. NULL: none. */
	struct thaw_client *held;
	/* A spent instance to recycle as soon as the thread has nothing to read. At most one:
	 * holding more would empty the pool, trigger replacements and cool the cache. */
	struct thaw_instance *to_recycle;
	bool recycles_slowly; /* the last recycling took longer than a client should wait */
	/* Spent instances to destroy, and as many to make in their place. That is put off until no
	 * next request comes, or done for several at once while a guest runs and before the pool
	 * is empty: a thread that tidied after each answer would not be there for the next
	 * request, and forks and ends of processes would be in each request's way. */
	struct thaw_instance *spent[THAW_SPENT_MAX];
	unsigned spent_count;
	bool tidy_due;
	/* After a refill that failed: when to try again (CLOCK_MONOTONIC), and how long the wait
	 * is; the wait doubles from failure to failure. 0: the last refill did not fail. */
	uint64_t refill_at_ns, refill_wait_ns;
	bool just_recycled; /* an instance, which may be prefaulted when nothing else is to do */
	bool upkeep_due;    /* fresh instances may want prefaulting, or be too many */
	uint8_t frame[THAW_MESSAGE_MAX + 1];
	/* As much of a response as one frame takes, with the headers and the longest message. */
	uint8_t response[THAW_FRAME_PAYLOAD_MAX];
};

/* ---- A client and its requests ---- */

/* Body memory, and how many bytes of it are accounted for in worker.buffered_bytes. */
struct thaw_body {
	uint8_t *bytes;
	uint64_t length, reserved;
};

enum thaw_request_state {
	THAW_REQUEST_ASSEMBLING, /* pieces are still to come */
	THAW_REQUEST_DISCARDING, /* answered already; the rest of its pieces is thrown away */
	THAW_REQUEST_COMPLETE	 /* waits or runs */
};

/* One request of a client, from its first frame until it is answered. */
struct thaw_request {
	/* Under pool.lock. First, because the queue hands out nodes. */
	struct thaw_queue_node node;
	struct thaw_client *client; /* constant; a counted reference */

	/* Under the client's lock. */
	struct thaw_request *next, *previous; /* in the client's table */
	enum thaw_request_state state;
	bool cancelled;
	struct thaw_instance *instance; /* that runs it; NULL: none does */

	/* Of the thread that read it until it is in the queue, and then of the thread that takes it
	 * out: the client's lock or pool.lock hands it on. */
	uint64_t id, number, timeout_ns, length;
	const uint8_t *body;
	/* BODY's memory, when it is the request's own; its length is what has come so far. */
	struct thaw_body owned;
	uint64_t complete_ns, deadline_ns; /* CLOCK_MONOTONIC; 0: not yet, none */
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
	struct thaw_body owned; /* BODY's memory, when it is the message's own */
};

/* One connection to the function's socket. (`struct thaw_connection` is the client library's.) */
struct thaw_client {
	enum thaw_source source;    /* first: epoll's data points here */
	struct thaw_worker *worker; /* constant, as is fd */
	int fd;
	/* The serving threads' (one together), each request's, the housekeeping thread's. */
	_Atomic unsigned references;
	struct thaw_client *next, *previous; /* under worker.clients_lock */
	/* The client entered the epoll set. Written by the thread that reads the client, of which
	 * there is one at a time; arming hands the client on to the next one. */
	_Atomic bool in_epoll;

	pthread_mutex_t lock; /* guards all below, and what struct thaw_request says */
	struct thaw_request *requests;
	unsigned request_count; /* of them, of every state */
	unsigned unanswered;	/* of them, complete ones */
	struct thaw_output *output, **output_tail;
	uint64_t output_bytes;	  /* that wait in OUTPUT */
	bool output_watched;	  /* the housekeeping thread has a reference and waits for room */
	bool closing;		  /* no frame is looked at any more */
	bool finish_after_output; /* shut down when the last byte is out */
};

/* ---- threads.c ---- */

int thaw_worker_threads_start(struct thaw_worker *worker, struct thaw_error *err);

/* ---- frames.c ---- */

/* Reads CLIENT, which no other thread reads, until it has nothing to say, and does what its frames
 * ask for. The client is then another thread's, or gone. */
void thaw_client_read(struct thaw_worker_thread *thread, struct thaw_client *client);

/* ---- run.c ---- */

/* Runs a complete request, or queues or refuses it; then runs others that wait, while the thread
 * has the place. No lock is held. The request is gone afterwards. */
void thaw_request_serve(struct thaw_worker_thread *thread, struct thaw_request *request);

/* ---- control.c ---- */

/* The JSON answer to the operation JSON, to be freed; NULL without memory. No lock is held. */
char *thaw_worker_control(struct thaw_worker *worker, const char *json, size_t length);

/* ---- hold.c ---- */

/* From here on another thread may read CLIENT, or end it: the caller needs a reference of its own
 * to use it again. */
void thaw_client_arm(struct thaw_client *client);
/* Before the thread serves a request of CLIENT: holds the client or arms it. ALONE: none but this
 * request of the client's is unanswered. */
void thaw_client_hold(struct thaw_worker_thread *thread, struct thaw_client *client, bool alone);
/* Arms the client that THREAD holds, if it holds one. */
void thaw_client_release(struct thaw_worker_thread *thread);
/* Ends the connection and all that the client asked for. By the thread that reads it. */
void thaw_client_end(struct thaw_client *client);

/* ---- upkeep.c ---- */

/* What is left to do once REQUEST's answer is out: recycles INSTANCE, or has it recycled or
 * destroyed later. NULL: the instance was lost. */
void thaw_worker_leave(struct thaw_worker_thread *thread, struct thaw_instance *instance,
		       const struct thaw_frame_response *response);
/* Recycles the instance that THREAD put off recycling, if there is one. */
void thaw_worker_recycle(struct thaw_worker_thread *thread);
/* Destroys what requests of THREAD left, and refills the pool. A refill that fails stays due, and
 * is tried again after a while. */
void thaw_worker_tidy(struct thaw_worker_thread *thread);
/* Orders fresh instances until the pool has its target. A failure is logged, and -1. */
int thaw_worker_refill(struct thaw_worker *worker);
/* Prefaults fresh instances, and gives up those that are too many; while no request comes. */
void thaw_worker_upkeep(struct thaw_worker_thread *thread);

/* ---- housekeeping.c ---- */

int thaw_housekeeping_start(struct thaw_worker *worker, struct thaw_error *err);
/* A request waits in the queue: look at the deadlines there. */
void thaw_housekeeping_watch_queue(struct thaw_worker *worker);
/* Has the housekeeping thread look at everything anew. */
void thaw_housekeeping_wake(struct thaw_worker *worker);

/* ---- request.c; with the client's lock held, unless it says otherwise ---- */

/* Adds the request of frame VIEW to the client's table. NULL without memory. */
struct thaw_request *thaw_request_new(struct thaw_client *client,
				      const struct thaw_frame_view *view);
/* The request with ID; NULL: there is none. */
struct thaw_request *thaw_request_find(struct thaw_client *client, uint64_t id);
/* Takes the request out of the table, and gives back its reference: the caller needs another. */
void thaw_request_free(struct thaw_request *request);
/* Without a lock: gives a request that is complete its number and its deadline, and counts it. */
void thaw_request_complete(struct thaw_worker *worker, struct thaw_request *request);
/* Sends RESPONSE with MESSAGE and BODY, whose memory OWNED it takes over (OWNED is then empty), and
 * frees the request; one whose pieces still come is left DISCARDING. Answer and leaving the table
 * are one step under the lock: a client that has the answer may use the id again at once, and a
 * draining worker sends no goaway before the answer. */
void thaw_request_answer(struct thaw_request *request, struct thaw_frame_response *response,
			 const char *message, const uint8_t *body, struct thaw_body *owned);
/* Answers with STATUS, without a run. */
void thaw_request_refuse(struct thaw_request *request, enum thaw_status status,
			 const char *message);
/* Answers a request that ended with OUTCOME before an instance had it. */
void thaw_request_end_unrun(struct thaw_request *request, enum thaw_outcome_kind outcome,
			    const char *message);
/* The two above for a thread that holds neither the lock nor a reference of its own. */
void thaw_request_refuse_unlocked(struct thaw_request *request, enum thaw_status status,
				  const char *message);
void thaw_request_end_unrun_unlocked(struct thaw_request *request, enum thaw_outcome_kind outcome,
				     const char *message);
/* The client cancelled REQUEST. */
void thaw_request_cancel(struct thaw_request *request);
/* Without the lock: the client is gone. Kills what runs and frees what waits. */
void thaw_request_abandon_all(struct thaw_client *client);
bool thaw_request_expired(const struct thaw_request *request, uint64_t now_ns);
/* Without a lock: answers every request in the queue whose deadline has passed. */
void thaw_request_expire_queued(struct thaw_worker *worker);

/* ---- drain.c ---- */

/* Begins the end: stops accepting, and sends clients away. Any thread, no lock held. */
void thaw_worker_drain(struct thaw_worker *worker);
/* With the client's lock held: sends the client away if it has all its answers. */
void thaw_worker_drain_client(struct thaw_client *client);
/* Ends the process if nothing is left of a draining worker. By the housekeeping thread alone. */
void thaw_worker_exit_if_drained(struct thaw_worker *worker);

/* ---- output.c; with the client's lock held ---- */

/* Sends MESSAGE, whose owned memory it takes. What the client does not take at once is kept, and
 * copied where it is not owned. A client that makes the worker keep too much is cut off. */
void thaw_output_send(struct thaw_client *client, struct thaw_output *message);
/* Sends a last frame of TYPE with TEXT, and shuts the connection down once everything is out. */
void thaw_output_finish(struct thaw_client *client, enum thaw_frame_type type, const char *text);
/* Without the lock, by the housekeeping thread: CLIENT, which has output, had EVENTS. Sends what
 * waits as far as the client takes it. The client may be gone afterwards. */
void thaw_output_event(struct thaw_client *client, uint32_t events);

/* ---- client.c ---- */

/* Accepts a client of WORKER and lists it. NULL: there was none, or there are too many. */
struct thaw_client *thaw_client_accept(struct thaw_worker *worker);
/* Takes CLIENT out of the list and gives back the serving threads' reference. */
void thaw_client_unlist(struct thaw_client *client);
/* References are counted. The last one closes the descriptor, so that its number means no other
 * client while anything may still use it. Any thread. */
void thaw_client_get(struct thaw_client *client);
void thaw_client_put(struct thaw_client *client);
/* Shuts the connection down both ways, and throws away what came: unread frames would turn the
 * client's end of stream into a reset, and hide our last words from it. */
void thaw_client_shut(int fd);

/* ---- body.c; any thread ---- */

/* Accounts for BYTES more of body memory; false: the worker holds too much already. */
bool thaw_body_reserve(struct thaw_worker *worker, uint64_t bytes);
void thaw_body_release(struct thaw_worker *worker, uint64_t bytes);
/* Gives BODY's memory and account back; BODY is then empty. */
void thaw_body_free(struct thaw_worker *worker, struct thaw_body *body);
/* Makes BODY a request's own memory of LENGTH bytes and fills it from BYTES. False: no memory. */
bool thaw_body_copy(struct thaw_worker *worker, struct thaw_body *body, const uint8_t *bytes,
		    uint64_t length);
/* Gives BODY room for LENGTH bytes, of which none are accounted for yet. False: no memory. */
bool thaw_body_begin(struct thaw_body *body, uint64_t length);
/* Adds a piece to a body that was begun with enough room. False: the worker holds too much. */
bool thaw_body_add(struct thaw_worker *worker, struct thaw_body *body, const uint8_t *bytes,
		   uint64_t length);
/* Gives BODY room for at least LENGTH bytes, all accounted for; what it holds stays. False: no
 * memory, and BODY is as before. */
bool thaw_body_grow(struct thaw_worker *worker, struct thaw_body *body, uint64_t length);

/* ---- function_log.c; any thread, no lock held ---- */

/* A guest's line. 0, or THAW_EAGAIN when it was dropped for its rate. */
int thaw_worker_log_guest(struct thaw_worker *worker, uint64_t invocation, const char *line,
			  size_t length);
void thaw_worker_log_outcome(struct thaw_worker *worker, uint64_t invocation,
			     const struct thaw_outcome *outcome);

#endif
