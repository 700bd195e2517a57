/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted worker; see fake_worker.h. */
#include "fake_worker.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pool/common/paths.h"

static void *accept_all(void *argument)
{
	struct fake_worker *worker = argument;

	for (unsigned number = 0;; number++) {
		int fd = accept4(worker->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		worker->serve(worker, fd, number);
		close(fd);
	}
}

void fake_daemon_start(struct fake_worker *worker)
{
	char path[128];

	memset(worker, 0, sizeof(*worker));
	worker->listen_fd = -1;
	strcpy(worker->run, "/tmp/thaw-client-test-XXXXXX");
	cr_assert(mkdtemp(worker->run));
	snprintf(path, sizeof(path), "%s/" THAW_SOCKET_DIRECTORY, worker->run);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(thaw_paths_lock(worker->run, &worker->lock_fd, NULL), 0);
}

void fake_worker_start(struct fake_worker *worker,
		       void (*serve)(struct fake_worker *, int, unsigned), const void *context)
{
	struct sockaddr_un address;
	socklen_t length;

	fake_daemon_start(worker);
	worker->serve = serve;
	worker->context = context;
	cr_assert_eq(thaw_paths_socket(worker->run, FAKE_NAME, &address, &length, NULL), 0);
	worker->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(worker->listen_fd, (const struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(worker->listen_fd, 16), 0);
	cr_assert_eq(pthread_create(&worker->thread, NULL, accept_all, worker), 0);
}

void fake_worker_stop(struct fake_worker *worker)
{
	char path[128];

	if (worker->listen_fd >= 0) {
		shutdown(worker->listen_fd, SHUT_RDWR);
		pthread_join(worker->thread, NULL);
		close(worker->listen_fd);
	}
	close(worker->lock_fd);
	snprintf(path, sizeof(path), "%s/fn/" FAKE_NAME ".sock", worker->run);
	unlink(path);
	snprintf(path, sizeof(path), "%s/fn", worker->run);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/" THAW_LOCK_NAME, worker->run);
	unlink(path);
	rmdir(worker->run);
}

static ssize_t read_frame(int fd, uint8_t *buffer)
{
	return recv(fd, buffer, THAW_MESSAGE_MAX, 0);
}

int fake_read_request(int fd, struct fake_request *request)
{
	static _Thread_local uint8_t buffer[THAW_MESSAGE_MAX];
	struct thaw_frame header;
	struct thaw_frame_request first;
	size_t received, skip = sizeof(header) + sizeof(first);
	ssize_t got = read_frame(fd, buffer);

	if (got <= 0)
		return -1;
	cr_assert_geq(got, (ssize_t)skip);
	memcpy(&header, buffer, sizeof(header));
	memcpy(&first, buffer + sizeof(header), sizeof(first));
	cr_assert_eq(header.type, THAW_FRAME_request);
	*request = (struct fake_request){header.id, first.timeout_ns, malloc(first.length + 1),
					 first.length};
	for (received = 0;; skip = sizeof(header)) {
		memcpy(request->body + received, buffer + skip, (size_t)got - skip);
		received += (size_t)got - skip;
		cr_assert_eq(!(header.flags & THAW_FRAME_MORE), received == request->length);
		if (received == request->length)
			return 0;
		got = read_frame(fd, buffer);
		if (got <= 0) {
			free(request->body);
			return -1;
		}
		memcpy(&header, buffer, sizeof(header));
		cr_assert_eq(header.type, THAW_FRAME_request_data);
		cr_assert_eq(header.id, request->id);
	}
}

void fake_send(int fd, uint8_t type, uint16_t flags, uint64_t id, const void *payload,
	       size_t length)
{
	uint8_t buffer[THAW_MESSAGE_MAX];
	struct thaw_frame header = {.version = THAW_PROTOCOL_VERSION,
				    .type = type,
				    .flags = flags,
				    .length = (uint32_t)length,
				    .id = id};

	memcpy(buffer, &header, sizeof(header));
	if (length > 0)
		memcpy(buffer + sizeof(header), payload, length);
	send(fd, buffer, sizeof(header) + length, MSG_NOSIGNAL);
}

void fake_answer_begin(int fd, uint64_t id, const void *body, size_t piece, size_t body_length)
{
	struct thaw_frame_response response = {.status = THAW_STATUS_ran,
					       .start = THAW_START_pool,
					       .length = body_length,
					       .queued_ns = 1,
					       .run_ns = 2,
					       .total_ns = 3};
	uint8_t payload[THAW_FRAME_PAYLOAD_MAX];

	memcpy(payload, &response, sizeof(response));
	if (piece > 0)
		memcpy(payload + sizeof(response), body, piece);
	fake_send(fd, THAW_FRAME_response, piece < body_length ? THAW_FRAME_MORE : 0, id, payload,
		  sizeof(response) + piece);
}

void fake_answer(int fd, uint64_t id, const void *body, size_t length)
{
	size_t room = THAW_FRAME_PAYLOAD_MAX - sizeof(struct thaw_frame_response);
	size_t piece = length < room ? length : room;
	const uint8_t *at = body;

	fake_answer_begin(fd, id, at, piece, length);
	for (at += piece, length -= piece; length > 0; at += piece, length -= piece) {
		piece = length < THAW_FRAME_PAYLOAD_MAX ? length : THAW_FRAME_PAYLOAD_MAX;
		fake_send(fd, THAW_FRAME_response_data, piece < length ? THAW_FRAME_MORE : 0, id,
			  at, piece);
	}
}

void fake_echo(struct fake_worker *worker, int fd, unsigned number)
{
	struct fake_request request;

	(void)number;
	while (fake_read_request(fd, &request) == 0) {
		worker->executed++;
		fake_answer(fd, request.id, request.body, request.length);
		free(request.body);
	}
}
