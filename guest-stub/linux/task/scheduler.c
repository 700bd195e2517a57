/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: round-robin among the tasks that can run. It switches when a task waits, and at the
 * end of a system call or in a tick when the task has had its turn.
 */
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/task/cpu.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"
#include "guest-stub/linux/task/timers.h"

/* How long the other tasks have to come to a wait before the guest is frozen. One that loops for ever
 * is frozen in its loop. */
#define SETTLE_ROUNDS 4096
#define SETTLE_NS     (3 * SECOND_NS)

/* A turn: half a millisecond to one on processors of 2 to 4 GHz, or so many system calls. */
#define TURN_CYCLES (UINT64_C(1) << 21)
#define TURN_CALLS  256u

static uint8_t first_core_stack[TASK_CORE_STACK] __attribute__((aligned(4096)));
uint64_t core_stack_top = (uint64_t)(first_core_stack + TASK_CORE_STACK);
static int next_tid = LINUX_PID;
unsigned task_others;
uint64_t task_switches;
static uint64_t turn_began; /* by the TSC */
static unsigned turn_calls;

void task_init(void)
{
	current->tid = next_tid++;
	current->core_stack = core_stack_top;
}

void task_freeze(void)
{
	task_numbers_settle(next_tid);
}

bool task_never(void *context)
{
	(void)context;
	return false;
}

static bool can_run(struct task *task)
{
	if (!task->tid)
		return false;
	task->wake = 0;
	if (!task->condition || task->condition(task->context))
		return true;
	if (signal_interrupts(task))
		task->wake = -EINTR;
	else if (task->deadline_ns && time_has_come(task->deadline_ns))
		task->wake = -ETIMEDOUT;
	return task->wake != 0;
}

/* The next task that can run, beginning behind the current one, which comes last; or NULL. */
static struct task *pick(void)
{
	int here = (int)(current - tasks);

	for (int i = 1; i <= TASKS_MAX; i++) {
		struct task *task = &tasks[(here + i) % TASKS_MAX];

		if (can_run(task))
			return task;
	}
	return NULL;
}

static bool any_deadline(void)
{
	for (int i = 0; i < TASKS_MAX; i++)
		if (tasks[i].tid && tasks[i].deadline_ns)
			return true;
	return timers_armed();
}

static uint8_t *vector_area(struct task *task)
{
	if (!task->vector_state) {
		uint8_t *area = malloc(vector_size + 64);

		if (!area)
			host_abort("no memory for a thread");
		task->vector_state = (uint8_t *)(((uintptr_t)area + 63) & ~(uintptr_t)63);
	}
	return task->vector_state;
}

static void begin_turn(void)
{
	turn_began = __builtin_ia32_rdtsc();
	turn_calls = 0;
}

static void switch_to(struct task *next)
{
	struct task *previous = current;

	if (next == previous)
		return;
	task_switches++;
	begin_turn();
	vector_save(vector_area(previous));
	previous->fs_base = segments_fs();
	previous->gs_base = segments_gs();
	current = next;
	core_stack_top = next->core_stack;
	segments_set(next->fs_base, next->gs_base);
	core_switch(&previous->saved_stack, next->saved_stack);
	vector_restore(current->vector_state);
}

/* Spins when only time can end a wait, since the guest has no way to sleep. */
static struct task *pick_or_spin(void)
{
	struct task *next;

	while (!(next = pick())) {
		if (!any_deadline())
			host_abort("deadlock: every thread of the program waits for another one");
		__asm__ volatile("pause");
		timers_check();
	}
	return next;
}

int task_wait(bool (*condition)(void *context), void *context, uint64_t deadline_ns)
{
	if (condition(context))
		return 0;
	current->condition = condition;
	current->context = context;
	current->deadline_ns = deadline_ns;
	switch_to(pick_or_spin());
	current->condition = NULL;
	current->deadline_ns = 0;
	return current->wake;
}

void task_yield(void)
{
	switch_to(pick_or_spin());
}

void task_turn(void)
{
	if (++turn_calls < TURN_CALLS && __builtin_ia32_rdtsc() - turn_began < TURN_CYCLES)
		return;
	begin_turn();
	task_yield();
}

void task_settle(void)
{
	uint64_t end_ns = time_after(SETTLE_NS);

	for (int round = 0; round < SETTLE_ROUNDS && pick() != current && !time_has_come(end_ns);
	     round++)
		task_yield();
}

static struct task *free_slot(void)
{
	for (int i = 0; i < TASKS_MAX; i++)
		if (!tasks[i].tid)
			return &tasks[i];
	return NULL;
}

struct task *task_new(const struct registers *registers, uint64_t fs_base)
{
	struct task *task = free_slot();
	uint64_t *stack;

	if (!task)
		return NULL;
	if (!task->core_stack) {
		uint64_t memory = (uint64_t)malloc(TASK_CORE_STACK);

		if (!memory)
			return NULL;
		task->core_stack = memory + TASK_CORE_STACK;
	}
	task->registers = (struct registers *)task->core_stack - 1;
	*task->registers = *registers;
	/* What core_switch() pops: six registers and a return address. The stack is then off by one
	 * word from a function's entry, which is right for core_task_begin: it calls at once. */
	stack = (uint64_t *)task->registers - 7;
	memset(stack, 0, 6 * sizeof(*stack));
	stack[6] = (uint64_t)core_task_begin;
	task->saved_stack = (uint64_t)stack;
	task->fs_base = fs_base;
	task->gs_base = segments_gs();
	vector_save(vector_area(task));
	task->clear_child_tid = task->robust_list = 0;
	task->condition = NULL;
	task->deadline_ns = 0;
	signal_forget(task);
	task->signals = (struct task_signals){.blocked = current->signals.blocked};
	memcpy(task->name, current->name, sizeof(task->name));
	task->tid = next_tid++;
	if (task_others++ == 0) {
		begin_turn();
		timers_want_ticks();
	}
	return task;
}

struct registers *task_begun(void)
{
	vector_restore(current->vector_state);
	return current->registers;
}

void task_exit(int status)
{
	if (task_count() == 1)
		host_end(status);
	/* The slot keeps its stack, on which this code runs until the switch. */
	current->tid = 0;
	current->clear_child_tid = 0;
	task_others--;
	switch_to(pick_or_spin());
	__builtin_trap();
}
