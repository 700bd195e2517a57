/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serving threads: leader and followers on one epoll set. Whoever takes an event does all that
 * it asks for, the run of a guest included, so no request is handed from thread to thread. Threads
 * are started when the last one that waits leaves; one is thus always at hand for cancels, hang-ups
 * and the next request.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/thread.h"

/* Beside those that may run a guest: one that waits, one that reads, one that prewarms, and those
 * that wait for one client alone. */
#define SPARE_THREADS (3u + THAW_LINGER_MOST)
#define FIRST_THREADS 2u
#define STACK_SIZE    (1u << 20)
#define TIDY_AFTER_MS 1
#define LOOK_AGAIN_MS 20 /* at instances that were not made yet, or are too many */

static int start_thread(struct thaw_worker *worker);

static void keep_one_waiting(struct thaw_worker *worker)
{
	unsigned threads = atomic_load(&worker->threads);

	do {
		if (threads >= worker->config.concurrency + SPARE_THREADS)
			return;
	} while (!atomic_compare_exchange_weak(&worker->threads, &threads, threads + 1));
	/* Without it the function is served with fewer threads; the next event tries again. */
	if (start_thread(worker) < 0)
		atomic_fetch_sub(&worker->threads, 1);
}

static void front_event(struct thaw_worker *worker)
{
	struct thaw_worker_drain order;
	ssize_t got = recv(worker->front_fd, &order, sizeof(order), MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Without a front there is nobody to supervise this function, and a new front starts it
	 * afresh. */
	if (got <= 0)
		_exit(1);
	if ((size_t)got == sizeof(order) && order.version == THAW_WORKER_PROTOCOL)
		thaw_worker_drain(worker);
}

static void handle(struct thaw_worker_thread *thread, const struct epoll_event *event)
{
	const enum thaw_source *source = event->data.ptr;

	switch (*source) {
	case THAW_SOURCE_LISTEN:
		thaw_worker_accept(thread);
		break;
	case THAW_SOURCE_FRONT:
		front_event(thread->worker);
		break;
	case THAW_SOURCE_CONNECTION:
		thaw_connection_event(thread, event->data.ptr, event->events);
		break;
	}
}

static void *serve(void *argument)
{
	struct thaw_worker_thread *thread = argument;
	struct thaw_worker *worker = thread->worker;
	bool looked = false; /* just now, and nothing has come since */

	for (;;) {
		struct epoll_event event;
		int count, timeout_ms = -1;

		if (thread->recycled)
			timeout_ms = 0;
		else if (thread->untidy || (thread->unprepared && !looked))
			timeout_ms = TIDY_AFTER_MS;
		else if (thread->unprepared)
			timeout_ms = LOOK_AGAIN_MS;
		atomic_fetch_add(&worker->waiting, 1);
		count = epoll_wait(worker->epoll_fd, &event, 1, timeout_ms);
		if (atomic_fetch_sub(&worker->waiting, 1) == 1)
			keep_one_waiting(worker);
		looked = count == 0;
		if (count == 1) {
			handle(thread, &event);
			thaw_worker_put_back(thread);
		} else if (count == 0) {
			if (!thread->recycled)
				thaw_worker_tidy(thread);
			thread->recycled = false;
			thaw_worker_prepare(thread);
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
	state->used = NULL;
	state->spent_count = 0;
	state->untidy = state->recycled = state->puts_back_slowly = false;
	state->unprepared = true;
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
