/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that a program raises at itself, and faults that it handles. */
#ifndef THAW_LINUX_SIGNALS_H
#define THAW_LINUX_SIGNALS_H

#include "guest-stub/linux/linux.h"

#define SIGNALS 65 /* 1..64 */

struct task_signals {
	uint64_t blocked, pending; /* bit N - 1 for signal N */
	uint64_t alternate_start, alternate_size;
	uint32_t alternate_flags;
	bool restore_mask; /* sigsuspend, ppoll, pselect: put `suspended` back on the way out */
	uint64_t suspended;
};

/* Makes SIGNAL pending for the process (TID 0) or a task. 0 or -errno. */
int signal_raise(int signal, int tid);

/* Whether the current task has a signal that is to be delivered now. */
bool signal_pending(void);

/* On the way back to the program: builds handlers' frames or carries out the default action.
 * RESTARTED says whether REGISTERS are those of a system call that returned -EINTR. */
void signal_deliver(struct registers *registers, long number);

/* Replaces the blocked signals until the call at hand has returned (ppoll, pselect6, epoll_pwait).
 */
void signal_mask_for_call(uint64_t mask);

#endif
