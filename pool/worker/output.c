/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to a client. A message that fits the socket is one system call from the memory where it
 * was made; what the client does not take at once is kept and sent by the tender, so a slow client
 * costs memory, bounded, and nothing else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "pool/worker/worker.h"

void thaw_body_free(struct thaw_worker *worker, struct thaw_body *body)
{
	free(body->bytes);
	thaw_worker_release(worker, body->reserved);
	*body = (struct thaw_body){0};
}

static bool complete(const struct thaw_output *message)
{
	return message->begun && message->sent == message->length;
}

/* Sends the next frame. 1: it is out, 0: the client does not take it now, -1: it never will. */
static int send_frame(int fd, struct thaw_output *message)
{
	size_t head_length = message->begun ? 0 : message->head_length;
	uint64_t left = message->length - message->sent;
	size_t piece = left < THAW_FRAME_PAYLOAD_MAX - head_length
			       ? (size_t)left
			       : THAW_FRAME_PAYLOAD_MAX - head_length;
	struct thaw_frame frame = {
		.version = THAW_PROTOCOL_VERSION,
		.type = message->begun ? message->rest_type : message->type,
		.flags = piece < left ? THAW_FRAME_MORE : 0,
		.length = (uint32_t)(head_length + piece),
		.id = message->id,
	};
	struct iovec pieces[3] = {
		{&frame, sizeof(frame)},
		/* sendmsg() only reads through these. */
		{(void *)(uintptr_t)message->head, head_length},
		{(void *)(uintptr_t)(message->body + message->sent), piece},
	};
	struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 3};

	while (sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		return errno == EAGAIN ? 0 : -1;
	}
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

/* Makes MESSAGE one that owns its memory; head and rest of the body share an allocation where they
 * must be copied. */
static struct thaw_output *keep(struct thaw_worker *worker, const struct thaw_output *message)
{
	uint64_t copied = message->owned.bytes ? 0 : message->length - message->sent;
	size_t head_length = message->begun ? 0 : message->head_length;
	struct thaw_output *kept;
	uint8_t *room;

	if (!thaw_worker_reserve(worker, copied))
		return NULL;
	kept = malloc(sizeof(*kept) + head_length + copied);
	if (!kept) {
		thaw_worker_release(worker, copied);
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

/* The reader sees the hang-up that this makes, and ends the connection. */
static void cut_off(struct thaw_connection *connection)
{
	shutdown(connection->fd, SHUT_RDWR);
	thaw_output_drop(connection);
}

static void enqueue(struct thaw_connection *connection, struct thaw_output *message)
{
	struct thaw_worker *worker = connection->worker;
	struct thaw_output *kept = NULL;

	if (connection->output_bytes + bytes_left(message) <= THAW_OUTPUT_MAX)
		kept = keep(worker, message);
	if (!kept) {
		thaw_log(THAW_LOG_warning, "a client that does not read its answers is cut off");
		thaw_body_free(worker, &message->owned);
		cut_off(connection);
		return;
	}
	if (!connection->output)
		connection->output_tail = &connection->output;
	*connection->output_tail = kept;
	connection->output_tail = &kept->next;
	connection->output_bytes += bytes_left(kept);
	thaw_worker_tend_output(connection);
}

void thaw_output_send(struct thaw_connection *connection, struct thaw_output *message)
{
	int sent = connection->output ? 0 : send_frames(connection->fd, message);

	if (sent == 0) {
		enqueue(connection, message);
		return;
	}
	thaw_body_free(connection->worker, &message->owned);
	if (sent < 0)
		cut_off(connection);
}

void thaw_output_flush(struct thaw_connection *connection)
{
	while (connection->output) {
		struct thaw_output *message = connection->output;
		uint64_t before = bytes_left(message);
		int sent = send_frames(connection->fd, message);

		if (sent < 0) {
			cut_off(connection);
			return;
		}
		connection->output_bytes -= before - bytes_left(message);
		if (sent == 0)
			return;
		connection->output = message->next;
		free_message(connection->worker, message);
	}
	if (connection->finish_after_output)
		shutdown(connection->fd, SHUT_RDWR);
}

void thaw_output_drop(struct thaw_connection *connection)
{
	struct thaw_output *message;

	while ((message = connection->output)) {
		connection->output = message->next;
		free_message(connection->worker, message);
	}
	connection->output_bytes = 0;
}

void thaw_output_finish(struct thaw_connection *connection, enum thaw_frame_type type,
			const char *text)
{
	struct thaw_output message = {
		.type = (uint8_t)type, .body = (const uint8_t *)text, .length = strlen(text)};

	if (connection->finish_after_output)
		return;
	connection->closing = true;
	connection->finish_after_output = true;
	thaw_output_send(connection, &message);
	if (!connection->output)
		shutdown(connection->fd, SHUT_RDWR);
}
