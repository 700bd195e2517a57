/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's life: from accept() to the last reference. The serving threads have one reference
 * together, until thaw_client_end(); each request has one, and so has the housekeeping thread while
 * output waits. Memory and descriptor go with the last.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/worker/worker.h"

/* ---- References ---- */

void thaw_client_get(struct thaw_client *client)
{
	atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
}

void thaw_client_put(struct thaw_client *client)
{
	/* The thread that frees must see all that the others did: release on the way down, acquire
	 * at the end. */
	if (atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1)
		return;
	/* Output that waits has the housekeeping thread's reference. */
	thaw_assert(!client->output);
	close(client->fd);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

void thaw_client_shut(int fd)
{
	char byte;

	shutdown(fd, SHUT_RDWR);
	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT | MSG_TRUNC) > 0)
		;
}

/* ---- The list ---- */

static struct thaw_client *client_new(struct thaw_worker *worker, int fd)
{
	static const struct timeval linger = {THAW_LINGER_MS / 1000, THAW_LINGER_MS % 1000 * 1000};
	struct thaw_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &linger, sizeof(linger))) {
		free(client);
		return NULL;
	}
	*client = (struct thaw_client){
		.source = THAW_SOURCE_CLIENT,
		.worker = worker,
		.fd = fd,
		.references = 1,
	};
	pthread_mutex_init(&client->lock, NULL);
	return client;
}

/* With clients_lock held. */
static void list(struct thaw_client *client)
{
	struct thaw_worker *worker = client->worker;

	client->next = worker->clients;
	if (client->next)
		client->next->previous = client;
	worker->clients = client;
	worker->client_count++;
}

void thaw_client_unlist(struct thaw_client *client)
{
	struct thaw_worker *worker = client->worker;

	pthread_mutex_lock(&worker->clients_lock);
	if (client->previous)
		client->previous->next = client->next;
	else
		worker->clients = client->next;
	if (client->next)
		client->next->previous = client->previous;
	worker->client_count--;
	pthread_mutex_unlock(&worker->clients_lock);
	thaw_client_put(client);
}

/* ---- Accepting ---- */

static void turn_away(int fd)
{
	static const char text[] = "too many connections are open";
	struct thaw_frame frame = {.type = THAW_FRAME_protocol_error};
	struct iovec part = thaw_frame_part(text, sizeof(text) - 1);

	thaw_frame_send(fd, &frame, &part, 1);
	thaw_client_shut(fd);
	close(fd);
}

/* Accepting and listing are one step for thaw_worker_drain(): a client is either in the list, or
 * left for another worker to accept. */
struct thaw_client *thaw_client_accept(struct thaw_worker *worker)
{
	struct thaw_client *client = NULL;
	int fd = -1;

	pthread_mutex_lock(&worker->clients_lock);
	if (!atomic_load(&worker->draining))
		fd = accept4(worker->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && worker->client_count < THAW_CLIENTS_MAX)
		client = client_new(worker, fd);
	if (client)
		list(client);
	pthread_mutex_unlock(&worker->clients_lock);
	if (client)
		thaw_count(&worker->metrics.connections, 1);
	if (fd >= 0 && !client) {
		thaw_count(&worker->metrics.connections_refused, 1);
		turn_away(fd);
	}
	return client;
}
