/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that a program raises at itself, and faults that it handles. */
#ifndef THAW_LINUX_SIGNALS_H
#define THAW_LINUX_SIGNALS_H

#include "guest-stub/linux/linux.h"

#define SIGNAL_COUNT 65 /* 1..64 */

struct task;

struct task_signals {
	uint64_t blocked, pending; /* bit N - 1 for signal N */
	uint64_t alternate_start, alternate_size;
	uint32_t alternate_flags;
	bool restore_mask; /* put `suspended` back on the way out of the call at hand */
	uint64_t suspended;
};

/* Why a signal came, for siginfo: SI_USER, SI_TKILL, SI_TIMER, SI_KERNEL. */
#define SIGNAL_USER   0
#define SIGNAL_TIMER  (-2)
#define SIGNAL_TKILL  (-6)
#define SIGNAL_KERNEL 0x80

/* Makes SIGNAL pending for TASK, or for the process (NULL). */
void signal_raise(int signal, struct task *task, int code);

/* Whether a signal is to be delivered to the current task; to TASK. */
bool signal_pending(void);
bool signal_pending_for(const struct task *task);

/* On the way back to the program from system call NUMBER: builds handlers' frames or carries out
 * default actions. Whether any register but rax was changed. */
bool signal_deliver(struct registers *registers, uint64_t number);

/* A fault of the program's: its handler's frame, or the end. */
void signal_fault(struct registers *registers, int signal, uint32_t vector, uint64_t address);

/* Replaces the blocked signals until the call at hand has returned (ppoll, pselect6, epoll_pwait,
 * rt_sigsuspend). */
void signal_mask_for_call(uint64_t mask);

/* frame.c */
struct signal_action {
	uint64_t handler, flags, restorer, mask;
};
struct signal_cause {
	int signal, code;
	uint64_t address;
	uint32_t vector;
};
/* Puts a frame on the program's stack and points REGISTERS at the handler. False: no room. */
bool signal_frame_build(struct registers *registers, const struct signal_action *action,
			const struct signal_cause *cause, uint64_t blocked);

#endif
