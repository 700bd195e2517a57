/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the shim, tells it what to become, and ends it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "engine/host/futex.h"
#include "engine/process/process.h"
#include "snapshot-format/base/clock.h"

#define NOBODY	       65534
#define DEATH_CHECK_NS 10000000u /* a shim that dies before it is sealed wakes no thread */

/* RLIMIT_NPROC takes from clones the right to fork, but does not bind the system's root, and a user
 * namespace hides whether a process is that root. So it is tried, in a child: a hard limit cannot
 * be raised again. */
static bool forks_can_be_forbidden(void)
{
	static const struct rlimit none = {0, 0};
	pid_t child = fork(), grandchild;
	int status = 0;

	if (child == 0) {
		grandchild = setrlimit(RLIMIT_NPROC, &none) ? 0 : fork();
		_exit(grandchild < 0 ? 0 : 1);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* A shim is never the system's root, even where the engine runs as root. */
static bool become_nobody(void)
{
	if (geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
	    setresuid(NOBODY, NOBODY, NOBODY) == 0)
		return true;
	return geteuid() != 0 || forks_can_be_forbidden();
}

/* In the child: keeps the two descriptors, at their numbers, and nothing else; opens a process
 * group for itself and its clones. */
_Noreturn static void become_shim(const struct process_backend *backend, pid_t parent)
{
	char name[] = "thaw-shim", *const argv[] = {name, NULL}, *const envp[] = {NULL};
	/* Out of the way of the two numbers first, then into place. */
	int memory = fcntl(backend->memory_fd, F_DUPFD, 16),
	    arena = fcntl(backend->arena_fd, F_DUPFD, 16);
	int shim = fcntl(backend->shim_fd, F_DUPFD_CLOEXEC, 16);

	if (memory < 0 || arena < 0 || shim < 0 || !become_nobody() || setpgid(0, 0) ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
	    dup2(memory, SHIM_FD_MEMORY) < 0 || dup2(arena, SHIM_FD_ARENA) < 0)
		_exit(127);
	if (shim > SHIM_FD_ARENA + 1)
		close_range(SHIM_FD_ARENA + 1, (unsigned)shim - 1, 0);
	close_range((unsigned)shim + 1, ~0u, 0);
	execveat(shim, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

int process_spawn(struct process_backend *backend, struct thaw_error *err)
{
	pid_t parent = getpid(), pid;

	backend->control->go = 0;
	backend->control->step = SHIM_STARTED;
	backend->control->error = 0;
	backend->wanted = backend->control->ordered = backend->control->made = 0;
	pid = fork();
	if (pid < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot start the shim");
	if (pid == 0)
		become_shim(backend, parent);
	/* Parent and child both set it: the group must exist before any thread waits for it. */
	setpgid(pid, pid);
	backend->shim = pid;
	return 0;
}

void process_end(struct process_backend *backend)
{
	/* `pids`: while the group has members its number is not given to other processes. */
	pthread_rwlock_rdlock(&backend->pids);
	pthread_mutex_lock(&backend->lock);
	backend->closing = true;
	pthread_mutex_unlock(&backend->lock);
	if (backend->shim && !backend->group_gone)
		kill(-backend->shim, SIGKILL);
	pthread_rwlock_unlock(&backend->pids);
	if (backend->shim && !backend->reaper_started) {
		while (waitpid(backend->shim, NULL, 0) < 0 && errno == EINTR)
			;
		backend->shim = 0;
		backend->closing = false;
	}
}

static const char *step_name(uint32_t step)
{
	static const char *const names[] = {
		[SHIM_STARTED] = "mapping the guest's memory",
		[SHIM_MAPPED] = "setting limits and processor state",
		[SHIM_PREPARED] = "closing the seccomp filter",
	};

	return step < SHIM_SEALED ? names[step] : "running";
}

static bool shim_is_dead(const struct process_backend *backend)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)backend->shim, &info, WEXITED | WNOHANG | WNOWAIT) ||
	       info.si_pid;
}

int process_go(struct process_backend *backend, uint32_t mode, struct thaw_error *err)
{
	struct shim_control *control = backend->control;
	uint32_t step;
	int error;

	/* Release: the shim reads the rest of the block once it sees this. */
	__atomic_store_n(&control->go, mode, __ATOMIC_RELEASE);
	thaw_futex_wake(&control->go);
	while ((step = __atomic_load_n(&control->step, __ATOMIC_ACQUIRE)) != SHIM_SEALED) {
		error = __atomic_load_n(&control->error, __ATOMIC_ACQUIRE);
		if (error)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, error, "the shim failed at %s",
					       step_name(step));
		if (shim_is_dead(backend))
			return thaw_fail(err, THAW_ERR_ENGINE,
					 "the shim died at %s (does the host allow programs to be "
					 "executed from memory?)",
					 step_name(step));
		thaw_futex_wait(&control->step, step, thaw_monotonic_ns() + DEATH_CHECK_NS);
	}
	return 0;
}

int process_start(struct process_backend *backend, const struct thaw_source *source,
		  struct thaw_error *err)
{
	backend->source = *source;
	for (uint32_t i = 0; i < backend->slots; i++)
		backend->instances[i].base.engine = source->engine;
	/* A boot has used up the first shim. */
	if (!backend->shim && process_spawn(backend, err))
		return -1;
	if (process_configure(backend, SHIM_ZYGOTE, source, err) ||
	    process_go(backend, SHIM_ZYGOTE, err))
		return -1;
	return process_reaper_start(backend, err);
}
