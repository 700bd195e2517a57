/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that were raised and not delivered yet. Waits and timers need to know of them, so they
 * live here with the tasks; signal/ delivers them.
 */
#ifndef THAW_LINUX_PENDING_H
#define THAW_LINUX_PENDING_H

#include "guest-stub/linux/linux.h"

#define SIGNAL_COUNT	   65 /* 1..64 */
#define SIGNAL_BIT(signal) (UINT64_C(1) << ((signal)-1))

/* The signals (of <asm/signal.h>) whose default action does not end the program. Those that would
 * stop it are among them, since there is no other process to let it go on. */
#define SIGNALS_IGNORED_BY_DEFAULT                                                                 \
	(SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT) |   \
	 SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU) | SIGNAL_BIT(SIGSTOP))

struct task;

/* A task's own part. Sets have SIGNAL_BIT(N) for signal N. */
struct task_signals {
	uint64_t blocked, pending;
	uint64_t alternate_start, alternate_size;
	uint32_t alternate_flags;
	bool restore_mask; /* `blocked` becomes `suspended` again when the call at hand returns */
	uint64_t suspended;
};

/* The reason that siginfo gives: SI_USER, SI_TIMER, SI_TKILL, SI_KERNEL. */
#define SIGNAL_USER   0
#define SIGNAL_TIMER  (-2)
#define SIGNAL_TKILL  (-6)
#define SIGNAL_KERNEL 0x80

/* Makes SIGNAL pending for TASK, or for the process (NULL), unless it is ignored and not blocked.
 * CODE is its reason. */
void signal_raise(int signal, struct task *task, int code);

/* The reason for which SIGNAL was raised last. */
int signal_code(int signal);

/* Tells whether SIGNAL is ignored from now on. Ignoring it drops it where it is pending. */
void signal_ignore(int signal, bool ignored);
bool signal_is_ignored(int signal);

/* What is pending for TASK or for the process, blocked or not. */
uint64_t signal_set_pending(const struct task *task);

/* What TASK has to deliver, or to drop because it is ignored, before it goes on. */
uint64_t signal_set_deliverable(const struct task *task);

/* Whether a signal ends TASK's wait. Ignored ones do not. */
bool signal_interrupts(const struct task *task);

/* Takes the lowest signal of WANTED, which are pending for the current task or the process. */
int signal_take(uint64_t wanted);

#endif
