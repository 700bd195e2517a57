/* SPDX-License-Identifier: Apache-2.0 */
/* The bare echo server and its client. */
#include "bench/echo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/clock.h"
#include "snapshot-format/cleanup.h"

/* A message of the function protocol carries as much, so that both sides move the same number of
 * pieces. */
#define PIECE_MAX ((size_t)60 << 10)

struct thaw_echo {
	int fd;
	pid_t server;
	size_t request_length, response_length;
	uint8_t *buffer; /* of a piece */
};

static int send_pieces(int fd, const uint8_t *buffer, size_t length)
{
	while (length) {
		size_t piece = length < PIECE_MAX ? length : PIECE_MAX;

		if (send(fd, buffer, piece, MSG_NOSIGNAL) != (ssize_t)piece)
			return -1;
		length -= piece;
	}
	return 0;
}

static int receive_pieces(int fd, uint8_t *buffer, size_t length)
{
	while (length) {
		ssize_t got = recv(fd, buffer, PIECE_MAX, 0);

		if (got <= 0 || (size_t)got > length)
			return -1;
		length -= (size_t)got;
	}
	return 0;
}

static _Noreturn void serve(const struct thaw_echo *echo, int fd)
{
	while (receive_pieces(fd, echo->buffer, echo->request_length) == 0 &&
	       send_pieces(fd, echo->buffer, echo->response_length) == 0)
		;
	_exit(0);
}

static int start_server(struct thaw_echo *echo, struct thaw_error *err)
{
	pid_t parent = getpid();
	thaw_autoclose int server_end = -1;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot make the echo's socket");
	echo->fd = ends[0];
	server_end = ends[1];
	echo->server = fork();
	if (echo->server < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot start the echo server");
	if (echo->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(echo->fd);
		/* The parent may have gone between the fork and the prctl. */
		if (getppid() == parent)
			serve(echo, server_end);
		_exit(0);
	}
	return 0;
}

int thaw_echo_start(size_t request_length, size_t response_length, struct thaw_echo **out,
		    struct thaw_error *err)
{
	struct thaw_echo *echo = calloc(1, sizeof(*echo));

	if (!echo)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start the echo");
	*echo = (struct thaw_echo){.fd = -1, .server = -1};
	echo->request_length = request_length ? request_length : 1;
	echo->response_length = response_length ? response_length : 1;
	echo->buffer = calloc(1, PIECE_MAX);
	if (!echo->buffer) {
		thaw_echo_stop(echo);
		return thaw_fail_errno(err, THAW_ERR_FAILURE, ENOMEM, "cannot start the echo");
	}
	if (start_server(echo, err)) {
		thaw_echo_stop(echo);
		return -1;
	}
	*out = echo;
	return 0;
}

void thaw_echo_stop(struct thaw_echo *echo)
{
	if (!echo)
		return;
	if (echo->fd >= 0)
		close(echo->fd);
	if (echo->server > 0) {
		kill(echo->server, SIGKILL);
		while (waitpid(echo->server, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(echo->buffer);
	free(echo);
}

int thaw_echo_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	struct thaw_echo *echo = context;
	uint64_t start = thaw_bench_now();

	if (send_pieces(echo->fd, echo->buffer, echo->request_length) ||
	    receive_pieces(echo->fd, echo->buffer, echo->response_length))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "the echo server is gone");
	*ns = thaw_bench_now() - start;
	return 0;
}
