/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which thread reads a client. One does at a time: the client's event is one-shot, and the thread
 * that took it arms it again before it runs a guest, so that another thread sees what the client
 * sends next (another request, a cancel, its end).
 *
 * For a client that sends one request at a time, arming would be a system call without use, and the
 * next request would wake another thread than the one that is there. The thread therefore *holds*
 * such a client. It arms the client once the guest has taken THAW_SLOW_NS, or when the answer is
 * out, the instance is recycled and nothing has come for THAW_LINGER_MS. Until then the thread
 * waits in recv(), which saves the next request one system call and one wake-up.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "pool/worker/worker.h"

void thaw_client_end(struct thaw_client *client)
{
	epoll_ctl(client->worker->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
	thaw_client_shut(client->fd);
	thaw_request_abandon_all(client);
	thaw_client_unlist(client);
}

/* The client enters the epoll set with its first arming and not before: a hang-up is reported even
 * for an entry that asks for nothing. */
void thaw_client_arm(struct thaw_client *client)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
				    .data.ptr = client};
	bool again = atomic_load_explicit(&client->in_epoll, memory_order_relaxed);
	int epoll_fd = client->worker->epoll_fd, fd = client->fd;

	/* Release, with the acquire of the thread that takes the event: the kernel orders the two
	 * threads anyway, and this says it in C. The client may be gone when epoll_ctl()
	 * returns. */
	atomic_store_explicit(&client->in_epoll, true, memory_order_release);
	if (epoll_ctl(epoll_fd, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0)
		return;
	thaw_log(THAW_LOG_error, "cannot watch a connection: %s", strerror(errno));
	thaw_client_end(client);
}

void thaw_client_release(struct thaw_worker_thread *thread)
{
	struct thaw_client *client = thread->held;

	thread->held = NULL;
	if (client)
		thaw_client_arm(client);
}

/* Under KVM the thread is the guest, and would not arm in time. */
void thaw_client_hold(struct thaw_worker_thread *thread, struct thaw_client *client, bool alone)
{
	thread->held = client;
	if (!alone || thaw_engine_backend(thread->worker->engine) != THAW_BACKEND_PROCESS)
		thaw_client_release(thread);
}
