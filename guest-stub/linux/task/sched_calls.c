/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls about scheduling. There is one processor, and no choice to make. */
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

#define CPU_MASK_SIZE 8u

static const struct task *find(uint64_t tid)
{
	return (int)tid == 0 ? current : task_by_tid((int)tid);
}

long sys_sched_getaffinity(const uint64_t *a)
{
	const uint64_t mask = 1;

	if (!find(a[0]))
		return -ESRCH;
	if (a[1] < CPU_MASK_SIZE || a[1] % 8)
		return -EINVAL;
	return user_put(a[2], &mask, sizeof(mask)) ? -EFAULT : (long)CPU_MASK_SIZE;
}

long sys_sched_setaffinity(const uint64_t *a)
{
	uint8_t first = 0;

	if (!find(a[0]))
		return -ESRCH;
	if (a[1] && user_get(&first, a[2], 1))
		return -EFAULT;
	return first & 1 ? 0 : -EINVAL;
}

long sys_sched_getparam(const uint64_t *a)
{
	const int priority = 0;

	if ((int)a[0] < 0 || !a[1])
		return -EINVAL;
	return find(a[0]) ? user_put(a[1], &priority, sizeof(priority)) : -ESRCH;
}

static long check_priority(uint64_t address)
{
	int priority;

	if (user_get(&priority, address, sizeof(priority)))
		return -EFAULT;
	return priority == 0 ? 0 : -EINVAL;
}

long sys_sched_setparam(const uint64_t *a)
{
	if ((int)a[0] < 0 || !a[1])
		return -EINVAL;
	return find(a[0]) ? check_priority(a[1]) : -ESRCH;
}

long sys_sched_getscheduler(const uint64_t *a)
{
	if ((int)a[0] < 0)
		return -EINVAL;
	return find(a[0]) ? SCHED_NORMAL : -ESRCH;
}

/* A turn of the ordinary class, as long as Linux's. */
long sys_sched_rr_get_interval(const uint64_t *a)
{
	const struct linux_timespec slice = {0, 4000000};

	if ((int)a[0] < 0)
		return -EINVAL;
	return find(a[0]) ? user_put(a[1], &slice, sizeof(slice)) : -ESRCH;
}

long sys_sched_setscheduler(const uint64_t *a)
{
	int priority;

	if ((int)a[0] < 0 || (int)a[1] < 0 || !a[2])
		return -EINVAL;
	if (user_get(&priority, a[2], sizeof(priority)))
		return -EFAULT;
	if (!find(a[0]))
		return -ESRCH;
	switch ((int)a[1] & ~SCHED_RESET_ON_FORK) {
	case SCHED_NORMAL:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return check_priority(a[2]);
	case SCHED_FIFO:
	case SCHED_RR:
		return priority < 1 || priority > 99 ? -EINVAL : -EPERM;
	default:
		return -EINVAL;
	}
}

/* The priorities of the real-time classes, as in Linux. */
long sys_sched_get_priority_max(const uint64_t *a)
{
	return a[0] == SCHED_FIFO || a[0] == SCHED_RR ? 99 : a[0] > SCHED_DEADLINE ? -EINVAL : 0;
}

long sys_sched_get_priority_min(const uint64_t *a)
{
	return a[0] == SCHED_FIFO || a[0] == SCHED_RR ? 1 : a[0] > SCHED_DEADLINE ? -EINVAL : 0;
}

long sys_sched_getattr(const uint64_t *a)
{
	const struct sched_attr attributes = {.size = SCHED_ATTR_SIZE_VER0,
					      .sched_policy = SCHED_NORMAL};

	if (!a[1] || (int)a[0] < 0 || a[2] < SCHED_ATTR_SIZE_VER0 || a[2] > THAW_PAGE_SIZE || a[3])
		return -EINVAL;
	if (!find(a[0]))
		return -ESRCH;
	return user_put(a[1], &attributes, SCHED_ATTR_SIZE_VER0);
}

/* Whether WHO is the program: a process, its group or its user. */
static long check_who(uint64_t which, int who)
{
	switch (which) {
	case PRIO_PROCESS:
		return who == 0 || task_by_tid(who) ? 0 : -ESRCH;
	case PRIO_PGRP:
		return who == 0 || task_is_process(who) ? 0 : -ESRCH;
	case PRIO_USER:
		return who == 0 || (uint32_t)who == config.uid ? 0 : -ESRCH;
	default:
		return -EINVAL;
	}
}

/* Of the program. Remembered only: there is nothing that it would have to make way for. */
static int nice_value;

/* The raw system call returns 20 minus the nice value. */
long sys_getpriority(const uint64_t *a)
{
	long error = check_who(a[0], (int)a[1]);

	return error ? error : 20 - nice_value;
}

long sys_setpriority(const uint64_t *a)
{
	long error = check_who(a[0], (int)a[1]);

	int value = (int)a[2] < -20 ? -20 : (int)a[2] > 19 ? 19 : (int)a[2];

	if (error)
		return error;
	if (value < nice_value && config.uid != 0)
		return -EACCES;
	nice_value = value;
	return 0;
}

long sys_ioprio_get(const uint64_t *a)
{
	(void)a;
	return 0;
}

long sys_ioprio_set(const uint64_t *a)
{
	(void)a;
	return 0;
}
