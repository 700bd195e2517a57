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

struct signal_queued;

/* Signals that are pending, and what is known of each. A set has SIGNAL_BIT(N) for signal N. */
struct signal_set {
	uint64_t signals;
	struct signal_queued *first;
};

/* A task's own part. */
struct task_signals {
	uint64_t blocked;
	struct signal_set pending;
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

/* What siginfo tells of a signal. */
struct signal_info {
	int signal, code;
	/* By code: the sender's pid and uid (pid 0: the program itself), or the timer's id and its
	 * overrun, which timers_delivered() sets. */
	int32_t of[2];
	uint64_t value;
};

/* Makes SIGNAL pending for TASK, or for the process (NULL), unless it is ignored and not blocked.
 * CODE is its reason. */
void signal_raise(int signal, struct task *task, int code);

/* The same, with all that is told of the signal. As in Linux a signal below 32 is pending once, and
 * the first one counts. Returns -EAGAIN when too many are queued, otherwise 0. */
int signal_queue(const struct signal_info *info, struct task *task);

/* Whether a signal of timer ID is pending; and drops it. */
bool signal_of_timer(int id);
void signal_drop_timer(int id);

/* Forgets what is pending for TASK, which has ended. */
void signal_forget(struct task *task);

/* Tells whether SIGNAL is ignored from now on. What is pending stays so. */
void signal_ignore(int signal, bool ignored);

/* Takes the signals that would be delivered to the current task now, but are ignored. They were blocked
 * when they came. */
void signal_drop_ignored(void);

/* Drops SIGNAL wherever it is pending. */
void signal_discard(int signal);
bool signal_is_ignored(int signal);

/* What is pending for TASK or for the process, blocked or not. */
uint64_t signal_set_pending(const struct task *task);

/* What TASK has to deliver, or to drop because it is ignored, before it goes on. */
uint64_t signal_set_deliverable(const struct task *task);

/* Whether a signal ends TASK's wait. Ignored ones do not. */
bool signal_interrupts(const struct task *task);

/* Takes a signal of WANTED, some of which are pending for the current task or the process: the lowest
 * of the task's own, or else of the process's. Returns it, and what is told of it in *INFO. The
 * caller then calls timers_delivered(). */
int signal_take(uint64_t wanted, struct signal_info *info);

#endif
