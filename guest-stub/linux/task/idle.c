/* SPDX-License-Identifier: Apache-2.0 */
/* See idle.h. */
#include "guest-stub/linux/task/idle.h"

#include <asm/unistd.h>

#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/task/task.h"

#define LOOKS_MAX  1000u
#define SLEEPS_MAX 2u

bool idle_watching;
static unsigned looks, sleeps;
static bool looked;	  /* since the last sleep */
static uint64_t switches; /* at the first look */

static void reset(void)
{
	idle_watching = false;
	looks = sleeps = 0;
	looked = false;
}

/* Whether nothing has happened since the first look. */
static bool is_idle(void)
{
	if (task_switches == switches)
		return true;
	reset();
	return false;
}

static void reach_ready(void)
{
	reset();
	ready_point();
}

void idle_look(void)
{
	if (host_is_ready())
		return;
	is_idle();
	switches = task_switches;
	idle_watching = looked = true;
	if (++looks >= LOOKS_MAX)
		reach_ready();
}

void idle_slept(void)
{
	if (!is_idle())
		return;
	if (!looked) {
		reset();
		return;
	}
	looked = false;
	if (++sleeps >= SLEEPS_MAX)
		reach_ready();
}

void idle_call(uint64_t number, long result)
{
	switch (number) {
	case __NR_poll:
	case __NR_ppoll:
	case __NR_select:
	case __NR_pselect6:
	case __NR_epoll_wait:
	case __NR_epoll_pwait:
	case __NR_epoll_pwait2:
		/* Something was ready, or something is wrong: the program has something to do. */
		if (result)
			reset();
		return;
	case __NR_nanosleep:
	case __NR_clock_nanosleep:
	case __NR_clock_gettime:
	case __NR_gettimeofday:
	case __NR_time:
	case __NR_sched_yield:
	case __NR_ioctl:
	case __NR_fcntl:
	case __NR_rt_sigprocmask:
	case __NR_getpid:
	case __NR_gettid:
		return;
	default:
		if (result != -EAGAIN)
			reset();
	}
}
