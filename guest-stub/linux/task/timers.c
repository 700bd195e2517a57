/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: alarm(2), setitimer(2) and POSIX timers. The core checks them after each system call, while
 * every task waits, and at each tick.
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
	struct task *task;	      /* whom it goes to: NULL for the process; and its number, */
	int tid;		      /* since another task may have the slot by now */
	uint64_t value;		      /* what it brings */
	int overrun;		      /* expirations that its last signal stood for beyond one */
	bool wall;		      /* absolute times are the wall clock's */
	uint64_t due_ns, interval_ns; /* due: a deadline of time.h; 0: not armed */
};

static struct timer timers[INTERVAL_TIMERS + POSIX_TIMERS] = {
	[0] = {.used = true, .signal = SIGALRM},
	[1] = {.used = true, .signal = SIGVTALRM},
	[2] = {.used = true, .signal = SIGPROF},
};
static unsigned armed;

void timers_want_ticks(void)
{
	uint64_t after_ns = UINT64_MAX;

	if (task_others) {
		host_want_ticks(0);
		return;
	}
	if (!armed)
		return;
	for (int i = 0; i < INTERVAL_TIMERS + POSIX_TIMERS; i++)
		if (timers[i].due_ns && time_left(timers[i].due_ns) < after_ns)
			after_ns = time_left(timers[i].due_ns);
	host_want_ticks(after_ns);
}

static void arm_at(struct timer *timer, uint64_t due_ns, uint64_t interval_ns)
{
	armed -= timer->due_ns != 0;
	timer->due_ns = due_ns;
	timer->interval_ns = interval_ns;
	armed += timer->due_ns != 0;
	if (due_ns)
		timers_want_ticks();
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

/* A POSIX timer has at most one signal pending. It goes on when that is taken, and what it missed
 * meanwhile is its overrun. */
static void expire(struct timer *timer, int id, uint64_t now)
{
	const struct signal_info info = {timer->signal, SIGNAL_TIMER, {id, 0}, timer->value};
	bool has_receiver = !timer->task || timer->task->tid == timer->tid;

	if (timer->signal && signal_of_timer(id))
		return;
	timer->overrun = 0;
	if (timer->signal && has_receiver)
		signal_queue(&info, timer->task);
	if (!timer->interval_ns || !timer->signal || !signal_of_timer(id))
		arm_again(timer, now);
}

void timers_check(void)
{
	uint64_t now;

	if (!armed)
		return;
	for (int i = 0; i < INTERVAL_TIMERS + POSIX_TIMERS; i++) {
		struct timer *timer = &timers[i];

		if (!timer->due_ns || (now = time_now_for(timer->due_ns)) < timer->due_ns)
			continue;
		if (i >= INTERVAL_TIMERS) {
			expire(timer, i - INTERVAL_TIMERS, now);
			continue;
		}
		signal_raise(timer->signal, NULL, SIGNAL_KERNEL);
		arm_again(timer, now);
	}
}

void timers_delivered(struct signal_info *info)
{
	struct timer *timer;
	uint64_t now, missed;

	if (info->code != SIGNAL_TIMER || info->of[0] < 0 || info->of[0] >= POSIX_TIMERS)
		return;
	timer = &timers[INTERVAL_TIMERS + info->of[0]];
	if (!timer->used || !timer->due_ns || !timer->interval_ns)
		return;
	now = time_now_for(timer->due_ns);
	if (now < timer->due_ns)
		return;
	missed = (now - timer->due_ns) / timer->interval_ns;
	timer->overrun = missed > INT32_MAX ? INT32_MAX : (int)missed;
	info->of[1] = timer->overrun;
	arm_again(timer, now);
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

/* 0 or -errno: a clock that no timer can be of. */
static long check_clock(uint64_t clock)
{
	switch ((int)clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_PROCESS_CPUTIME_ID:
	case CLOCK_THREAD_CPUTIME_ID:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return 0;
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
		return -EOPNOTSUPP;
	default:
		return (int)clock < 0 ? 0 : -EINVAL; /* the time of a process or a task */
	}
}

/* Sets whom the timer's signal goes to. 0 or -EINVAL. */
static long set_event(struct timer *timer, const struct sigevent *event)
{
	timer->value = (uint64_t)event->sigev_value.sival_ptr;
	if (event->sigev_notify == SIGEV_NONE)
		return 0;
	if (event->sigev_notify & ~(SIGEV_THREAD | SIGEV_THREAD_ID) ||
	    event->sigev_notify == (SIGEV_THREAD | SIGEV_THREAD_ID))
		return -EINVAL;
	if (event->sigev_signo < 1 || event->sigev_signo >= SIGNAL_COUNT)
		return -EINVAL;
	timer->signal = event->sigev_signo;
	if (!(event->sigev_notify & SIGEV_THREAD_ID))
		return 0;
	timer->task = task_by_tid(event->sigev_notify_thread_id);
	if (!timer->task)
		return -EINVAL;
	timer->tid = timer->task->tid;
	return 0;
}

static int free_timer(void)
{
	int id = 0;

	while (id < POSIX_TIMERS && timers[INTERVAL_TIMERS + id].used)
		id++;
	return id;
}

long sys_timer_create(const uint64_t *a)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct timer timer = {.used = true,
			      .wall = a[0] == CLOCK_REALTIME || a[0] == CLOCK_TAI ||
				      a[0] == CLOCK_REALTIME_ALARM};
	int id = free_timer();
	long error;

	event.sigev_value.sival_int = id;
	if (a[1] && user_get(&event, a[1], sizeof(event)))
		return -EFAULT;
	error = check_clock(a[0]);
	if (!error && id == POSIX_TIMERS)
		error = -EAGAIN;
	if (!error)
		error = set_event(&timer, &event);
	if (!error && user_put(a[2], &id, sizeof(id)))
		error = -EFAULT;
	if (!error)
		timers[INTERVAL_TIMERS + id] = timer;
	return error;
}

struct linux_itimerspec {
	struct linux_timespec interval, value;
};

/* A periodic timer whose signal waits has its next period ahead. */
static uint64_t left_of_period(const struct timer *timer)
{
	if (!timer->due_ns || !timer->interval_ns || !time_has_come(timer->due_ns))
		return left(timer);
	return timer->interval_ns -
	       (time_now_for(timer->due_ns) - timer->due_ns) % timer->interval_ns;
}

static int put_itimerspec(uint64_t address, const struct timer *timer)
{
	const struct linux_itimerspec value = {time_split(timer->interval_ns),
					       time_split(left_of_period(timer))};

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
	/* What the timer raised before it was set anew is not delivered. */
	signal_drop_timer((int)a[0]);
	timer->overrun = 0;
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
	const struct timer *timer = posix_timer(a[0]);

	return timer ? timer->overrun : -EINVAL;
}

long sys_timer_delete(const uint64_t *a)
{
	struct timer *timer = posix_timer(a[0]);

	if (!timer)
		return -EINVAL;
	signal_drop_timer((int)a[0]);
	arm(timer, 0, 0);
	timer->used = false;
	return 0;
}
