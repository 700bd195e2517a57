/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a worker that is replaced, removed or stopped: it accepts nobody, runs what it has
 * read, answers, and tells each client with a goaway frame that nothing else of what it sent was or
 * will be run here.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

void thaw_worker_drain_connection(struct thaw_connection *connection)
{
	if (connection->unanswered == 0 && !connection->closing)
		thaw_output_finish(connection, THAW_FRAME_goaway, "");
}

void thaw_worker_drain(struct thaw_worker *worker)
{
	struct thaw_connection *connection;
	uint64_t one = 1;
	ssize_t written;

	if (atomic_exchange(&worker->draining, true))
		return;
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, worker->listen_fd, NULL);
	pthread_mutex_lock(&worker->connections_lock);
	for (connection = worker->connections; connection; connection = connection->next) {
		pthread_mutex_lock(&connection->lock);
		thaw_worker_drain_connection(connection);
		pthread_mutex_unlock(&connection->lock);
	}
	pthread_mutex_unlock(&worker->connections_lock);
	/* The tender looks from now on whether anything is left. */
	written = write(worker->tend_wake_fd, &one, sizeof(one));
	(void)written;
}

/* Runs in the tender alone, so the time since the last invocation needs no lock. */
void thaw_worker_exit_if_drained(struct thaw_worker *worker)
{
	static uint64_t idle_since_ns;
	struct thaw_gauges gauges;
	unsigned left;

	thaw_pool_get_gauges(&worker->pool, &gauges);
	if (gauges.busy || gauges.queued)
		idle_since_ns = 0;
	else if (!idle_since_ns)
		idle_since_ns = thaw_monotonic_ns();
	pthread_mutex_lock(&worker->connections_lock);
	left = worker->connection_count;
	pthread_mutex_unlock(&worker->connections_lock);
	if (left && (!idle_since_ns ||
		     thaw_monotonic_ns() - idle_since_ns < THAW_DRAIN_GRACE_MS * THAW_NS_PER_MS))
		return;
	if (left)
		thaw_log(THAW_LOG_warning, "%u clients did not take their answers in time", left);
	/* No tidying: threads still wait in epoll, and the process's end takes the instances along.
	 */
	_exit(0);
}
