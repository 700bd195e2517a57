/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to a client. A message that fits the socket is one system call from the memory where it
 * was made. What the client does not take at once is kept, and the housekeeping thread sends it, so
 * a slow client costs memory, bounded, and nothing else.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "pool/worker/worker.h"

static bool complete(const struct thaw_output *message)
{
	return message->begun && message->sent == message->length;
}

/* Sends the next frame. 1: it is out; 0: the client does not take it now; -1: the client is
 * gone. */
static int send_frame(int fd, struct thaw_output *message)
{
	size_t head_length = message->begun ? 0 : message->head_length;
	uint64_t left = message->length - message->sent;
	size_t piece = left < THAW_FRAME_PAYLOAD_MAX - head_length
			       ? (size_t)left
			       : THAW_FRAME_PAYLOAD_MAX - head_length;
	struct thaw_frame frame = {
		.type = message->begun ? message->rest_type : message->type,
		.flags = piece < left ? THAW_FRAME_MORE : 0,
		.id = message->id,
	};
	const struct iovec parts[] = {
		thaw_frame_part(message->head, head_length),
		thaw_frame_part(message->body + message->sent, piece),
	};
	enum thaw_frame_sent sent = thaw_frame_send(fd, &frame, parts, 2);

	if (sent != THAW_FRAME_SENT)
		return sent == THAW_FRAME_NO_ROOM ? 0 : -1;
	message->begun = true;
	message->sent += piece;
	return 1;
}

static int send_frames(int fd, struct thaw_output *message)
{
	int sent = 1;

	while (sent == 1 && !complete(message))
		sent = send_frame(fd, message);
	return sent;
}

static uint64_t bytes_left(const struct thaw_output *message)
{
	return message->length - message->sent + (message->begun ? 0 : message->head_length);
}

/* A copy of MESSAGE that owns its memory. Its head, and what is left of a body that the message
 * does not own, are copied into the same allocation. */
static struct thaw_output *keep(struct thaw_worker *worker, const struct thaw_output *message)
{
	uint64_t copied = message->owned.bytes ? 0 : message->length - message->sent;
	size_t head_length = message->begun ? 0 : message->head_length;
	struct thaw_output *kept;
	uint8_t *room;

	if (!thaw_body_reserve(worker, copied))
		return NULL;
	kept = malloc(sizeof(*kept) + head_length + copied);
	if (!kept) {
		thaw_body_release(worker, copied);
		return NULL;
	}
	room = (uint8_t *)(kept + 1);
	*kept = *message;
	kept->next = NULL;
	kept->head = room;
	if (head_length)
		memcpy(room, message->head, head_length);
	if (copied) {
		kept->body = memcpy(room + head_length, message->body + message->sent, copied);
		kept->length = copied;
		kept->sent = 0;
	}
	kept->owned.reserved += copied;
	return kept;
}

static void free_message(struct thaw_worker *worker, struct thaw_output *message)
{
	thaw_body_free(worker, &message->owned);
	free(message);
}

static void drop(struct thaw_client *client)
{
	struct thaw_output *message;

	while ((message = client->output)) {
		client->output = message->next;
		free_message(client->worker, message);
	}
	client->output_bytes = 0;
}

/* The thread that reads the client sees the hang-up that this makes, and ends the connection. */
static void cut_off(struct thaw_client *client)
{
	shutdown(client->fd, SHUT_RDWR);
	drop(client);
}

/* Has the housekeeping thread send what waits, as the client makes room for it. */
static void watch_output(struct thaw_client *client)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = client};

	if (client->output_watched)
		return;
	if (epoll_ctl(client->worker->housekeeping_epoll_fd, EPOLL_CTL_ADD, client->fd, &event) <
	    0) {
		thaw_log(THAW_LOG_error, "cannot watch a slow client; it is cut off");
		cut_off(client);
		return;
	}
	client->output_watched = true;
	thaw_client_get(client);
}

static void enqueue(struct thaw_client *client, struct thaw_output *message)
{
	struct thaw_worker *worker = client->worker;
	struct thaw_output *kept = NULL;

	if (client->output_bytes + bytes_left(message) <= THAW_OUTPUT_MAX)
		kept = keep(worker, message);
	if (!kept) {
		thaw_log(THAW_LOG_warning, "a client that does not read its answers is cut off");
		thaw_body_free(worker, &message->owned);
		cut_off(client);
		return;
	}
	if (!client->output)
		client->output_tail = &client->output;
	*client->output_tail = kept;
	client->output_tail = &kept->next;
	client->output_bytes += bytes_left(kept);
	watch_output(client);
}

void thaw_output_send(struct thaw_client *client, struct thaw_output *message)
{
	int sent = client->output ? 0 : send_frames(client->fd, message);

	if (sent == 0) {
		enqueue(client, message);
		return;
	}
	thaw_body_free(client->worker, &message->owned);
	if (sent < 0)
		cut_off(client);
}

static void flush(struct thaw_client *client)
{
	while (client->output) {
		struct thaw_output *message = client->output;
		uint64_t before = bytes_left(message);
		int sent = send_frames(client->fd, message);

		if (sent < 0) {
			cut_off(client);
			return;
		}
		client->output_bytes -= before - bytes_left(message);
		if (sent == 0)
			return;
		client->output = message->next;
		free_message(client->worker, message);
	}
	if (client->finish_after_output)
		shutdown(client->fd, SHUT_RDWR);
}

void thaw_output_event(struct thaw_client *client, uint32_t events)
{
	bool done;

	pthread_mutex_lock(&client->lock);
	if (events & (EPOLLERR | EPOLLHUP))
		drop(client);
	flush(client);
	done = !client->output;
	if (done) {
		epoll_ctl(client->worker->housekeeping_epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
		client->output_watched = false;
	}
	pthread_mutex_unlock(&client->lock);
	if (done)
		thaw_client_put(client);
}

void thaw_output_finish(struct thaw_client *client, enum thaw_frame_type type, const char *text)
{
	struct thaw_output message = {
		.type = (uint8_t)type, .body = (const uint8_t *)text, .length = strlen(text)};

	if (client->finish_after_output)
		return;
	client->closing = true;
	client->finish_after_output = true;
	thaw_output_send(client, &message);
	if (!client->output)
		shutdown(client->fd, SHUT_RDWR);
}
