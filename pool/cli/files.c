/* SPDX-License-Identifier: Apache-2.0 */
/* Reads requests and writes responses, to and from files, pipes, terminals and sockets. */
#include "pool/cli/files.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "pool/wire/protocol.h"

#define ROOM_FIRST 65536u

int thaw_bytes_reserve(struct thaw_bytes *bytes, size_t more, struct thaw_error *err)
{
	size_t room = bytes->room ? bytes->room : ROOM_FIRST, needed;
	char *grown;

	if (__builtin_add_overflow(bytes->length, more, &needed))
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	while (room < needed)
		if (__builtin_mul_overflow(room, (size_t)2, &room))
			return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (room == bytes->room)
		return 0;
	grown = realloc(bytes->data, room);
	if (!grown)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	bytes->data = grown;
	bytes->room = room;
	return 0;
}

/* Another process that shares the descriptor may have made it non-blocking: wait instead of failing
 * with EAGAIN. */
static int wait_for(int fd, short events)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	return poll(&poll_fd, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

static int read_some(int fd, struct thaw_bytes *bytes, struct thaw_error *err)
{
	ssize_t got;

	if (thaw_bytes_reserve(bytes, bytes->length ? 4096 : ROOM_FIRST, err) < 0)
		return -1;
	got = read(fd, bytes->data + bytes->length, bytes->room - bytes->length);
	if (got > 0)
		bytes->length += (size_t)got;
	if (got >= 0)
		return got > 0;
	if (errno == EINTR || (errno == EAGAIN && wait_for(fd, POLLIN) == 0))
		return 1;
	return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read the request");
}

int thaw_read_request(int fd, struct thaw_bytes *bytes, struct thaw_error *err)
{
	int more;

	*bytes = (struct thaw_bytes){0};
	do {
		more = read_some(fd, bytes, err);
		if (more > 0 && bytes->length > THAW_REQUEST_MAX)
			more = thaw_fail(
				err, THAW_ERR_FAILURE,
				"the request is larger than the limit of %u MiB: send it in "
				"parts",
				THAW_REQUEST_MAX >> 20);
	} while (more > 0);
	if (more < 0) {
		free(bytes->data);
		*bytes = (struct thaw_bytes){0};
	}
	return more;
}

int thaw_write_response(const void *data, size_t length, struct thaw_error *err)
{
	const char *at = data;

	while (length > 0) {
		ssize_t put = write(STDOUT_FILENO, at, length);

		if (put >= 0) {
			at += put;
			length -= (size_t)put;
		} else if (errno == EPIPE) {
			return thaw_fail(err, THAW_ERR_FAILURE,
					 "the reader of standard output has closed it");
		} else if (errno != EINTR &&
			   !(errno == EAGAIN && wait_for(STDOUT_FILENO, POLLOUT) == 0)) {
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot write to standard output");
		}
	}
	return 0;
}
