/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: the program's threads, which run one at a time and take turns. A system call that has to
 * wait gives the scheduler a condition, and the scheduler asks each waiting task's condition before
 * it lets that task go on. There are few tasks, and no interrupt reaches the core, so wait queues are
 * not needed.
 */
#ifndef THAW_LINUX_TASK_H
#define THAW_LINUX_TASK_H

#include "guest-stub/linux/linux.h"
#include "guest-stub/linux/task/pending.h"

#define TASKS_MAX	256
#define TASK_CORE_STACK 0x8000ul
#define TASK_NAME_SIZE	16

/* The first task's number, which is its tid and the process's id at boot. A program with 1 would
 * think that it is init. */
#define LINUX_PID 2

/* The id of its parent, of which it knows nothing else. */
#define LINUX_PARENT 1

struct task {
	int tid;		     /* its number, from LINUX_PID on; 0: the slot is free */
	struct registers *registers; /* of the call or fault at hand, on the core stack */
	uint64_t core_stack;	     /* its top; stays with the slot */
	uint64_t saved_stack;	     /* the core's stack pointer, while another task runs */
	uint64_t fs_base, gs_base;   /* while another task runs */
	uint8_t *vector_state;	     /* XSAVE area, likewise; stays with the slot */
	uint64_t clear_child_tid, robust_list;
	int known_as; /* see task_known_as(); 0: it was not told yet */
	/* The wait's condition (NULL: the task can run) and end (a deadline of time.h; 0: none). */
	bool (*condition)(void *context);
	void *context;
	uint64_t deadline_ns;
	int wake; /* the wait's result: 0, -EINTR or -ETIMEDOUT */
	struct task_signals signals;
	char name[TASK_NAME_SIZE];
};

/* ---- table.c ---- */

/* The slots; only scheduler.c writes here. */
extern struct task tasks[TASKS_MAX];

/* The task that runs. */
extern struct task *current;

/*
 * What the program is told. A task keeps its number, but after a thaw the program is told another
 * one, which differs in each generation: libraries that find a new process id reseed their
 * generators. The program may have kept what it was told at boot (C libraries have each thread's tid
 * in its memory), so the numbers of the boot go on meaning the same tasks.
 */

/* What the program is told of the task with number TID. */
int task_told(int tid);

/* The id under which the program's C library knows the task: it keeps the one that it was told when the
 * task began. */
int task_known_as(const struct task *task);

/* The process's id, as the program is told. */
int task_pid(void);

/* The task with number TID, or NULL. */
struct task *task_by_number(int tid);

/* The task that the program calls TOLD, now or since the boot; NULL: there is none. */
struct task *task_by_tid(int told);

/* Whether the program means itself by PID. */
bool task_is_process(int pid);

/* Ends the boot: numbers below NEXT_TID are those that it has told. */
void task_numbers_settle(int next_tid);

/* The number of tasks, and the I-th of them; NULL when there are not so many. */
int task_count(void);
struct task *task_nth(int i);

/* ---- scheduler.c ---- */

/* Makes the first task, as which the core already runs. */
void task_init(void);

/* Called last before the guest is frozen. */
void task_freeze(void);

/* Waits until CONDITION(CONTEXT) holds, and lets other tasks run meanwhile. CONDITION is asked while
 * other tasks run, so it must not use `current`. Returns 0; -ETIMEDOUT once DEADLINE_NS (of
 * time.h; 0: never) has come; -EINTR when a signal is to be delivered. Ends the invocation when
 * no task can ever go on. */
int task_wait(bool (*condition)(void *context), void *context, uint64_t deadline_ns);

/* A condition that never holds, for sleeps. */
bool task_never(void *context);

/* Lets the other tasks run once. */
void task_yield(void);

/* How many tasks there are besides the current one. */
extern unsigned task_others;

/* How often another task was switched to. */
extern uint64_t task_switches;

/* At the end of a system call and in a tick, where there are other tasks: lets them run if this one has
 * had its turn, however many of its calls were answered at once. */
void task_turn(void);

/* Lets the other tasks run until all of them wait, so that they are frozen where they idle. */
void task_settle(void);

/* Makes a task that goes on with REGISTERS, and returns it; NULL when there is no room. */
struct task *task_new(const struct registers *registers, uint64_t fs_base);

/* Ends the current task. The last one ends the invocation with STATUS. */
_Noreturn void task_exit(int status);

/* For switch.S: the registers of a new task that runs for the first time. */
struct registers *task_begun(void);

/* ---- futex.c ---- */

/* Wakes at most COUNT tasks that wait on the word at ADDRESS. Returns how many. */
int futex_wake(uint64_t address, int count);

/* ---- mutex.c: futex(2)'s mutexes with priority inheritance, which the kernel hands over ---- */

/* Takes the mutex at ADDRESS, and waits for it if WAITS. 0 or a negative errno. */
long mutex_lock(uint64_t address, bool waits, uint64_t deadline_ns);

/* Gives it to the task that has waited longest. 0, -EPERM or -EFAULT. */
long mutex_unlock(uint64_t address);

bool mutex_has_waiters(uint64_t address);

/* The current task ends: the mutexes for which others wait go to them. */
void mutex_exit(void);

/* ---- robust.c ---- */

/* The current task ends: marks the robust mutexes that it holds. */
void robust_exit(void);

/* ---- system.c ---- */

/* How many bytes of memory the program is told that there are: the function's limit. */
uint64_t system_memory(void);

/* What getrlimit() answers for RESOURCE, below RLIM_NLIMITS. */
void system_limit(unsigned resource, uint64_t *soft, uint64_t *hard);

#endif
