/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls about clocks, and the sleeps. */
#include <asm/unistd.h>
#include <linux/resource.h>
#include <linux/time.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/idle.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"

#define TICKS_PER_SECOND 100u

/* A clock below zero is the processor time of a process or thread: the complement of its id, and three
 * bits that say which. */
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND	 3 /* the mask; as a value it is a device's clock */
#define CPU_CLOCK_SHIFT	 3

static bool cpu_clock_exists(int clock)
{
	int id = ~(clock >> CPU_CLOCK_SHIFT);

	if ((clock & CPU_CLOCK_KIND) == CPU_CLOCK_KIND)
		return false;
	if (id == 0)
		return true;
	return clock & CPU_CLOCK_THREAD ? task_by_tid(id) != NULL : task_is_process(id);
}

static int read_clock(int clock, uint64_t *ns)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI:
	case CLOCK_REALTIME_ALARM:
		*ns = host_wall_ns();
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ns = host_monotonic_ns();
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
	case CLOCK_THREAD_CPUTIME_ID:
		*ns = time_used_ns();
		return 0;
	default:
		if (clock >= 0 || !cpu_clock_exists(clock))
			return -EINVAL;
		*ns = time_used_ns();
		return 0;
	}
}

long sys_clock_gettime(const uint64_t *a)
{
	struct linux_timespec value;
	uint64_t ns;
	int error = read_clock((int)a[0], &ns);

	if (error)
		return error;
	value = time_split(ns);
	return user_put(a[1], &value, sizeof(value));
}

long sys_clock_getres(const uint64_t *a)
{
	const struct linux_timespec value = {0, 1};
	uint64_t ns;
	int error = read_clock((int)a[0], &ns);

	if (error || !a[1])
		return error;
	return user_put(a[1], &value, sizeof(value));
}

/* No program may set a clock, but its mistakes get their own errors. */
long sys_clock_settime(const uint64_t *a)
{
	int clock = (int)a[0], error;
	uint64_t ns;

	if (clock != CLOCK_REALTIME && (clock >= 0 || !cpu_clock_exists(clock)))
		return -EINVAL;
	error = time_get(a[1], &ns);
	if (error)
		return error;
	log_once(__NR_clock_settime, "refused: clock_settime: privileged (EPERM)");
	return -EPERM;
}

long sys_gettimeofday(const uint64_t *a)
{
	uint64_t now = host_wall_ns();
	const struct linux_timeval value = {(int64_t)(now / SECOND_NS),
					    (int64_t)(now % SECOND_NS / 1000)};
	const int32_t zone[2] = {0, 0};

	if (a[0] && user_put(a[0], &value, sizeof(value)))
		return -EFAULT;
	return a[1] ? user_put(a[1], zone, sizeof(zone)) : 0;
}

long sys_time(const uint64_t *a)
{
	int64_t now = (int64_t)(host_wall_ns() / SECOND_NS);

	if (a[0] && user_put(a[0], &now, sizeof(now)))
		return -EFAULT;
	return now;
}

/* Sleeps until DEADLINE_NS. A signal ends the sleep, and what is left of it goes to REMAINING. */
static long sleep_until(uint64_t deadline_ns, uint64_t remaining)
{
	struct linux_timespec rest;

	if (task_wait(task_never, NULL, deadline_ns) != -EINTR) {
		if (idle_watching)
			idle_slept();
		return 0;
	}
	rest = time_split(time_left(deadline_ns));
	if (remaining && user_put(remaining, &rest, sizeof(rest)))
		return -EFAULT;
	return -EINTR;
}

long sys_nanosleep(const uint64_t *a)
{
	uint64_t deadline_ns;
	int error = time_deadline(a[0], false, false, &deadline_ns);

	return error ? error : sleep_until(deadline_ns, a[1]);
}

long sys_clock_nanosleep(const uint64_t *a)
{
	bool absolute = a[1] & 1; /* TIMER_ABSTIME */
	bool wall = a[0] == CLOCK_REALTIME || a[0] == CLOCK_TAI;
	uint64_t deadline_ns, ns;
	int error = read_clock((int)a[0], &ns);

	switch ((int)a[0]) {
	case CLOCK_THREAD_CPUTIME_ID:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_REALTIME_COARSE:
		return -EOPNOTSUPP;
	}
	if (!error)
		error = time_deadline(a[2], absolute, wall, &deadline_ns);
	return error ? error : sleep_until(deadline_ns, absolute ? 0 : a[3]);
}

long sys_times(const uint64_t *a)
{
	const int64_t value[4] = {(int64_t)(time_used_ns() / (SECOND_NS / TICKS_PER_SECOND))};

	if (a[0] && user_put(a[0], value, sizeof(value)))
		return -EFAULT;
	return (long)(host_monotonic_ns() / (SECOND_NS / TICKS_PER_SECOND));
}

long sys_getrusage(const uint64_t *a)
{
	struct rusage usage;
	uint64_t used = time_used_ns();

	if ((int)a[0] < RUSAGE_CHILDREN || (int)a[0] > RUSAGE_THREAD)
		return -EINVAL;
	memset(&usage, 0, sizeof(usage));
	if ((int)a[0] != RUSAGE_CHILDREN) {
		usage.ru_utime.tv_sec = (long)(used / SECOND_NS);
		usage.ru_utime.tv_usec = (long)(used % SECOND_NS / 1000);
		usage.ru_maxrss = (long)(memory_mapped() / 1024);
	}
	return user_put(a[1], &usage, sizeof(usage));
}
