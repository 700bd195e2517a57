/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a worker: this same program, executed anew in namespaces of its own, with a control
 * socket, a pipe for its output, and nothing else. A fresh program shares no memory with the
 * front, and so no secret, and it inherits no other descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/front/internal.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

/* How many of a worker's lines are printed: a burst, then a rate. */
#define OUTPUT_BURST	  100u
#define OUTPUT_PER_SECOND 20u

static bool uid_taken(const struct thaw_front *front, uid_t uid)
{
	for (const struct thaw_function *f = front->functions; f; f = f->next)
		for (const struct thaw_child *child = f->children; child; child = child->next)
			if (child->uid == uid)
				return true;
	return false;
}

/* Each worker gets a user of its own, so that none may signal or trace another. The choice is
 * random, because other daemons on this host choose too. */
static uid_t choose_uid(const struct thaw_front *front)
{
	uint32_t chance = 0;
	uid_t uid;

	do {
		(void)!getrandom(&chance, sizeof(chance), 0);
		uid = THAW_JAIL_UID_BASE + chance % THAW_JAIL_UIDS;
	} while (uid_taken(front, uid));
	return uid;
}

/* ---- In the child ---- */

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
}

_Noreturn static void become_worker(int self_fd, int control_fd, int output_fd, const char *name)
{
	char program[] = "thawd", option[] = "--worker", function[THAW_NAME_MAX + 1];
	char *const argv[] = {program, option, function, NULL}, *const envp[] = {NULL};
	/* Move the descriptors above the fixed numbers first, then into place. */
	int self = fcntl(self_fd, F_DUPFD_CLOEXEC, 16), control = fcntl(control_fd, F_DUPFD, 16);
	int output = fcntl(output_fd, F_DUPFD, 16), null = open("/dev/null", O_RDWR);

	strcpy(function, name);
	if (self < 0 || control < 0 || output < 0 || null < 0 || dup2(null, 0) < 0 ||
	    dup2(null, 1) < 0 || dup2(output, 2) < 0 || dup2(control, THAW_WORKER_CONTROL_FD) < 0 ||
	    close_range(THAW_WORKER_CONTROL_FD + 1, (unsigned)self - 1, 0) < 0 ||
	    close_range((unsigned)self + 1, ~0u, 0) < 0)
		_exit(127);
	reset_signals();
	execveat(self, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

/* ---- In the front ---- */

static int send_config(const struct thaw_function *function, const struct thaw_child *child,
		       const struct thaw_jail_report *jail, int image_fd, struct thaw_error *err)
{
	const struct thaw_front_options *options = function->front->options;
	struct thaw_worker_config config = {
		.version = THAW_WORKER_PROTOCOL,
		.backend = options->backend,
		.pool = options->pool,
		.max_instances = options->max_instances,
		.concurrency = options->concurrency,
		.queue = options->queue,
		.recycle = options->recycle,
		.no_working_sets = options->no_working_sets,
		.uid = child->uid,
		.restarts = function->restarts,
		.has_memory = child->memory.read_fd >= 0,
		.memory_filled = child->memory.filled,
		.jail = *jail,
	};
	int fds[THAW_WORKER_FD_COUNT] = {
		[THAW_WORKER_FD_LISTEN] = function->listener.fd,
		[THAW_WORKER_FD_IMAGE] = image_fd,
		[THAW_WORKER_FD_LOG] = function->log_fd,
		[THAW_WORKER_FD_MEMORY_READ] = child->memory.read_fd,
		[THAW_WORKER_FD_MEMORY_WRITE] = child->memory.write_fd,
	};
	/* The optional descriptors come last, and the writable one after the readable one. */
	unsigned count =
		THAW_WORKER_FD_COUNT - (child->memory.write_fd < 0) - (child->memory.read_fd < 0);
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(fds))];
	} control = {0};
	struct iovec piece = {&config, sizeof(config)};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	strcpy(config.name, function->name);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	if (sendmsg(child->words.fd, &message, MSG_NOSIGNAL) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot send the worker its configuration");
	return 0;
}

static int launch(struct thaw_function *function, struct thaw_child *child, int image_fd,
		  struct thaw_error *err)
{
	struct thaw_jail_report jail = {0};
	int control[2] = {-1, -1}, output[2] = {-1, -1}, result = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 ||
	    /* Neither end blocks: the worker never waits for the front to read its log. */
	    pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0)
		result = thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					 "cannot make a worker's channels");
	else if ((child->pid = thaw_jail_clone(&jail, &child->death.fd, err)) == 0)
		become_worker(function->front->self_fd, control[1], output[1], function->name);
	else if (child->pid < 0)
		result = -1;
	child->words.fd = control[0];
	child->output.fd = output[0];
	thaw_cleanup_close(&control[1]);
	thaw_cleanup_close(&output[1]);
	if (result < 0)
		return result;
	return send_config(function, child, &jail, image_fd, err);
}

static int watch(struct thaw_front *front, struct thaw_child *child, struct thaw_error *err)
{
	child->death.ready = thaw_child_death;
	child->words.ready = thaw_child_words;
	child->output.ready = thaw_child_output;
	if (thaw_watch_begin(front, &child->death, EPOLLIN) < 0 ||
	    thaw_watch_begin(front, &child->words, EPOLLIN) < 0 ||
	    thaw_watch_begin(front, &child->output, EPOLLIN) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot watch a worker");
	return 0;
}

static struct thaw_child *child_new(struct thaw_function *function,
				    const struct thaw_child_events *events)
{
	struct thaw_child *child = calloc(1, sizeof(*child));
	uint64_t now_ns = thaw_monotonic_ns();

	if (!child)
		return NULL;
	*child = (struct thaw_child){.function = function,
				     .events = events,
				     .next = function->children,
				     .uid = choose_uid(function->front),
				     .death.fd = -1,
				     .words.fd = -1,
				     .output.fd = -1,
				     .since_ns = now_ns,
				     .memory = {.read_fd = -1, .write_fd = -1}};
	thaw_rate_limit_init(&child->output_limit, OUTPUT_BURST, OUTPUT_PER_SECOND, now_ns);
	function->children = child;
	return child;
}

int thaw_child_spawn(struct thaw_function *function, int image_fd,
		     const struct thaw_child_events *events, struct thaw_child **out,
		     struct thaw_error *err)
{
	struct thaw_front *front = function->front;
	struct thaw_child *child = child_new(function, events);

	if (!child)
		return thaw_fail(err, THAW_ERR_ENGINE, "out of memory");
	if ((front->image_dir_fd >= 0 && thaw_memory_open(front->image_dir_fd, function->name,
							  image_fd, &child->memory, err) < 0) ||
	    launch(function, child, image_fd, err) < 0 || watch(front, child, err) < 0) {
		/* A worker that was started waits for its configuration. */
		thaw_child_kill(child);
		thaw_child_free(child);
		return -1;
	}
	*out = child;
	return 0;
}
