/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: alarm(2), setitimer(2) and POSIX timers. No interrupt runs them: the core checks them
 * after each system call and while every task waits.
 */
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/time.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"
#include "guest-stub/linux/task/timers.h"

#define INTERVAL_TIMERS 3
#define POSIX_TIMERS	32

struct timer {
	bool used;
	int signal;		      /* 0: none */
	bool wall;		      /* absolute times are the wall clock's */
	uint64_t due_ns, interval_ns; /* due: a deadline of time.h; 0: not armed */
};

static struct timer timers[INTERVAL_TIMERS + POSIX_TIMERS] = {
	[0] = {.used = true, .signal = SIGALRM},
	[1] = {.used = true, .signal = SIGVTALRM},
	[2] = {.used = true, .signal = SIGPROF},
};
static unsigned armed;

static void arm_at(struct timer *timer, uint64_t due_ns, uint64_t interval_ns)
{
	armed -= timer->due_ns != 0;
	timer->due_ns = due_ns;
	timer->interval_ns = interval_ns;
	armed += timer->due_ns != 0;
}

static void arm(struct timer *timer, uint64_t after_ns, uint64_t interval_ns)
{
	arm_at(timer, after_ns ? time_after(after_ns) : 0, interval_ns);
}

/* Arms a timer that was due at or before NOW, a time of its clock, for its next period. */
static void arm_again(struct timer *timer, uint64_t now)
{
	uint64_t periods = timer->interval_ns ? (now - timer->due_ns) / timer->interval_ns + 1 : 0;

	arm_at(timer, periods ? timer->due_ns + periods * timer->interval_ns : 0,
	       timer->interval_ns);
}

/* At least 1 for an armed timer, since 0 would mean that it is not. */
static uint64_t left(const struct timer *timer)
{
	uint64_t left_ns = timer->due_ns ? time_left(timer->due_ns) : 0;

	return timer->due_ns && !left_ns ? 1 : left_ns;
}

bool timers_armed(void)
{
	return armed != 0;
}

void timers_check(void)
{
	uint64_t now;

	if (!armed)
		return;
	for (unsigned i = 0; i < INTERVAL_TIMERS + POSIX_TIMERS; i++) {
		struct timer *timer = &timers[i];

		if (!timer->due_ns || (now = time_now_for(timer->due_ns)) < timer->due_ns)
			continue;
		if (timer->signal)
			signal_raise(timer->signal, NULL,
				     i < INTERVAL_TIMERS ? SIGNAL_KERNEL : SIGNAL_TIMER);
		arm_again(timer, now);
	}
}

long sys_alarm(const uint64_t *a)
{
	uint64_t before = left(&timers[0]);

	arm(&timers[0], (uint32_t)a[0] * SECOND_NS, 0);
	return (long)((before + SECOND_NS - 1) / SECOND_NS);
}

struct linux_itimerval {
	struct linux_timeval interval, value;
};

static struct linux_timeval to_timeval(uint64_t ns)
{
	return (struct linux_timeval){(int64_t)(ns / SECOND_NS), (int64_t)(ns % SECOND_NS / 1000)};
}

static uint64_t of_timeval(struct linux_timeval value)
{
	return (uint64_t)value.seconds * SECOND_NS + (uint64_t)value.microseconds * 1000;
}

static bool is_valid(struct linux_timeval value)
{
	return value.seconds >= 0 && value.seconds < (INT64_MAX >> 31) && value.microseconds >= 0 &&
	       value.microseconds < 1000000;
}

static int put_itimer(uint64_t address, const struct timer *timer)
{
	const struct linux_itimerval value = {to_timeval(timer->interval_ns),
					      to_timeval(left(timer))};

	return user_put(address, &value, sizeof(value));
}

long sys_getitimer(const uint64_t *a)
{
	return a[0] >= INTERVAL_TIMERS ? -EINVAL : put_itimer(a[1], &timers[a[0]]);
}

long sys_setitimer(const uint64_t *a)
{
	struct linux_itimerval value = {0};

	if (a[0] >= INTERVAL_TIMERS)
		return -EINVAL;
	if (a[1] && user_get(&value, a[1], sizeof(value)))
		return -EFAULT;
	if (!is_valid(value.interval) || !is_valid(value.value))
		return -EINVAL;
	if (a[2] && put_itimer(a[2], &timers[a[0]]))
		return -EFAULT;
	arm(&timers[a[0]], of_timeval(value.value), of_timeval(value.interval));
	return 0;
}

static struct timer *posix_timer(uint64_t id)
{
	struct timer *timer = id < POSIX_TIMERS ? &timers[INTERVAL_TIMERS + id] : NULL;

	return timer && timer->used ? timer : NULL;
}

long sys_timer_create(const uint64_t *a)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};

	if (a[1] && user_get(&event, a[1], sizeof(event)))
		return -EFAULT;
	if (event.sigev_notify == SIGEV_SIGNAL &&
	    (event.sigev_signo < 1 || event.sigev_signo >= SIGNAL_COUNT))
		return -EINVAL;
	for (int id = 0; id < POSIX_TIMERS; id++) {
		struct timer *timer = &timers[INTERVAL_TIMERS + id];

		if (timer->used)
			continue;
		if (user_put(a[2], &id, sizeof(id)))
			return -EFAULT;
		*timer = (struct timer){
			.used = true,
			.wall = a[0] == CLOCK_REALTIME || a[0] == CLOCK_TAI ||
				a[0] == CLOCK_REALTIME_ALARM,
			.signal = event.sigev_notify == SIGEV_NONE ? 0 : event.sigev_signo};
		return 0;
	}
	return -EAGAIN;
}

struct linux_itimerspec {
	struct linux_timespec interval, value;
};

static int put_itimerspec(uint64_t address, const struct timer *timer)
{
	const struct linux_itimerspec value = {time_split(timer->interval_ns),
					       time_split(left(timer))};

	return user_put(address, &value, sizeof(value));
}

long sys_timer_settime(const uint64_t *a)
{
	struct timer *timer = posix_timer(a[0]);
	uint64_t value_ns, interval_ns;
	int error;

	if (!timer)
		return -EINVAL;
	error = time_get(a[2], &interval_ns);
	if (!error)
		error = time_get(a[2] + sizeof(struct linux_timespec), &value_ns);
	if (!error && a[3])
		error = put_itimerspec(a[3], timer);
	if (error)
		return error;
	if (a[1] & 1 && value_ns) /* TIMER_ABSTIME */
		arm_at(timer, timer->wall ? value_ns | TIME_WALL : value_ns, interval_ns);
	else
		arm(timer, value_ns, interval_ns);
	return 0;
}

long sys_timer_gettime(const uint64_t *a)
{
	const struct timer *timer = posix_timer(a[0]);

	return timer ? put_itimerspec(a[1], timer) : -EINVAL;
}

long sys_timer_getoverrun(const uint64_t *a)
{
	return posix_timer(a[0]) ? 0 : -EINVAL;
}

long sys_timer_delete(const uint64_t *a)
{
	struct timer *timer = posix_timer(a[0]);

	if (!timer)
		return -EINVAL;
	arm(timer, 0, 0);
	timer->used = false;
	return 0;
}
