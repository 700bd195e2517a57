/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serving threads: leader and followers on one epoll set. The thread that takes an event does
 * all that it asks for, the run of a guest included, so no request is handed from thread to thread.
 * When the last thread that waits takes an event, another is started: one is always at hand for
 * cancels, hang-ups and the next request.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/thread.h"

/* Threads beside those that may run a guest: one that waits, one that reads, one that prewarms, and
 * those that wait for one client alone. */
#define SPARE_THREADS (3u + THAW_LINGER_MOST)
#define FIRST_THREADS 2u
#define STACK_SIZE    (1u << 20)
#define TIDY_AFTER_MS 1
/* At instances that were not ready yet, or are too many, or could not be made. */
#define LOOK_AGAIN_MS 20

static int start_thread(struct thaw_worker *worker);

static void keep_one_waiting(struct thaw_worker *worker)
{
	unsigned threads = atomic_load(&worker->threads);

	do {
		if (threads >= worker->config.concurrency + SPARE_THREADS)
			return;
	} while (!atomic_compare_exchange_weak(&worker->threads, &threads, threads + 1));
	/* A failure leaves fewer threads to serve the function; the next event tries again. */
	if (start_thread(worker) < 0)
		atomic_fetch_sub(&worker->threads, 1);
}

static void front_event(struct thaw_worker *worker)
{
	struct thaw_worker_drain order;
	ssize_t got = recv(worker->front_fd, &order, sizeof(order), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* The front is gone and nothing supervises this worker; a new front starts another. */
	if (got <= 0)
		_exit(1);
	if ((size_t)got != sizeof(order) || order.version != THAW_WORKER_PROTOCOL)
		return;
	thaw_worker_drain(worker);
	/* From now on the housekeeping thread looks whether anything is left. */
	thaw_housekeeping_wake(worker);
}

static void accept_event(struct thaw_worker_thread *thread)
{
	struct thaw_worker *worker = thread->worker;
	struct thaw_client *client = thaw_client_accept(worker);
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
				    .data.ptr = &worker->listen_source};

	/* Fails, rightly, when the worker has begun to drain and no longer listens. */
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, worker->listen_fd, &event);
	/* Most clients send at once: look before waiting for an event. */
	if (client)
		thaw_client_read(thread, client);
}

static void client_event(struct thaw_worker_thread *thread, struct thaw_client *client,
			 uint32_t events)
{
	/* Acquire what the thread that armed the client did. */
	thaw_assert(atomic_load_explicit(&client->in_epoll, memory_order_acquire));
	if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		thaw_client_end(client);
	else
		thaw_client_read(thread, client);
}

static void handle(struct thaw_worker_thread *thread, const struct epoll_event *event)
{
	const enum thaw_source *source = event->data.ptr;

	switch (*source) {
	case THAW_SOURCE_LISTEN:
		accept_event(thread);
		break;
	case THAW_SOURCE_FRONT:
		front_event(thread->worker);
		break;
	case THAW_SOURCE_CLIENT:
		client_event(thread, event->data.ptr, event->events);
		break;
	}
}

/* How long to wait for an event before what is left to do is done. LOOKED: it was tried already,
 * and no event has come since. */
static int patience_ms(const struct thaw_worker_thread *thread, bool looked)
{
	bool tidies = thread->tidy_due && !thread->refill_at_ns;

	if (thread->just_recycled)
		return 0;
	if (tidies || (thread->upkeep_due && !looked))
		return TIDY_AFTER_MS;
	return thread->tidy_due || thread->upkeep_due ? LOOK_AGAIN_MS : -1;
}

static void *serve(void *argument)
{
	struct thaw_worker_thread *thread = argument;
	struct thaw_worker *worker = thread->worker;
	bool looked = false;

	for (;;) {
		struct epoll_event event;
		int count;

		atomic_fetch_add(&worker->waiting, 1);
		count = epoll_wait(worker->epoll_fd, &event, 1, patience_ms(thread, looked));
		if (atomic_fetch_sub(&worker->waiting, 1) == 1)
			keep_one_waiting(worker);
		looked = count == 0;
		if (count == 1) {
			handle(thread, &event);
			thaw_worker_recycle(thread);
		} else if (count == 0) {
			if (!thread->just_recycled)
				thaw_worker_tidy(thread);
			thread->just_recycled = false;
			thaw_worker_upkeep(thread);
		}
	}
	return NULL;
}

static int start_thread(struct thaw_worker *worker)
{
	struct thaw_worker_thread *state = malloc(sizeof(*state));
	pthread_attr_t attributes;
	pthread_t thread;
	int failed;

	if (!state)
		return -ENOMEM;
	state->worker = worker;
	state->held = NULL;
	state->to_recycle = NULL;
	state->spent_count = 0;
	state->tidy_due = state->just_recycled = state->recycles_slowly = false;
	state->refill_at_ns = state->refill_wait_ns = 0;
	state->upkeep_due = true;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	failed = thaw_thread_start(&thread, &attributes, serve, state);
	pthread_attr_destroy(&attributes);
	if (failed)
		free(state);
	return -failed;
}

static int watch(struct thaw_worker *worker, int fd, enum thaw_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int thaw_worker_threads_start(struct thaw_worker *worker, struct thaw_error *err)
{
	worker->listen_source = THAW_SOURCE_LISTEN;
	worker->front_source = THAW_SOURCE_FRONT;
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll_fd < 0 ||
	    watch(worker, worker->listen_fd, &worker->listen_source, EPOLLIN | EPOLLONESHOT) < 0 ||
	    watch(worker, worker->front_fd, &worker->front_source, EPOLLIN) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot watch the sockets");
	for (unsigned i = 0; i < FIRST_THREADS; i++) {
		int failed = start_thread(worker);

		if (failed < 0)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, -failed,
					       "cannot start a serving thread");
		atomic_fetch_add(&worker->threads, 1);
	}
	return 0;
}
