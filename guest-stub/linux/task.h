/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: the program's threads, run co-operatively. A system call that has to wait says on what
 * condition; the scheduler asks each waiting task's condition before it lets it go on. There are
 * few tasks and no interrupts, so there are no wait queues to keep.
 */
#ifndef THAW_LINUX_TASK_H
#define THAW_LINUX_TASK_H

#include "guest-stub/linux/linux.h"
#include "guest-stub/linux/signals.h"

#define TASKS_MAX	256
#define TASK_CORE_STACK 0x8000ul

struct task {
	int tid;		     /* 0: free */
	struct registers *registers; /* of the system call or fault at hand, on the core stack */
	uint64_t core_stack;	     /* its top */
	uint64_t saved_stack;	     /* where the core was when it switched away */
	uint64_t fs_base, gs_base;
	uint8_t *vector_state; /* XSAVE area while it is switched away */
	uint64_t clear_child_tid, robust_list;
	/* What it waits for; condition NULL: it can run. */
	bool (*condition)(void *context);
	void *context;
	uint64_t deadline_ns; /* monotonic; 0: none */
	bool exited;
	struct task_signals signals;
	char name[16];
};

extern struct task *current;

/* Waits until CONDITION(CONTEXT) holds, other tasks run meanwhile. 0; -ETIMEDOUT once the monotonic
 * clock has DEADLINE_NS (0: never); -EINTR when a signal is to be delivered. When no task can ever
 * go on the invocation is given up. */
int task_wait(bool (*condition)(void *context), void *context, uint64_t deadline_ns);

/* Lets others run. */
void task_yield(void);

/* Lets others run until all of them wait: before the ready point, so that helper threads are where
 * they idle. */
void task_settle(void);

struct task *task_by_tid(int tid);
int task_count(void);

#define LINUX_PID 2 /* the program's process; 1 would make shells and init-like programs think */

#endif
