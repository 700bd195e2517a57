/* SPDX-License-Identifier: Apache-2.0 */
/* Running code in children; see trial.h. */
#include "trial.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define UNPRIVILEGED 54321

int trial_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSIGNALED(status) ? TRIAL_SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

int trial_fork(void (*body)(void *context), void *context)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		body(context);
		_exit(0);
	}
	return trial_wait(pid);
}

bool trial_unfiltered(long number, int result)
{
	return (number == 335 && result == TRIAL_SIGNALLED + SIGILL) ||
	       (number == 336 && result == ENXIO);
}

unsigned trial_callers(void)
{
	return geteuid() == 0 ? 2 : 1;
}

void trial_become(unsigned caller)
{
	if (caller == 0)
		return;
	TRIAL_CHECK(setgroups(0, NULL) == 0);
	TRIAL_CHECK(setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) == 0);
	TRIAL_CHECK(setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) == 0);
	/* A login would exec, which would make the process dumpable again. */
	TRIAL_CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
}

void trial_enter(struct thaw_jail_report *report)
{
	const struct thaw_jail_config config = {.uid = TRIAL_UID, .max_fds = TRIAL_MAX_FDS};
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_jail_enter(&config, report, &err)) {
		dprintf(2, "%s\n", err.message);
		_exit(98);
	}
}

struct jailed {
	unsigned caller;
	bool entered;
	void (*body)(struct thaw_jail_report *report, void *context);
	void *context;
};

static void jail(void *context)
{
	const struct jailed *jailed = context;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_jail_report report;
	int result;
	pid_t pid;

	trial_become(jailed->caller);
	pid = thaw_jail_clone(&report, NULL, &err);
	if (pid < 0)
		dprintf(2, "%s\n", err.message);
	TRIAL_CHECK(pid >= 0);
	if (pid == 0) {
		if (jailed->entered)
			trial_enter(&report);
		jailed->body(&report, jailed->context);
		_exit(0);
	}
	result = trial_wait(pid);
	_exit(result >= TRIAL_SIGNALLED ? result - TRIAL_SIGNALLED + 128 : result);
}

int trial_jail(unsigned caller, bool entered,
	       void (*body)(struct thaw_jail_report *report, void *context), void *context)
{
	struct jailed jailed = {caller, entered, body, context};
	int result = trial_fork(jail, &jailed);

	return result > 128 && result < 128 + 65 ? result - 128 + TRIAL_SIGNALLED : result;
}
