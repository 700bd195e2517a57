/* SPDX-License-Identifier: Apache-2.0 */
/* Jailed children of the client; see child.h for what they may do. */
#include "pool/jailed/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "pool/cli/cli.h"
#include "snapshot-format/base/cleanup.h"

#define CHILD_FDS 64 /* RLIMIT_NOFILE: the engine's memory files, rings and pipes fit */

struct wire {
	uint32_t type, number;
};

/* A terminal as standard input, output or error would be a way out (TIOCSTI, escape sequences): the
 * child gets none. */
static int replace_stdio(int errors)
{
	thaw_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0)
		return -1;
	return 0;
}

static int enter(struct thaw_jailed *self, int errors, const int *fds, size_t fd_count,
		 struct thaw_error *err)
{
	/* The daemon counts its workers' identities from the bottom; these are taken from the top.
	 */
	const struct thaw_jail_config config = {
		.uid = THAW_JAIL_UID_BASE + THAW_JAIL_UIDS - 1 - self->number % 1024,
		.max_fds = CHILD_FDS,
	};
	int kept[THAW_JAILED_FDS_MAX + 5] = {0, 1, 2, self->channel};

	if (replace_stdio(errors) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot open /dev/null");
	memcpy(kept + 4, fds, fd_count * sizeof(*fds));
	fd_count += 4;
	/* It may well not be there. */
	self->kvm_fd = thaw_kvm_device();
	if (self->kvm_fd >= 0)
		kept[fd_count++] = self->kvm_fd;
	if (thaw_jail_enter(&config, &self->report, err) < 0)
		return -1;
	return thaw_jail_keep_fds(kept, fd_count, err);
}

static _Noreturn void run_child(struct thaw_jailed *self, int errors, const int *fds,
				size_t fd_count, int (*work)(struct thaw_jailed *, void *),
				void *context)
{
	struct thaw_error err = THAW_ERROR_INIT;

	if (enter(self, errors, fds, fd_count, &err) < 0)
		_exit(thaw_jailed_fail(self, &err));
	_exit(work(self, context));
}

int thaw_jailed_start(struct thaw_jailed *jailed, const int *fds, size_t fd_count,
		      int (*work)(struct thaw_jailed *, void *), void *context,
		      struct thaw_error *err)
{
	int pair[2], errors[2];
	pid_t pid;

	thaw_assert(fd_count <= THAW_JAILED_FDS_MAX);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot make a socket");
	if (pipe2(errors, O_CLOEXEC) < 0) {
		close(pair[0]);
		close(pair[1]);
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot make a pipe");
	}
	/* The child leaves by _exit(): what is buffered here must not come out twice, or never. */
	fflush(NULL);
	*jailed = (struct thaw_jailed){
		.channel = pair[1], .errors = -1, .number = (unsigned)getpid()};
	pid = thaw_jail_clone(&jailed->report, NULL, err);
	if (pid == 0)
		run_child(jailed, errors[1], fds, fd_count, work, context);
	close(pair[1]);
	close(errors[1]);
	jailed->pid = pid;
	jailed->channel = pair[0];
	jailed->errors = errors[0];
	if (pid > 0)
		return 0;
	close(pair[0]);
	close(errors[0]);
	return -1;
}

void thaw_jailed_send(const struct thaw_jailed *self, enum thaw_jailed_type type, uint32_t number,
		      const void *payload, size_t length)
{
	struct wire wire = {.type = type, .number = number};
	union {
		const void *in;
		void *out; /* struct iovec has no const */
	} bytes = {.in = payload};
	struct iovec parts[] = {{&wire, sizeof(wire)}, {bytes.out, length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	if (length > THAW_JAILED_PAYLOAD_MAX)
		parts[1].iov_len = THAW_JAILED_PAYLOAD_MAX;
	while (sendmsg(self->channel, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			_exit(1);
}

int thaw_jailed_fail(const struct thaw_jailed *self, const struct thaw_error *err)
{
	thaw_jailed_send(self, THAW_JAILED_ERROR, err->kind, err->message, strlen(err->message));
	return 1;
}

/* Line by line would need a buffer that a child could fill: pieces as they come are good enough for
 * diagnostics. */
static void forward_errors(struct thaw_jailed *jailed)
{
	char text[1024];
	ssize_t got = read(jailed->errors, text, sizeof(text) - 1);

	if (got <= 0) {
		if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
			close(jailed->errors);
			jailed->errors = -1;
		}
		return;
	}
	text[got] = '\0';
	for (char *line = text, *rest; line && *line; line = rest) {
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		thaw_cli_say("(jailed) %s", line);
	}
}

static int receive(struct thaw_jailed *jailed, struct thaw_jailed_message *message,
		   struct thaw_error *err)
{
	struct wire wire;
	struct iovec parts[] = {{&wire, sizeof(wire)}, {message->payload, THAW_JAILED_PAYLOAD_MAX}};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t got;

	do
		got = recvmsg(jailed->channel, &header, 0);
	while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return 0;
	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot hear the jailed process");
	if ((size_t)got < sizeof(wire) || (header.msg_flags & MSG_TRUNC) ||
	    wire.type < THAW_JAILED_PROGRESS || wire.type > THAW_JAILED_ERROR)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent what it never should");
	message->type = wire.type;
	message->number = wire.number;
	message->length = (size_t)got - sizeof(wire);
	message->payload[message->length] = '\0';
	return 1;
}

int thaw_jailed_next(struct thaw_jailed *jailed, struct thaw_jailed_message *message,
		     struct thaw_error *err)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = jailed->channel, .events = POLLIN},
				       {.fd = jailed->errors, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot wait for the jailed process");
		if (fds[1].revents)
			forward_errors(jailed);
		else if (fds[0].revents)
			return receive(jailed, message, err);
	}
}

int thaw_jailed_take_error(const struct thaw_jailed_message *message, struct thaw_error *err)
{
	static const enum thaw_error_kind kinds[] = {
		THAW_ERR_FAILURE, THAW_ERR_USAGE, THAW_ERR_DEADLINE,
		THAW_ERR_ENGINE,  THAW_ERR_IMAGE, THAW_ERR_NOT_FOUND,
	};
	enum thaw_error_kind kind = THAW_ERR_ENGINE;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i] == message->number)
			kind = kinds[i];
	return thaw_fail(err, kind, "%s", (const char *)message->payload);
}

int thaw_jailed_end(struct thaw_jailed *jailed, const char *what, struct thaw_error *err)
{
	int status = 0;

	/* With its channel closed the child ends at its next word; one that is stuck is not waited
	 * for. */
	close(jailed->channel);
	while (jailed->errors >= 0 &&
	       poll(&(struct pollfd){jailed->errors, POLLIN, 0}, 1, 1000) > 0)
		forward_errors(jailed);
	if (jailed->errors >= 0) {
		kill(jailed->pid, SIGKILL);
		close(jailed->errors);
	}
	while (waitpid(jailed->pid, &status, 0) < 0 && errno == EINTR)
		;
	*jailed = (struct thaw_jailed){.channel = -1, .errors = -1};
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
		return 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return thaw_fail(
			err, THAW_ERR_ENGINE,
			"the jailed process that %s made a system call it never makes, and "
			"was ended",
			what);
	if (WIFSIGNALED(status))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process that %s was killed by signal %d (%s)", what,
				 WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
	return thaw_fail(err, THAW_ERR_ENGINE, "the jailed process that %s ended with code %d",
			 what, WEXITSTATUS(status));
}
