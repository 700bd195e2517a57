/* SPDX-License-Identifier: Apache-2.0 */
/* Starts, watches and removes the benchmark's own thawd. */
#include "bench/function/own_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"

#define GRACE_MS     10000
#define NFTW_FDS     8
#define IMAGE_SUFFIX ".thaw"

struct thaw_bench_daemon {
	pid_t pid; /* 0 once it has been reaped */
	char directory[256];
	char run_dir[288], state_dir[288], log_path[288];
};

static int make_directories(struct thaw_bench_daemon *daemon, struct thaw_error *err)
{
	const char *parent = getenv("TMPDIR");
	char path[sizeof(daemon->directory)];
	int length = snprintf(path, sizeof(path), "%s/thaw-bench-XXXXXX",
			      parent && *parent ? parent : "/tmp");

	if (length < 0 || (size_t)length >= sizeof(path))
		return thaw_fail(err, THAW_ERR_USAGE, "TMPDIR is too long a path");
	if (!mkdtemp(path))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make %s", path);
	memcpy(daemon->directory, path, sizeof(path));
	snprintf(daemon->run_dir, sizeof(daemon->run_dir), "%s/run", path);
	snprintf(daemon->state_dir, sizeof(daemon->state_dir), "%s/state", path);
	snprintf(daemon->log_path, sizeof(daemon->log_path), "%s/log", path);
	if (mkdir(daemon->run_dir, 0700) || mkdir(daemon->state_dir, 0700))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make folders in %s",
				       path);
	return 0;
}

/* A copy and not a link: the image may be on another file system, or owned by another user. */
static int copy_image(const struct thaw_bench_daemon *daemon, const char *name, int image_fd,
		      struct thaw_error *err)
{
	thaw_autoclose int fd = -1;
	char path[sizeof(daemon->state_dir) + 72];
	off_t offset = 0;
	ssize_t done;

	snprintf(path, sizeof(path), "%s/%s" IMAGE_SUFFIX, daemon->state_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot make %s", path);
	while ((done = sendfile(fd, image_fd, &offset, (size_t)1 << 30)) > 0)
		;
	if (done < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot copy the image to %s",
				       path);
	return 0;
}

/* In the child. It gets a process group of its own, so that Ctrl-C at the terminal reaches the
 * benchmark alone, which then ends the daemon in order; and it dies with the benchmark, should
 * that be killed. */
static _Noreturn void become_daemon(struct thaw_bench_daemon *daemon, const char *thawd,
				    pid_t parent)
{
	char *const args[] = {(char[]){"thawd"},   (char[]){"--run"}, daemon->run_dir,
			      (char[]){"--state"}, daemon->state_dir, NULL};
	int log = open(daemon->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
	    getppid() != parent)
		_exit(THAW_ERR_ENGINE);
	execvp(thawd, args);
	dprintf(STDERR_FILENO, "cannot start %s: %s\n", thawd, strerror(errno));
	_exit(THAW_ERR_ENGINE);
}

int thaw_bench_daemon_start(const char *thawd, const char *name, int image_fd,
			    struct thaw_bench_daemon **out, struct thaw_error *err)
{
	struct thaw_bench_daemon *daemon = calloc(1, sizeof(*daemon));
	pid_t parent = getpid();

	if (!daemon)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot start a daemon");
	if (make_directories(daemon, err) || copy_image(daemon, name, image_fd, err)) {
		thaw_bench_daemon_stop(daemon);
		return -1;
	}
	daemon->pid = fork();
	if (daemon->pid == 0)
		become_daemon(daemon, thawd, parent);
	if (daemon->pid < 0) {
		thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot start %s", thawd);
		thaw_bench_daemon_stop(daemon);
		return -1;
	}
	*out = daemon;
	return 0;
}

/* Sends SIGTERM, and SIGKILL to a daemon that does not end in time. */
static void end_process(pid_t pid)
{
	thaw_autoclose int pidfd = pidfd_open(pid, 0);

	kill(pid, SIGTERM);
	if (pidfd < 0 || poll(&(struct pollfd){pidfd, POLLIN, 0}, 1, GRACE_MS) != 1)
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

void thaw_bench_daemon_stop(struct thaw_bench_daemon *daemon)
{
	if (!daemon)
		return;
	if (daemon->pid > 0)
		end_process(daemon->pid);
	if (*daemon->directory)
		nftw(daemon->directory, remove_entry, NFTW_FDS, FTW_DEPTH | FTW_PHYS);
	free(daemon);
}

const char *thaw_bench_daemon_run_dir(const struct thaw_bench_daemon *daemon)
{
	return daemon->run_dir;
}

/* The last line of the log; empty without a log. */
static void last_words(const struct thaw_bench_daemon *daemon, char *out, size_t size)
{
	thaw_autoclose int fd = open(daemon->log_path, O_RDONLY | O_CLOEXEC);
	char *newline;
	ssize_t got = -1;

	if (fd >= 0 &&
	    (lseek(fd, -(off_t)(size - 1), SEEK_END) >= 0 || lseek(fd, 0, SEEK_SET) == 0))
		got = read(fd, out, size - 1);
	out[got > 0 ? got : 0] = '\0';
	if (got > 0 && out[got - 1] == '\n')
		out[got - 1] = '\0';
	newline = strrchr(out, '\n');
	if (newline)
		memmove(out, newline + 1, strlen(newline + 1) + 1);
}

int thaw_bench_daemon_check(struct thaw_bench_daemon *daemon, struct thaw_error *err)
{
	char words[512];

	if (daemon->pid > 0 && waitpid(daemon->pid, NULL, WNOHANG) == 0)
		return 0;
	daemon->pid = 0;
	last_words(daemon, words, sizeof(words));
	return thaw_fail(err, THAW_ERR_ENGINE, "the benchmark's own thawd ended: %s",
			 *words ? words : "its log is empty");
}
