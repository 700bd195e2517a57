/* SPDX-License-Identifier: Apache-2.0 */
/* The delivery of signals: handlers, default actions and frames. */
#ifndef THAW_LINUX_SIGNALS_H
#define THAW_LINUX_SIGNALS_H

#include <linux/signal.h>

#include "guest-stub/linux/linux.h"
#include "guest-stub/linux/task/pending.h"

/* Delivers the current task's signals on its way back to the program from system call NUMBER:
 * builds handlers' frames, carries out default actions, and lets the call start again if Linux
 * would. Returns whether a register other than rax has changed. */
bool signal_deliver(struct registers *registers, uint64_t number);

/* Handles a fault of the program: enters its handler, or ends the invocation. */
void signal_fault(struct registers *registers, int signal, uint32_t vector, uint64_t address);

/* Replaces the current task's blocked signals until the call at hand returns (ppoll, pselect6,
 * epoll_pwait, rt_sigsuspend). */
void signal_mask_for_call(uint64_t mask);

/* ---- frame.c ---- */

struct signal_action {
	uint64_t handler, flags, restorer, mask;
};
struct signal_cause {
	int signal, code;
	uint64_t address;
	uint32_t vector; /* UINT32_MAX: not a fault */
	struct signal_info info;
};

/* Writes INFO, which is of no fault, as a program finds it. */
void signal_info_write(siginfo_t *out, const struct signal_info *info);

/* Puts a frame on the program's stack and points REGISTERS at the handler. Returns false when there
 * is no room for it. */
bool signal_frame_build(struct registers *registers, const struct signal_action *action,
			const struct signal_cause *cause, uint64_t blocked);

#endif
