/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that are servers, and their clients. */
#include "bench/peers/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

/* A server that does not answer fails, and does not hold up the report. */
static const struct timeval patience = {60, 0};

#define PIECE_MAX ((size_t)60 << 10)

struct client {
	const struct thaw_server *server;
	int fd;
	uint64_t response_length; /* of the latest answer */
	uint8_t *buffer;	  /* for one piece */
};

/* One started program and the socket where it listens. */
struct listener {
	pid_t pid; /* 0: none */
	struct sockaddr_un address;
	socklen_t address_length;
};

struct thaw_server {
	struct thaw_server_config config;
	struct listener listeners[THAW_SERVER_PROGRAMS_MAX];
	uint8_t *message; /* the request, preceded by its length */
	size_t message_length;
	void *first; /* the client of single requests */
};

static int socket_of(const struct thaw_server *server)
{
	int type = server->config.stream ? SOCK_STREAM : SOCK_SEQPACKET;

	return socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
}

static int listen_somewhere(const struct thaw_server *server, struct listener *listener)
{
	thaw_autoclose int fd = socket_of(server);
	struct sockaddr_un nameless = {.sun_family = AF_UNIX};

	/* The kernel chooses an unused abstract name. */
	listener->address_length = sizeof(listener->address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&nameless, sizeof(nameless.sun_family)) ||
	    listen(fd, SOMAXCONN) ||
	    getsockname(fd, (struct sockaddr *)&listener->address, &listener->address_length))
		return -1;
	return thaw_take_fd(&fd);
}

static _Noreturn void become_server(const struct thaw_server_config *config, int fd)
{
	int nowhere = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDIN_FILENO);
	/* Discards what the program logs for each request; it would appear among the figures. */
	dup2(nowhere, STDOUT_FILENO);
	dup2(nowhere, STDERR_FILENO);
	execve(config->program, config->args, config->env);
	_exit(127);
}

static int start_program(const struct thaw_server *server, struct listener *listener)
{
	thaw_autoclose int fd = listen_somewhere(server, listener);

	if (fd < 0)
		return -1;
	listener->pid = fork();
	if (listener->pid == 0)
		become_server(&server->config, fd);
	/* The caller's descriptor is closed too, so that connecting fails when the servers are
	 * gone. */
	return listener->pid < 0 ? -1 : 0;
}

static int prepare(const struct thaw_server_config *config, struct thaw_server **out,
		   struct thaw_error *err)
{
	struct thaw_server *server = calloc(1, sizeof(*server));
	uint64_t length = config->request_length;

	thaw_assert(config->programs >= 1 && config->programs <= THAW_SERVER_PROGRAMS_MAX);
	if (server)
		server->message = malloc(sizeof(length) + length);
	if (!server || !server->message) {
		free(server);
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory for a client of %s",
				 config->program);
	}
	server->config = *config;
	server->message_length = sizeof(length) + length;
	memcpy(server->message, &length, sizeof(length));
	if (length)
		memcpy(server->message + sizeof(length), config->request, length);
	*out = server;
	return 0;
}

/* Every program has answered once, so no client meets one that is still starting. */
static int warm_up(struct thaw_server *server, struct thaw_error *err)
{
	for (unsigned i = server->config.programs; i-- > 0;) {
		void *client;
		int failed;

		if (thaw_server_open(server, i, &client, err))
			return -1;
		failed = thaw_server_call(client, err);
		if (failed || i > 0)
			thaw_server_close(client);
		else
			server->first = client;
		if (failed)
			return -1;
	}
	return 0;
}

int thaw_server_start(const struct thaw_server_config *config, struct thaw_server **out,
		      struct thaw_error *err)
{
	struct thaw_server *server;
	int failed = 0;

	if (prepare(config, &server, err))
		return -1;
	for (unsigned i = 0; !failed && i < config->programs; i++)
		if (start_program(server, &server->listeners[i]))
			failed = thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start %s",
						 config->program);
	if (failed || warm_up(server, err)) {
		thaw_server_stop(server);
		return -1;
	}
	*out = server;
	return 0;
}

int thaw_server_elsewhere(const struct thaw_server_config *config,
			  const struct sockaddr_un *address, struct thaw_server **out,
			  struct thaw_error *err)
{
	if (prepare(config, out, err))
		return -1;
	(*out)->listeners[0].address = *address;
	(*out)->listeners[0].address_length = sizeof(*address);
	return 0;
}

void thaw_server_stop(struct thaw_server *server)
{
	if (!server)
		return;
	thaw_server_close(server->first);
	for (unsigned i = 0; i < server->config.programs; i++) {
		if (server->listeners[i].pid <= 0)
			continue;
		kill(server->listeners[i].pid, SIGKILL);
		while (waitpid(server->listeners[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(server->message);
	free(server);
}

int thaw_server_open(void *context, unsigned index, void **out, struct thaw_error *err)
{
	const struct thaw_server *server = context;
	const struct listener *listener = &server->listeners[index % server->config.programs];
	thaw_autoclose int fd = socket_of(server);
	struct client *client = calloc(1, sizeof(*client));

	if (client)
		client->buffer = malloc(PIECE_MAX);
	if (fd < 0 || !client || !client->buffer ||
	    connect(fd, (const struct sockaddr *)&listener->address, listener->address_length)) {
		thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot connect to %s",
				server->config.program);
		free(client ? client->buffer : NULL);
		free(client);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	client->server = server;
	client->fd = thaw_take_fd(&fd);
	*out = client;
	return 0;
}

void thaw_server_close(void *context)
{
	struct client *client = context;

	if (!client)
		return;
	close(client->fd);
	free(client->buffer);
	free(client);
}

static int send_request(const struct client *client)
{
	const struct thaw_server *server = client->server;

	for (size_t done = 0; done < server->message_length;) {
		size_t left = server->message_length - done;
		ssize_t put = send(client->fd, server->message + done,
				   left < PIECE_MAX ? left : PIECE_MAX, MSG_NOSIGNAL);

		if (put <= 0)
			return -1;
		done += (size_t)put;
	}
	return 0;
}

/* On a stream the length may come in parts. The buffer's content counts only until the length is
 * known. */
static int receive_response(struct client *client)
{
	uint64_t length = 0, have = 0;

	do {
		size_t at = have < sizeof(length) ? (size_t)have : 0;
		ssize_t got = recv(client->fd, client->buffer + at, PIECE_MAX - at, 0);

		if (got <= 0)
			return -1;
		if (have < sizeof(length) && have + (uint64_t)got >= sizeof(length))
			memcpy(&length, client->buffer, sizeof(length));
		have += (uint64_t)got;
	} while (have < sizeof(length) || have - sizeof(length) < length);
	client->response_length = length;
	return 0;
}

int thaw_server_call(void *context, struct thaw_error *err)
{
	struct client *client = context;

	if (send_request(client) || receive_response(client))
		return thaw_fail(err, THAW_ERR_FAILURE, "%s does not answer",
				 client->server->config.program);
	return 0;
}

int thaw_server_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	const struct thaw_server *server = context;
	uint64_t start = thaw_monotonic_ns();

	if (thaw_server_call(server->first, err))
		return -1;
	*ns = thaw_monotonic_ns() - start;
	return 0;
}

uint64_t thaw_server_response_length(const struct thaw_server *server)
{
	const struct client *client = server->first;

	return client->response_length;
}
