/* SPDX-License-Identifier: Apache-2.0 */
/* The table of tasks. */
#include "guest-stub/linux/task/task.h"

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

struct task *task_by_tid(int tid)
{
	for (int i = 0; i < TASKS_MAX; i++)
		if (tid > 0 && tasks[i].tid == tid)
			return &tasks[i];
	return NULL;
}
