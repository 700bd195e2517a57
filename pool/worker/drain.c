/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a worker that is replaced, removed or stopped. It accepts no more clients, runs what
 * it has read whole, answers, and sends each client away with a goaway frame: nothing else that the
 * client sent was or will be run here.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

void thaw_worker_drain_client(struct thaw_client *client)
{
	if (client->unanswered == 0 && !client->closing)
		thaw_output_finish(client, THAW_FRAME_goaway, "");
}

void thaw_worker_drain(struct thaw_worker *worker)
{
	struct thaw_client *client;

	if (atomic_exchange(&worker->draining, true))
		return;
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, worker->listen_fd, NULL);
	pthread_mutex_lock(&worker->clients_lock);
	for (client = worker->clients; client; client = client->next) {
		pthread_mutex_lock(&client->lock);
		thaw_worker_drain_client(client);
		pthread_mutex_unlock(&client->lock);
	}
	pthread_mutex_unlock(&worker->clients_lock);
}

void thaw_worker_exit_if_drained(struct thaw_worker *worker)
{
	struct thaw_gauges gauges;
	unsigned left;

	thaw_pool_get_gauges(&worker->pool, &gauges);
	if (gauges.busy || gauges.queued)
		worker->idle_since_ns = 0;
	else if (!worker->idle_since_ns)
		worker->idle_since_ns = thaw_monotonic_ns();
	pthread_mutex_lock(&worker->clients_lock);
	left = worker->client_count;
	pthread_mutex_unlock(&worker->clients_lock);
	if (left && (!worker->idle_since_ns ||
		     thaw_monotonic_ns() - worker->idle_since_ns < worker->drain_grace_ns))
		return;
	if (left)
		thaw_log(THAW_LOG_warning, "%u clients did not take their answers in time", left);
	/* Without destructors: threads still wait in epoll, and the end of the process takes the
	 * instances along. */
	_exit(0);
}
