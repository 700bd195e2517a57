/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd and timerfd: counters that a program waits for. */
#include <asm/stat.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/stat.h>
#include <linux/time.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"
#include "guest-stub/linux/wait/event.h"

#define SEMAPHORE 1u
#define COUNT_MAX (UINT64_MAX - 1)
#define ABSOLUTE  1u
#define CANCEL	  2u /* TFD_TIMER_CANCEL_ON_SET */

struct counter {
	uint64_t count;
	bool semaphore;
};

int event_stat(struct file *file, struct stat *out)
{
	memset(out, 0, sizeof(*out));
	out->st_mode = 0600;
	out->st_ino = (uint64_t)file->data >> 4;
	out->st_nlink = 1;
	out->st_uid = config.uid;
	out->st_gid = config.gid;
	out->st_blksize = THAW_PAGE_SIZE;
	return 0;
}

void event_release(struct file *file)
{
	free(file->data);
}

long event_install(const struct file_operations *operations, void *data, uint64_t flags)
{
	struct file *file = data ? file_new(operations, O_RDWR | (flags & O_NONBLOCK), data) : NULL;

	if (!file) {
		free(data);
		return -ENOMEM;
	}
	return file_install(file, flags & O_CLOEXEC, 0);
}

static bool is_up(void *context)
{
	return ((struct counter *)context)->count > 0;
}

static long event_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	struct counter *counter = file->data;
	uint64_t value;
	int error;

	(void)position;
	if (length < sizeof(value))
		return -EINVAL;
	if (counter->count == 0 && file->flags & O_NONBLOCK)
		return -EAGAIN;
	error = task_wait(is_up, counter, 0);
	if (!error && !user_still_writable(buffer, sizeof(value)))
		error = -EFAULT;
	if (error)
		return error;
	value = counter->semaphore ? 1 : counter->count;
	counter->count -= value;
	file_wake(file, POLLOUT);
	memcpy(buffer, &value, sizeof(value));
	return sizeof(value);
}

struct addition {
	const struct counter *counter;
	uint64_t value;
};

static bool fits(void *context)
{
	const struct addition *addition = context;

	return addition->value <= COUNT_MAX - addition->counter->count;
}

static long event_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	struct counter *counter = file->data;
	struct addition addition = {counter, 0};
	int error;

	(void)position;
	if (length < sizeof(addition.value))
		return -EINVAL;
	memcpy(&addition.value, buffer, sizeof(addition.value));
	if (addition.value > COUNT_MAX)
		return -EINVAL;
	if (!fits(&addition) && file->flags & O_NONBLOCK)
		return -EAGAIN;
	error = task_wait(fits, &addition, 0);
	if (error)
		return error;
	counter->count += addition.value;
	file_wake(file, POLLIN);
	return sizeof(addition.value);
}

static unsigned event_poll(struct file *file)
{
	const struct counter *counter = file->data;

	return (counter->count > 0 ? POLLIN : 0) | (counter->count < COUNT_MAX ? POLLOUT : 0);
}

static const struct file_operations event_operations = {
	.read = event_read,
	.write = event_write,
	.poll = event_poll,
	.stat = event_stat,
	.release = event_release,
};

static long make_event(uint32_t count, uint64_t flags)
{
	struct counter *counter;

	if (flags & ~(uint64_t)(SEMAPHORE | O_NONBLOCK | O_CLOEXEC))
		return -EINVAL;
	counter = malloc(sizeof(*counter));
	if (counter)
		*counter = (struct counter){count, flags & SEMAPHORE};
	return event_install(&event_operations, counter, flags);
}

long sys_eventfd(const uint64_t *a)
{
	return make_event((uint32_t)a[0], 0);
}

long sys_eventfd2(const uint64_t *a)
{
	return make_event((uint32_t)a[0], a[1]);
}

/* ---- timerfd ---- */

struct clock_timer {
	struct clock_timer *next;
	struct file *file; /* its own */
	bool wall;
	uint64_t due_ns, interval_ns; /* due: a deadline of time.h; 0: not armed */
	/* TFD_TIMER_CANCEL_ON_SET, armed in this generation: a thaw sets the wall clock. */
	bool cancels;
	uint64_t generation;
	/* The deadline at which its watches are told next (0: not before it is read), and the
	 * generation whose thaw they were told of. */
	uint64_t edge_ns, told_generation;
};

static uint64_t expirations(const struct clock_timer *timer)
{
	uint64_t now = time_now_for(timer->due_ns);

	if (!timer->due_ns || now < timer->due_ns)
		return 0;
	return timer->interval_ns ? 1 + (now - timer->due_ns) / timer->interval_ns : 1;
}

static bool is_canceled(const struct clock_timer *timer)
{
	return timer->cancels && timer->due_ns && timer->generation != host_generation();
}

static bool is_due(void *context)
{
	return expirations(context) > 0 || is_canceled(context);
}

static struct clock_timer *clock_timers;

/* How long ago the timer ran out, if its watches are to be told; 0: they are not. */
static uint64_t untold_ns(const struct clock_timer *timer)
{
	if (!timer->edge_ns || !time_has_come(timer->edge_ns))
		return 0;
	return time_now_for(timer->edge_ns) - timer->edge_ns + 1;
}

static struct clock_timer *first_untold(void)
{
	struct clock_timer *first = NULL;
	uint64_t longest_ns = 0;

	for (struct clock_timer *timer = clock_timers; timer; timer = timer->next)
		if (untold_ns(timer) > longest_ns) {
			longest_ns = untold_ns(timer);
			first = timer;
		}
	return first;
}

/* Tells of all timers that have run out, in the order of time. As in Linux, a periodic one runs out
 * once until it is read. */
static void timer_notice(struct file *file)
{
	static bool telling; /* a watch that is told of one timer asks for the others */
	struct clock_timer *timer;

	if (telling)
		return;
	telling = true;
	while ((timer = first_untold())) {
		timer->edge_ns = 0;
		file_wake(timer->file, POLLIN);
	}
	timer = file->data;
	if (is_canceled(timer) && timer->told_generation != host_generation()) {
		timer->told_generation = host_generation();
		file_wake(file, POLLIN);
	}
	telling = false;
}

static long timer_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	struct clock_timer *timer = file->data;
	uint64_t count;
	int error;

	(void)position;
	if (length < sizeof(count))
		return -EINVAL;
	if (!is_due(timer) && file->flags & O_NONBLOCK)
		return -EAGAIN;
	/* The deadline makes the scheduler look at the clock when no other task can run. */
	while (!is_due(timer)) {
		error = task_wait(is_due, timer, timer->due_ns);
		if (error == -EINTR)
			return error;
	}
	if (!user_still_writable(buffer, sizeof(count)))
		return -EFAULT;
	if (is_canceled(timer)) {
		timer->generation = host_generation();
		return -ECANCELED;
	}
	timer_notice(file);
	count = expirations(timer);
	timer->due_ns = timer->interval_ns ? timer->due_ns + count * timer->interval_ns : 0;
	timer->edge_ns = timer->due_ns;
	memcpy(buffer, &count, sizeof(count));
	return sizeof(count);
}

static unsigned timer_poll(struct file *file)
{
	return is_due(file->data) ? POLLIN : 0;
}

static void timer_release(struct file *file)
{
	struct clock_timer **link = &clock_timers;

	while (*link != file->data)
		link = &(*link)->next;
	*link = (*link)->next;
	free(file->data);
}

/* A time that has passed ends no wait: the file is readable already. */
static uint64_t timer_due(const struct file *file)
{
	const struct clock_timer *timer = file->data;

	uint64_t left_ns = timer->due_ns ? time_left(timer->due_ns) : 0;

	return left_ns ? host_monotonic_ns() + left_ns : 0;
}

static const struct file_operations timer_operations = {
	.read = timer_read,
	.poll = timer_poll,
	.due = timer_due,
	.notice = timer_notice,
	.stat = event_stat,
	.release = timer_release,
};

long sys_timerfd_create(const uint64_t *a)
{
	struct clock_timer *timer;
	struct file *file;

	if (a[1] & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC))
		return -EINVAL;
	if (a[0] != CLOCK_REALTIME && a[0] != CLOCK_MONOTONIC && a[0] != CLOCK_BOOTTIME)
		return -EINVAL;
	timer = malloc(sizeof(*timer));
	file = timer ? file_new(&timer_operations, O_RDWR | (a[1] & O_NONBLOCK), timer) : NULL;
	if (!file) {
		free(timer);
		return -ENOMEM;
	}
	*timer = (struct clock_timer){
		.next = clock_timers, .file = file, .wall = a[0] == CLOCK_REALTIME};
	clock_timers = timer;
	return file_install(file, a[1] & O_CLOEXEC, 0);
}

static struct file *get_timer(uint64_t fd, int *error)
{
	struct file *file = file_get((int)fd);

	*error = file ? -EINVAL : -EBADF;
	if (file && file->operations == &timer_operations)
		return file;
	file_drop(file);
	return NULL;
}

static int put_setting(uint64_t address, const struct clock_timer *timer)
{
	struct linux_timespec value[2] = {time_split(timer->interval_ns)};
	uint64_t left_ns;

	if (timer->due_ns) {
		left_ns = time_left(timer->due_ns);
		value[1] = time_split(left_ns ? left_ns : 1);
	}
	return user_put(address, value, sizeof(value));
}

long sys_timerfd_settime(const uint64_t *a)
{
	int error;
	struct file *file = get_timer(a[0], &error);
	uint64_t value = a[2] + sizeof(struct linux_timespec), interval_ns, value_ns, due_ns = 0;
	struct clock_timer *timer;

	if (!file)
		return error;
	timer = file->data;
	error = time_get(a[2], &interval_ns);
	if (!error)
		error = time_get(value, &value_ns);
	if (!error && value_ns)
		error = time_deadline(value, a[1] & ABSOLUTE, timer->wall, &due_ns);
	if (!error && a[3])
		error = put_setting(a[3], timer);
	if (!error) {
		timer_notice(file); /* of what it was set to before */
		timer->due_ns = timer->edge_ns = due_ns;
		timer->interval_ns = interval_ns;
		timer->cancels = timer->wall && (a[1] & (ABSOLUTE | CANCEL)) == (ABSOLUTE | CANCEL);
		timer->generation = host_generation();
	}
	file_drop(file);
	return error;
}

long sys_timerfd_gettime(const uint64_t *a)
{
	int error;
	struct file *file = get_timer(a[0], &error);
	struct clock_timer *timer;

	if (!file)
		return error;
	timer = file->data;
	timer_notice(file);
	error = put_setting(a[1], timer);
	/* As in Linux, to ask starts a periodic timer that has run out anew. */
	if (timer->due_ns && timer->interval_ns && !timer->edge_ns)
		timer->edge_ns = timer->due_ns + expirations(timer) * timer->interval_ns;
	file_drop(file);
	return error;
}
