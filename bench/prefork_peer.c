/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-forked peer and its clients. */
#include "bench/prefork_peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/clock.h"
#include "snapshot-format/cleanup.h"

#define PIECE_MAX ((size_t)60 << 10)

struct client {
	const struct thaw_prefork *prefork;
	int fd;
	uint8_t *buffer; /* of a piece */
};

struct thaw_prefork {
	struct thaw_prefork_config config;
	pid_t pid;
	struct sockaddr_un address;
	socklen_t address_length;
	uint8_t *message; /* the request behind its length */
	size_t message_length;
	void *first; /* client */
};

static int listen_somewhere(struct thaw_prefork *prefork)
{
	thaw_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un nameless = {.sun_family = AF_UNIX};

	/* The kernel finds an abstract name that nobody has. */
	prefork->address_length = sizeof(prefork->address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&nameless, sizeof(nameless.sun_family)) ||
	    listen(fd, SOMAXCONN) ||
	    getsockname(fd, (struct sockaddr *)&prefork->address, &prefork->address_length))
		return -1;
	return thaw_take_fd(&fd);
}

static _Noreturn void become_server(const struct thaw_prefork_config *config, int fd)
{
	char servers[32];
	char *const env[] = {servers, NULL};

	snprintf(servers, sizeof(servers), "THAW_PREFORK=%u", config->servers);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDIN_FILENO);
	execve(config->program, config->args, env);
	_exit(127);
}

static int start(struct thaw_prefork *prefork, struct thaw_error *err)
{
	thaw_autoclose int fd = listen_somewhere(prefork);
	uint64_t length = prefork->config.request_length;

	prefork->message_length = sizeof(length) + length;
	prefork->message = malloc(prefork->message_length);
	if (fd < 0 || !prefork->message)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start %s",
				       prefork->config.program);
	memcpy(prefork->message, &length, sizeof(length));
	if (length)
		memcpy(prefork->message + sizeof(length), prefork->config.request, length);
	prefork->pid = fork();
	if (prefork->pid == 0)
		become_server(&prefork->config, fd);
	if (prefork->pid < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start %s",
				       prefork->config.program);
	/* Ours is closed with this, so a connection fails when the servers are gone. */
	return 0;
}

int thaw_prefork_start(const struct thaw_prefork_config *config, struct thaw_prefork **out,
		       struct thaw_error *err)
{
	struct thaw_prefork *prefork = calloc(1, sizeof(*prefork));

	if (!prefork)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start %s",
				       config->program);
	prefork->config = *config;
	prefork->pid = -1;
	if (start(prefork, err) || thaw_prefork_open(prefork, 0, &prefork->first, err) ||
	    thaw_prefork_call(prefork->first, err)) {
		thaw_prefork_stop(prefork);
		return -1;
	}
	*out = prefork;
	return 0;
}

void thaw_prefork_stop(struct thaw_prefork *prefork)
{
	if (!prefork)
		return;
	thaw_prefork_close(prefork->first);
	if (prefork->pid > 0) {
		kill(prefork->pid, SIGKILL);
		while (waitpid(prefork->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(prefork->message);
	free(prefork);
}

int thaw_prefork_open(void *context, unsigned index, void **out, struct thaw_error *err)
{
	const struct thaw_prefork *prefork = context;
	thaw_autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct client *client = calloc(1, sizeof(*client));

	(void)index;
	if (client)
		client->buffer = malloc(PIECE_MAX);
	if (fd < 0 || !client || !client->buffer ||
	    connect(fd, (const struct sockaddr *)&prefork->address, prefork->address_length)) {
		thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot connect to %s",
				prefork->config.program);
		free(client ? client->buffer : NULL);
		free(client);
		return -1;
	}
	client->prefork = prefork;
	client->fd = thaw_take_fd(&fd);
	*out = client;
	return 0;
}

void thaw_prefork_close(void *context)
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
	const struct thaw_prefork *prefork = client->prefork;

	for (size_t done = 0; done < prefork->message_length;) {
		size_t left = prefork->message_length - done;
		ssize_t put = send(client->fd, prefork->message + done,
				   left < PIECE_MAX ? left : PIECE_MAX, MSG_NOSIGNAL);

		if (put <= 0)
			return -1;
		done += (size_t)put;
	}
	return 0;
}

static int receive_response(const struct client *client)
{
	uint64_t length = 0, have = 0;

	do {
		ssize_t got = recv(client->fd, client->buffer, PIECE_MAX, 0);

		if (got <= 0 || (!have && got < (ssize_t)sizeof(length)))
			return -1;
		if (!have)
			memcpy(&length, client->buffer, sizeof(length));
		have += (uint64_t)got;
	} while (have - sizeof(length) < length);
	return 0;
}

int thaw_prefork_call(void *context, struct thaw_error *err)
{
	const struct client *client = context;

	if (send_request(client) || receive_response(client))
		return thaw_fail(err, THAW_ERR_FAILURE, "%s does not answer",
				 client->prefork->config.program);
	return 0;
}

int thaw_prefork_measure(void *context, uint64_t *ns, struct thaw_error *err)
{
	const struct thaw_prefork *prefork = context;
	uint64_t start = thaw_bench_now();

	if (thaw_prefork_call(prefork->first, err))
		return -1;
	*ns = thaw_bench_now() - start;
	return 0;
}
