/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: the program's threads, run co-operatively. A system call that has to wait says on what
 * condition; the scheduler asks each waiting task's condition before it lets it go on. There are
 * few tasks and no interrupts, so there are no wait queues to keep.
 */
#ifndef THAW_LINUX_TASK_H
#define THAW_LINUX_TASK_H

#include "guest-stub/linux/linux.h"
#include "guest-stub/linux/signal/signals.h"

#define TASKS_MAX	256
#define TASK_CORE_STACK 0x8000ul
#define TASK_NAME_SIZE	16

#define LINUX_PID	2 /* the program's; 1 would make it think that it is an init */

struct task {
	int tid;		     /* 0: free */
	struct registers *registers; /* of the call or fault at hand, on the core stack */
	uint64_t core_stack;	     /* its top; stays with the slot */
	uint64_t saved_stack;	     /* where the core was when it switched away */
	uint64_t fs_base, gs_base;   /* while it is switched away */
	uint8_t *vector_state;	     /* XSAVE area likewise; stays with the slot */
	uint64_t clear_child_tid, robust_list;
	/* What it waits for, and until when (monotonic; 0: for ever). NULL: it can run. */
	bool (*condition)(void *context);
	void *context;
	uint64_t deadline_ns;
	int wake; /* what the wait ended with */
	struct task_signals signals;
	char name[TASK_NAME_SIZE];
};

extern struct task *current;

/* The first task, which the core already runs as. */
void task_init(void);

/* Waits until CONDITION(CONTEXT) holds, other tasks run meanwhile. 0; -ETIMEDOUT once the monotonic
 * clock has DEADLINE_NS (0: never); -EINTR when a signal is to be delivered. When no task can ever
 * go on the invocation is given up. */
int task_wait(bool (*condition)(void *context), void *context, uint64_t deadline_ns);

/* A condition that never holds: a sleep. */
bool task_never(void *context);

/* Lets others run. */
void task_yield(void);

/* Lets others run until all of them wait: before the ready point, so that helper threads are where
 * they idle. */
void task_settle(void);

/* A new task that goes on with REGISTERS; NULL when there is no room. Its TID is set. */
struct task *task_new(const struct registers *registers, uint64_t fs_base);

/* The current task is no more; the last one ends the invocation with STATUS. */
_Noreturn void task_exit(int status);

struct task *task_by_tid(int tid);
int task_count(void);

/* The I-th task that there is, or NULL. */
struct task *task_nth(int i);

/* entry.S's: a new task's registers, once it runs. */
struct registers *task_begun(void);

/* futex.c: wakes up to COUNT waiters on the word at ADDRESS. How many. */
int futex_wake(uint64_t address, int count);

#endif
