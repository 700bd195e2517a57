/* SPDX-License-Identifier: Apache-2.0 */
/* The process side of a jailed child; see child.h. */
#include "pool/jailed/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "snapshot-format/base/cleanup.h"

#define CHILD_FDS 64 /* RLIMIT_NOFILE: the engine's memory files, rings and pipes fit */

/* A child gets no terminal as standard input, output or error: a terminal is a way out of the jail
 * (TIOCSTI, escape sequences). */
static int replace_stdio(int errors)
{
	thaw_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0)
		return -1;
	return 0;
}

int thaw_jailed_start(struct thaw_jailed_child *child,
		      int (*run)(struct thaw_jailed *self, void *context), void *context,
		      struct thaw_error *err)
{
	thaw_autoclose int ours = -1, theirs = -1, errors = -1, their_errors = -1;
	struct thaw_jailed self = {.kvm_fd = -1, .number = (unsigned)getpid()};
	int pair[2], ends[2], pidfd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot make a socket");
	ours = pair[0];
	theirs = pair[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot make a pipe");
	errors = ends[0];
	their_errors = ends[1];
	/* The child inherits the buffers of stdio: flush them, so that nothing is printed twice. */
	fflush(NULL);
	pid = thaw_jail_clone(&self.report, &pidfd, err);
	if (pid < 0)
		return -1;
	if (pid == 0) {
		self.channel = theirs;
		self.errors = their_errors;
		_exit(run(&self, context));
	}
	*child = (struct thaw_jailed_child){pid, pidfd, thaw_take_fd(&ours), thaw_take_fd(&errors)};
	return 0;
}

int thaw_jailed_enter(struct thaw_jailed *self, const int *fds, size_t count,
		      struct thaw_error *err)
{
	/* The daemon numbers its workers' users from the bottom of the range; these come from the
	 * top. */
	const struct thaw_jail_config config = {
		.uid = THAW_JAIL_UID_BASE + THAW_JAIL_UIDS - 1 - self->number % 1024,
		.max_fds = CHILD_FDS,
	};
	int kept[THAW_JAILED_FDS_MAX + 5] = {0, 1, 2, self->channel};

	thaw_assert(count <= THAW_JAILED_FDS_MAX);
	if (replace_stdio(self->errors) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot open /dev/null");
	if (count)
		memcpy(kept + 4, fds, count * sizeof(*fds));
	count += 4;
	self->kvm_fd = thaw_kvm_device();
	if (self->kvm_fd >= 0)
		kept[count++] = self->kvm_fd;
	if (thaw_jail_enter(&config, &self->report, err) < 0)
		return -1;
	return thaw_jail_keep_fds(kept, count, err);
}

void thaw_jailed_hang_up(struct thaw_jailed_child *child)
{
	thaw_cleanup_close(&child->channel);
	child->channel = -1;
}

void thaw_jailed_kill(const struct thaw_jailed_child *child)
{
	kill(child->pid, SIGKILL);
}

int thaw_jailed_reap(struct thaw_jailed_child *child)
{
	int status = 0;

	thaw_cleanup_close(&child->channel);
	thaw_cleanup_close(&child->errors);
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(child->pidfd);
	*child = (struct thaw_jailed_child)THAW_JAILED_CHILD_INIT;
	return status;
}
