/* SPDX-License-Identifier: Apache-2.0 */
/* The bare echo server and its client. */
#include "bench/limits/echo.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/thread.h"

/* The largest message of the function protocol, so that both protocols move the same number of
 * pieces. */
#define PIECE_MAX ((size_t)60 << 10)

/* Where a server's thread meets its waiting process; one cache line each. */
struct mailbox {
	_Alignas(64) uint32_t turn; /* WAITER or THREAD */
};
enum { TURN_THREAD, TURN_WAITER };

struct connection {
	int ours, theirs;
	uint8_t *buffer; /* of a piece; after the fork each side has its own */
	const struct thaw_echo_config *config;
	struct mailbox *mailbox; /* NULL: no hand-over */
};

struct thaw_echo {
	struct thaw_echo_config config;
	pid_t server;
	struct mailbox *mailboxes;
	struct connection connections[THAW_BENCH_CLIENTS_MAX];
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

/* ---- The hand-over ---- */

static void give_turn(struct mailbox *mailbox, uint32_t turn)
{
	/* Release: the side that sees the turn sees the work done before it. */
	__atomic_store_n(&mailbox->turn, turn, __ATOMIC_RELEASE);
	syscall(SYS_futex, &mailbox->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void await_turn(struct mailbox *mailbox, uint32_t turn)
{
	while (__atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) != turn)
		syscall(SYS_futex, &mailbox->turn, FUTEX_WAIT, turn ^ 1u, NULL, NULL, 0);
}

static void start_waiter(struct mailbox *mailbox)
{
	pid_t parent = getpid();

	if (fork() != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent) {
		await_turn(mailbox, TURN_WAITER);
		give_turn(mailbox, TURN_THREAD);
	}
	_exit(0);
}

/* ---- The server ---- */

static void *serve(void *context)
{
	const struct connection *connection = context;
	const struct thaw_echo_config *config = connection->config;

	while (receive_pieces(connection->theirs, connection->buffer, config->request_length) ==
	       0) {
		if (connection->mailbox) {
			give_turn(connection->mailbox, TURN_WAITER);
			await_turn(connection->mailbox, TURN_THREAD);
		}
		if (send_pieces(connection->theirs, connection->buffer, config->response_length))
			break;
	}
	return NULL;
}

static _Noreturn void run_server(struct thaw_echo *echo)
{
	pthread_t threads[THAW_BENCH_CLIENTS_MAX];

	for (unsigned i = 0; i < echo->config.connections; i++) {
		close(echo->connections[i].ours);
		if (echo->connections[i].mailbox)
			start_waiter(echo->connections[i].mailbox);
	}
	for (unsigned i = 1; i < echo->config.connections; i++)
		if (thaw_thread_start(&threads[i], NULL, serve, &echo->connections[i]))
			_exit(1);
	serve(&echo->connections[0]);
	for (unsigned i = 1; i < echo->config.connections; i++)
		pthread_join(threads[i], NULL);
	_exit(0);
}

static int connect_all(struct thaw_echo *echo)
{
	for (unsigned i = 0; i < echo->config.connections; i++) {
		struct connection *connection = &echo->connections[i];
		int ends[2];

		connection->config = &echo->config;
		connection->buffer = calloc(1, PIECE_MAX);
		if (!connection->buffer ||
		    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
			return -1;
		connection->ours = ends[0];
		connection->theirs = ends[1];
		connection->mailbox = echo->mailboxes ? &echo->mailboxes[i] : NULL;
	}
	return 0;
}

static int start_server(struct thaw_echo *echo, struct thaw_error *err)
{
	pid_t parent = getpid();

	if (echo->config.hand_over) {
		echo->mailboxes = mmap(NULL, sizeof(struct mailbox) * THAW_BENCH_CLIENTS_MAX,
				       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (echo->mailboxes == MAP_FAILED) {
			echo->mailboxes = NULL;
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot map the hand-over's memory");
		}
	}
	if (connect_all(echo))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot make the echo's sockets");
	echo->server = fork();
	if (echo->server < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot start the echo server");
	if (echo->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* The parent may have ended between the fork and the prctl. */
		if (getppid() == parent)
			run_server(echo);
		_exit(0);
	}
	for (unsigned i = 0; i < echo->config.connections; i++) {
		close(echo->connections[i].theirs);
		echo->connections[i].theirs = -1;
	}
	return 0;
}

int thaw_echo_start(const struct thaw_echo_config *config, struct thaw_echo **out,
		    struct thaw_error *err)
{
	struct thaw_echo *echo = calloc(1, sizeof(*echo));

	if (!echo)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start the echo");
	thaw_assert(config->connections >= 1 && config->connections <= THAW_BENCH_CLIENTS_MAX);
	echo->config = *config;
	echo->config.request_length += !config->request_length;
	echo->config.response_length += !config->response_length;
	for (unsigned i = 0; i < THAW_BENCH_CLIENTS_MAX; i++)
		echo->connections[i].ours = echo->connections[i].theirs = -1;
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
	for (unsigned i = 0; i < echo->config.connections; i++) {
		if (echo->connections[i].ours >= 0)
			close(echo->connections[i].ours);
		if (echo->connections[i].theirs >= 0)
			close(echo->connections[i].theirs);
		free(echo->connections[i].buffer);
	}
	if (echo->server > 0) {
		kill(echo->server, SIGKILL);
		while (waitpid(echo->server, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (echo->mailboxes)
		munmap(echo->mailboxes, sizeof(struct mailbox) * THAW_BENCH_CLIENTS_MAX);
	free(echo);
}

int thaw_echo_call(const struct thaw_echo *echo, unsigned index, struct thaw_error *err)
{
	const struct connection *connection = &echo->connections[index];

	if (send_pieces(connection->ours, connection->buffer, echo->config.request_length) ||
	    receive_pieces(connection->ours, connection->buffer, echo->config.response_length))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "the echo server is gone");
	return 0;
}

int thaw_echo_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	uint64_t start = thaw_monotonic_ns();

	if (thaw_echo_call(context, 0, err))
		return -1;
	*ns = thaw_monotonic_ns() - start;
	return 0;
}
