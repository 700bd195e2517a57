/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The housekeeping thread waits for what no serving thread waits for: for room in the sockets of
 * clients that read slowly, for deadlines of requests in the queue, and for the end of a worker
 * that drains. It alone takes clients out of its epoll set, so an event never names a client that
 * is gone.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/thread.h"

/* How late the answer of a request that expired in the queue may be. */
#define QUEUE_TICK_MS 5

void thaw_housekeeping_wake(struct thaw_worker *worker)
{
	uint64_t one = 1;

	(void)!write(worker->housekeeping_wake_fd, &one, sizeof(one));
}

void thaw_housekeeping_watch_queue(struct thaw_worker *worker)
{
	/* Only the first request that waits wakes the thread, which then looks by itself until
	 * none waits. */
	if (!atomic_exchange(&worker->queue_has_deadline, true))
		thaw_housekeeping_wake(worker);
}

static void look_at_queue(struct thaw_worker *worker)
{
	struct thaw_gauges gauges;

	/* Cleared before the look, so that a request queued after it wakes the thread again. */
	atomic_store(&worker->queue_has_deadline, false);
	thaw_request_expire_queued(worker);
	thaw_pool_get_gauges(&worker->pool, &gauges);
	if (gauges.queued > 0)
		atomic_store(&worker->queue_has_deadline, true);
}

static void *keep_house(void *argument)
{
	struct thaw_worker *worker = argument;

	for (;;) {
		struct epoll_event event;
		bool ticks =
			atomic_load(&worker->queue_has_deadline) || atomic_load(&worker->draining);
		int count = epoll_wait(worker->housekeeping_epoll_fd, &event, 1,
				       ticks ? QUEUE_TICK_MS : -1);
		uint64_t woken;

		if (count == 1 && event.data.ptr)
			thaw_output_event(event.data.ptr, event.events);
		else if (count == 1)
			(void)!read(worker->housekeeping_wake_fd, &woken, sizeof(woken));
		if (atomic_load(&worker->queue_has_deadline))
			look_at_queue(worker);
		if (atomic_load(&worker->draining))
			thaw_worker_exit_if_drained(worker);
	}
	return NULL;
}

int thaw_housekeeping_start(struct thaw_worker *worker, struct thaw_error *err)
{
	struct epoll_event event = {.events = EPOLLIN};
	pthread_t thread;
	int failed;

	worker->housekeeping_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->housekeeping_wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->housekeeping_epoll_fd < 0 || worker->housekeeping_wake_fd < 0 ||
	    epoll_ctl(worker->housekeeping_epoll_fd, EPOLL_CTL_ADD, worker->housekeeping_wake_fd,
		      &event) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot start the housekeeping thread");
	failed = thaw_thread_start(&thread, NULL, keep_house, worker);
	if (failed)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, failed,
				       "cannot start the housekeeping thread");
	pthread_detach(thread);
	return 0;
}
