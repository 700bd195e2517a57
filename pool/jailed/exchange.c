/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between a jailed child and its parent, and what the child's end means; see
 * exchange.h. */
#include "pool/jailed/exchange.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/cli/output.h"
#include "snapshot-format/base/clock.h"

/* The kernel frees the memory of a child that exits, which takes seconds for tens of GiB. */
#define END_MS 10000u

struct wire {
	uint32_t type, number;
};

/* ---- In the child ---- */

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

void thaw_jailed_send_data(const struct thaw_jailed *self, uint32_t number, const void *bytes,
			   size_t length)
{
	const uint8_t *at = bytes;

	while (length > 0) {
		size_t piece = length < THAW_JAILED_PAYLOAD_MAX ? length : THAW_JAILED_PAYLOAD_MAX;

		thaw_jailed_send(self, THAW_JAILED_DATA, number, at, piece);
		at += piece;
		length -= piece;
	}
}

int thaw_jailed_fail(const struct thaw_jailed *self, const struct thaw_error *err)
{
	thaw_jailed_send(self, THAW_JAILED_ERROR, err->kind, err->message, strlen(err->message));
	return 1;
}

static int run_child(struct thaw_jailed *self, void *context)
{
	const struct thaw_exchange *exchange = context;
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_jailed_enter(self, exchange->fds, exchange->fd_count, &err) < 0)
		return thaw_jailed_fail(self, &err);
	return exchange->work(self, exchange->context);
}

/* ---- Reading ---- */

/* Prints pieces as they come. Whole lines would need a buffer that a child could fill, and pieces
 * are good enough for diagnostics. */
static void forward_errors(struct thaw_jailed_child *child)
{
	char text[1024];
	ssize_t got = read(child->errors, text, sizeof(text) - 1);

	if (got <= 0) {
		if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
			close(child->errors);
			child->errors = -1;
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

/* Returns 1 with MESSAGE, 0 at the end of the channel, -1 with ERR. */
static int receive(const struct thaw_jailed_child *child, struct thaw_jailed_message *message,
		   struct thaw_error *err)
{
	struct wire wire;
	struct iovec parts[] = {{&wire, sizeof(wire)}, {message->payload, THAW_JAILED_PAYLOAD_MAX}};
	struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t got;

	do
		got = recvmsg(child->channel, &header, 0);
	while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return 0;
	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot read from the jailed process");
	if ((size_t)got < sizeof(wire) || (header.msg_flags & MSG_TRUNC) ||
	    wire.type < THAW_JAILED_PROGRESS || wire.type > THAW_JAILED_ERROR)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent a malformed message");
	message->type = wire.type;
	message->number = wire.number;
	message->length = (size_t)got - sizeof(wire);
	message->payload[message->length] = '\0';
	return 1;
}

#define NO_DEADLINE UINT64_MAX

static int milliseconds_until(uint64_t deadline_ns)
{
	uint64_t now = thaw_monotonic_ns();

	if (deadline_ns == NO_DEADLINE)
		return -1;
	return now < deadline_ns ? (int)((deadline_ns - now) / THAW_NS_PER_MS) + 1 : 0;
}

/* Waits until FD is readable, and prints meanwhile what the child writes to its standard error.
 * With FD -1, waits until that ends. Returns 1, 0 after the deadline, or -1 with ERR. */
static int wait_for(struct thaw_jailed_child *child, int fd, uint64_t deadline_ns,
		    struct thaw_error *err)
{
	while (fd >= 0 || child->errors >= 0) {
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
				       {.fd = child->errors, .events = POLLIN}};
		int left_ms = milliseconds_until(deadline_ns);
		int ready = left_ms == 0 ? 0 : poll(fds, 2, left_ms);

		if (left_ms == 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot wait for the jailed process");
		if (ready > 0 && fds[1].revents)
			forward_errors(child);
		/* One piece at a time: a child that writes without end must not hide FD. */
		if (ready > 0 && fds[0].revents)
			return 1;
	}
	return 1;
}

enum thaw_error_kind thaw_jailed_error_kind(uint32_t number)
{
	static const enum thaw_error_kind kinds[] = {
		THAW_ERR_FAILURE, THAW_ERR_USAGE, THAW_ERR_DEADLINE,
		THAW_ERR_ENGINE,  THAW_ERR_IMAGE, THAW_ERR_NOT_FOUND,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i] == number)
			return kinds[i];
	return THAW_ERR_ENGINE;
}

int thaw_exchange_append(const struct thaw_jailed_message *message, struct thaw_bytes *bytes,
			 size_t max, struct thaw_error *err)
{
	if (message->length > max - bytes->length)
		return thaw_fail(err, THAW_ERR_ENGINE, "the jailed process sent too much data");
	if (thaw_bytes_reserve(bytes, message->length, err) < 0)
		return -1;
	memcpy(bytes->data + bytes->length, message->payload, message->length);
	bytes->length += message->length;
	return 0;
}

int thaw_exchange_refuse(const struct thaw_jailed_message *message, struct thaw_error *err)
{
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "the jailed process sent an unexpected message of type %d",
			 (int)message->type);
}

enum heard {
	HEARD_NOTHING, /* the channel ended without a result */
	HEARD_RESULT,
	HEARD_ERROR, /* the child's own; it is about to exit */
	REFUSED	     /* a message, or the channel failed: the child is killed at once */
};

static enum heard read_messages(struct thaw_exchange *exchange, struct thaw_error *err)
{
	struct thaw_jailed_child *child = &exchange->child;
	struct thaw_jailed_message message;
	int got, taken = 0;

	while (taken == 0) {
		if (wait_for(child, child->channel, NO_DEADLINE, err) < 0)
			return REFUSED;
		got = receive(child, &message, err);
		if (got <= 0)
			return got < 0 ? REFUSED : HEARD_NOTHING;
		if (message.type == THAW_JAILED_ERROR) {
			thaw_fail(err, thaw_jailed_error_kind(message.number), "%s",
				  (const char *)message.payload);
			return HEARD_ERROR;
		}
		taken = exchange->take(exchange->context, &message, err);
	}
	return taken < 0 ? REFUSED : HEARD_RESULT;
}

/* ---- The child's end ---- */

/* After its result the child closes the channel and says nothing more. Returns 1, 0 after the
 * deadline, or -1 with ERR. */
static int wait_for_silence(struct thaw_jailed_child *child, uint64_t deadline_ns,
			    struct thaw_error *err)
{
	struct thaw_jailed_message message;
	int ready = wait_for(child, child->channel, deadline_ns, err);
	int got = ready > 0 ? receive(child, &message, err) : 0;

	if (got > 0)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process sent another message after its result");
	return got < 0 ? -1 : ready;
}

/* Returns 1 when the child has exited, 0 when it has to be killed after the deadline, -1 with ERR
 * when it has to be killed. */
static int wait_for_exit(struct thaw_exchange *exchange, enum heard heard, struct thaw_error *err)
{
	struct thaw_jailed_child *child = &exchange->child;
	unsigned end_ms = exchange->end_ms ? exchange->end_ms : END_MS;
	uint64_t deadline_ns = thaw_monotonic_ns() + end_ms * THAW_NS_PER_MS;
	int ready = 1;

	if (heard == REFUSED)
		return -1;
	if (heard == HEARD_RESULT)
		ready = wait_for_silence(child, deadline_ns, err);
	else
		thaw_jailed_hang_up(child);
	if (ready > 0)
		ready = wait_for(child, child->pidfd, deadline_ns, err);
	/* Where there is no PID namespace, what the child started may outlive it for a moment. */
	if (ready > 0)
		ready = wait_for(child, -1, deadline_ns, err);
	return ready;
}

/* Says how the child ended, which is an error. Always -1. */
static int fail_ended(const struct thaw_exchange *exchange, enum heard heard, int status,
		      struct thaw_error *err)
{
	const char *when = heard == HEARD_RESULT ? " after it had sent its result" : "";
	int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (signal_number == SIGSYS)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process that %s was killed because it made a system "
				 "call that it never makes%s",
				 exchange->what, when);
	if (signal_number)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process that %s was killed by signal %d (%s)%s",
				 exchange->what, signal_number, strsignal(signal_number), when);
	return thaw_fail(err, THAW_ERR_ENGINE, "the jailed process that %s exited with code %d%s",
			 exchange->what, WEXITSTATUS(status),
			 heard == HEARD_RESULT ? when : " and without a result");
}

int thaw_exchange_finish(struct thaw_exchange *exchange, struct thaw_error *err)
{
	struct thaw_error late = THAW_ERROR_INIT;
	enum heard heard = read_messages(exchange, err);
	int exited = wait_for_exit(exchange, heard, &late);
	int status;

	if (exited <= 0)
		thaw_jailed_kill(&exchange->child);
	status = thaw_jailed_reap(&exchange->child);
	if (heard == REFUSED || heard == HEARD_ERROR)
		return -1;
	if (exited < 0)
		return thaw_fail(err, late.kind, "%s", late.message);
	if (exited == 0)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the jailed process that %s did not exit in time and was killed",
				 exchange->what);
	if (heard == HEARD_RESULT && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return fail_ended(exchange, heard, status, err);
}

int thaw_exchange_start(struct thaw_exchange *exchange, struct thaw_error *err)
{
	return thaw_jailed_start(&exchange->child, run_child, exchange, err);
}

int thaw_exchange_run(struct thaw_exchange *exchange, struct thaw_error *err)
{
	return thaw_exchange_start(exchange, err) < 0 ? -1 : thaw_exchange_finish(exchange, err);
}
