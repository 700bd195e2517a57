/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks that there are, and what the program calls them. */
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/task/task.h"

/* The ids of generations begin here, and behind all that the boot has told. */
#define FIRST_TOLD 1000

/* How many there are, so that ids stay below the kernel's limit of 2^22. */
#define TOLD_SPREAD 4000000u

struct task tasks[TASKS_MAX];
struct task *current = &tasks[0];

int task_count(void)
{
	int count = 0;

	for (int i = 0; i < TASKS_MAX; i++)
		count += tasks[i].tid != 0;
	return count;
}

struct task *task_nth(int i)
{
	for (int at = 0; at < TASKS_MAX; at++)
		if (tasks[at].tid && i-- == 0)
			return &tasks[at];
	return NULL;
}

/* The numbers that the boot has told are below it. Nothing of this is written by a thaw, which would
 * cost each clone a page. */
static int boot_end = INT32_MAX;

void task_numbers_settle(int next_tid)
{
	boot_end = next_tid;
}

/* What is added to a number since the thaw. */
static int told_base(void)
{
	return FIRST_TOLD + boot_end + (int)(host_generation() % TOLD_SPREAD) - LINUX_PID;
}

int task_told(int tid)
{
	return host_generation() ? tid + told_base() : tid;
}

int task_known_as(const struct task *task)
{
	return task->known_as ? task->known_as : task_told(task->tid);
}

int task_pid(void)
{
	return task_told(LINUX_PID);
}

static int number_of(int told)
{
	return told < boot_end || !host_generation() ? told : told - told_base();
}

struct task *task_by_number(int tid)
{
	for (int i = 0; i < TASKS_MAX; i++)
		if (tid > 0 && tasks[i].tid == tid)
			return &tasks[i];
	return NULL;
}

struct task *task_by_tid(int told)
{
	return task_by_number(number_of(told));
}

bool task_is_process(int pid)
{
	return number_of(pid) == LINUX_PID;
}
