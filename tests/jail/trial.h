/* SPDX-License-Identifier: Apache-2.0 */
/* Trials: code that runs in a child of its own, because it gives privileges up for good or is
 * killed. */
#ifndef TRIAL_H
#define TRIAL_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "engine/jail/jail.h"

/* In a child: a failed condition is printed and ends the child with exit code 99. */
#define TRIAL_CHECK(condition)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			dprintf(2, "%s:%d: %s (errno %m)\n", __FILE__, __LINE__, #condition);      \
			_exit(99);                                                                 \
		}                                                                                  \
	} while (0)

#define TRIAL_SIGNALLED 1000 /* added to the number of the signal that killed a child */
#define TRIAL_UID	1500000001u
#define TRIAL_MAX_FDS	64u

/* Waits for a child. Returns its exit code, or TRIAL_SIGNALLED + the signal. */
int trial_wait(pid_t pid);

/* Runs BODY in a forked child. Returns as trial_wait() does. */
int trial_fork(void (*body)(void *context), void *context);

/* Whether RESULT is that of a call which newer kernels let past every filter: uretprobe (335) or
 * uprobe (336), made by a tracer's trampoline. From any other code they end in SIGILL and in ENXIO,
 * and are of no use to a guest. */
bool trial_unfiltered(long number, int result);

/* The number of callers that a jail is tried for: root is tried as itself and unprivileged, any
 * other user only as itself. */
unsigned trial_callers(void);
/* In a child: becomes caller number CALLER. */
void trial_become(unsigned caller);

/* In a child of caller CALLER: clones a jailed child, which runs BODY in the new namespaces before
 * (ENTERED false) or after thaw_jail_enter(). Returns the result of the inner child. */
int trial_jail(unsigned caller, bool entered,
	       void (*body)(struct thaw_jail_report *report, void *context), void *context);

/* In a child: enters the jail with the trial's settings. */
void trial_enter(struct thaw_jail_report *report);

#endif
