/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw_jail_clone(): a child in namespaces of its own.
 *
 * It uses the raw system call. unshare(CLONE_NEWPID) and fork() would do for a program that makes
 * only one child, but they would move all later children of the daemon as well, and without
 * privilege they would need a user namespace around the daemon itself. glibc's clone() needs a
 * stack of its own and leaves no way back into the caller. So this is the fork-like form of
 * clone(2): no shared memory, no new stack, and the child returns from the same call. The other
 * duties of glibc's fork() are met or not needed here:
 *   - the kernel itself refreshes the thread id that glibc keeps (the owner of recursive mutexes),
 *     through CLONE_CHILD_SETTID at the address that glibc registered at start-up;
 *   - the locks of malloc and stdio are free, because the caller has one thread;
 *   - fork handlers are not run, and robust mutexes are not used.
 *
 * Parent and child agree over a pipe. The child says whether its identity map was accepted: some
 * hosts refuse that only after they have allowed the clone. The same pipe tells the child that its
 * parent is alive.
 */
#include "engine/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "engine/jail/internal.h"
#include "snapshot-format/base/cleanup.h"

/* When a host refuses some, they are tried one by one in this order. The mount namespace is not
 * here: thaw_jail_enter() makes it, so that it can never touch the mounts of a namespace that it
 * was only told about. */
static const struct space {
	unsigned long flag;
	const char *name;
	size_t member; /* of struct thaw_jail_report */
} spaces[] = {
	{CLONE_NEWUSER, "user", offsetof(struct thaw_jail_report, user)},
	{CLONE_NEWPID, "pid", offsetof(struct thaw_jail_report, pid)},
	{CLONE_NEWNET, "net", offsetof(struct thaw_jail_report, net)},
	{CLONE_NEWIPC, "ipc", offsetof(struct thaw_jail_report, ipc)},
	{CLONE_NEWUTS, "uts", offsetof(struct thaw_jail_report, uts)},
	{CLONE_NEWCGROUP, "cgroup", offsetof(struct thaw_jail_report, cgroup)},
};
#define SPACES (sizeof(spaces) / sizeof(spaces[0]))

void thaw_jail_note_missing(struct thaw_jail_report *report, const char *what, const char *why)
{
	size_t used = strlen(report->missing);

	snprintf(report->missing + used, sizeof(report->missing) - used, "%s%s: %s",
		 used ? "; " : "", what, why);
}

bool thaw_jail_has_capability(unsigned capability)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data))
		return false;
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

static int write_file(const char *path, const char *text)
{
	thaw_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/* Maps the one identity that an unprivileged caller may map, its own. The kernel demands that
 * setgroups is denied first. */
static int map_identity(uid_t uid, gid_t gid)
{
	char line[32];
	int result = write_file("/proc/self/setgroups", "deny");

	if (result)
		return result;
	snprintf(line, sizeof(line), "0 %u 1", uid);
	result = write_file("/proc/self/uid_map", line);
	if (result)
		return result;
	snprintf(line, sizeof(line), "0 %u 1", gid);
	return write_file("/proc/self/gid_map", line);
}

static pid_t fork_like_clone(unsigned long flags, int *pidfd)
{
	int *tid = NULL;

	/* A kernel without CONFIG_CHECKPOINT_RESTORE does not tell the address. Then the id stays
	 * the parent's, which matters only to a recursive mutex that a thread of that very number
	 * contends for. */
	if (!prctl(PR_GET_TID_ADDRESS, &tid) && tid)
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	return syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, pidfd, tid, 0);
}

/* The child's side. Reports to the parent through REPLY, and returns only if all is well. */
static void settle(unsigned long flags, uid_t uid, gid_t gid, int reply)
{
	int verdict = 0;

	if (flags & CLONE_NEWUSER)
		verdict = map_identity(uid, gid);
	if (!verdict && prctl(PR_SET_PDEATHSIG, SIGKILL))
		verdict = -errno;
	/* The parent has the only reading end. If the parent is gone, this write fails, or SIGPIPE
	 * ends the child. If it goes later, the death signal is armed. */
	if (write(reply, &verdict, sizeof(verdict)) != sizeof(verdict) || verdict)
		_exit(THAW_ERR_ENGINE);
	close(reply);
}

/* Tries once. Returns 0 in the child and its pid in the parent, or a negative errno when the host
 * refuses. */
static pid_t try_clone(unsigned long flags, int *pidfd)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	thaw_autoclose int child_pidfd = -1;
	int ends[2], verdict;
	ssize_t length;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork_like_clone(flags, &child_pidfd);
	if (pid == 0) {
		child_pidfd = -1; /* the number is the parent's */
		close(ends[0]);
		settle(flags, uid, gid, ends[1]);
		return 0;
	}
	if (pid < 0)
		pid = -errno;
	close(ends[1]);
	if (pid > 0) {
		length = TEMP_FAILURE_RETRY(read(ends[0], &verdict, sizeof(verdict)));
		if (length != sizeof(verdict))
			verdict = -ECHILD;
		if (verdict) {
			TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
			pid = verdict;
		}
	}
	close(ends[0]);
	if (pid > 0 && pidfd)
		*pidfd = thaw_take_fd(&child_pidfd);
	return pid;
}

/* Whether the host allows a child with FLAGS: 0, or the negative errno. */
static int probe(unsigned long flags)
{
	pid_t pid = try_clone(flags, NULL);

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return pid;
	TEMP_FAILURE_RETRY(waitpid(pid, NULL, 0));
	return 0;
}

/* Finds by trial which of WANTED the host allows; the report names those that it refused. */
static unsigned long allowed_spaces(unsigned long wanted, struct thaw_jail_report *report)
{
	unsigned long allowed = 0;

	for (size_t i = 0; i < SPACES; i++) {
		unsigned long flag = wanted & spaces[i].flag;
		int result = flag ? probe(allowed | flag) : 0;

		if (!result)
			allowed |= flag;
		else
			thaw_jail_note_missing(report, spaces[i].name, strerrordesc_np(-result));
	}
	return allowed;
}

static bool is_refusal(pid_t result)
{
	return result == -EPERM || result == -EACCES || result == -EINVAL || result == -ENOSPC ||
	       result == -EUSERS || result == -ENOSYS || result == -ENOENT;
}

pid_t thaw_jail_clone(struct thaw_jail_report *report, int *pidfd, struct thaw_error *err)
{
	struct thaw_jail_report found = {0};
	unsigned long flags = 0;
	pid_t pid;

	for (size_t i = 0; i < SPACES; i++)
		flags |= spaces[i].flag;
	if (thaw_jail_has_capability(CAP_SYS_ADMIN))
		flags &= ~(unsigned long)CLONE_NEWUSER;
	pid = try_clone(flags, pidfd);
	if (pid < 0 && is_refusal(pid)) {
		flags = allowed_spaces(flags, &found);
		pid = try_clone(flags, pidfd);
	}
	if (pid < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, -pid, "cannot make a jailed process");
	for (size_t i = 0; i < SPACES; i++)
		*(bool *)((char *)&found + spaces[i].member) = flags & spaces[i].flag;
	*report = found;
	return pid;
}
