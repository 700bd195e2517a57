/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender: one thread for what nobody else waits for. It sends to clients that read slowly, and
 * answers requests whose deadline passes while they wait in the queue. It alone takes connections
 * out of its epoll set, so an event can never name one that is gone.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/thread.h"

/* How late the answer of a request that expired in the queue may be. */
#define QUEUE_TICK_MS 5

void thaw_worker_tend_output(struct thaw_connection *connection)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};

	if (connection->tended)
		return;
	if (epoll_ctl(connection->worker->tend_epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) <
	    0) {
		thaw_log(THAW_LOG_error, "cannot watch a slow client; it is cut off");
		shutdown(connection->fd, SHUT_RDWR);
		thaw_output_drop(connection);
		return;
	}
	connection->tended = true;
	thaw_connection_get(connection);
}

static void tend_connection(struct thaw_connection *connection, uint32_t events)
{
	bool done;

	pthread_mutex_lock(&connection->lock);
	if (events & (EPOLLERR | EPOLLHUP))
		thaw_output_drop(connection);
	thaw_output_flush(connection);
	done = !connection->output;
	if (done) {
		epoll_ctl(connection->worker->tend_epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
		connection->tended = false;
	}
	pthread_mutex_unlock(&connection->lock);
	if (done)
		thaw_connection_put(connection);
}

void thaw_worker_tend_queue(struct thaw_worker *worker)
{
	uint64_t one = 1;
	ssize_t written;

	/* Only the first that waits wakes the tender: it then looks by itself until nothing waits.
	 */
	if (atomic_exchange(&worker->tend_queue, true))
		return;
	written = write(worker->tend_wake_fd, &one, sizeof(one));
	(void)written;
}

static void tend_queue(struct thaw_worker *worker)
{
	struct thaw_gauges gauges;

	/* Cleared before the look, so that one who queues after it wakes the tender again. */
	atomic_store(&worker->tend_queue, false);
	thaw_request_expire_queued(worker);
	thaw_pool_get_gauges(&worker->pool, &gauges);
	if (gauges.queued > 0)
		atomic_store(&worker->tend_queue, true);
}

static void *tend(void *argument)
{
	struct thaw_worker *worker = argument;

	for (;;) {
		struct epoll_event event;
		int timeout_ms = atomic_load(&worker->tend_queue) || atomic_load(&worker->draining)
					 ? QUEUE_TICK_MS
					 : -1;
		int count = epoll_wait(worker->tend_epoll_fd, &event, 1, timeout_ms);

		if (count == 1 && event.data.ptr)
			tend_connection(event.data.ptr, event.events);
		if (count == 1 && !event.data.ptr) {
			uint64_t woken;
			ssize_t got = read(worker->tend_wake_fd, &woken, sizeof(woken));

			(void)got;
		}
		if (atomic_load(&worker->tend_queue))
			tend_queue(worker);
		if (atomic_load(&worker->draining))
			thaw_worker_exit_if_drained(worker);
	}
	return NULL;
}

int thaw_worker_tend_start(struct thaw_worker *worker, struct thaw_error *err)
{
	struct epoll_event event = {.events = EPOLLIN};
	pthread_t thread;
	int failed;

	worker->tend_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->tend_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->tend_epoll_fd < 0 || worker->tend_wake_fd < 0 ||
	    epoll_ctl(worker->tend_epoll_fd, EPOLL_CTL_ADD, worker->tend_wake_fd, &event) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot start the tender");
	failed = thaw_thread_start(&thread, NULL, tend, worker);
	if (failed)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, failed, "cannot start the tender");
	pthread_detach(thread);
	return 0;
}
