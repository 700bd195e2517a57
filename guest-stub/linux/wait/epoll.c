/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll: a set of files, which are asked one by one. An edge-triggered entry reports an event once
 * each time the file comes to have it. A set holds its files: one that the program has closed stays
 * in the set until the program takes it out.
 */
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/poll.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/wait/event.h"
#include "guest-stub/linux/wait/readiness.h"

#define DEPTH_MAX 5

struct entry {
	struct entry *next;
	struct file *file; /* held */
	int fd;
	struct epoll_event event;
	uint32_t reported; /* edge-triggered: events that are reported already */
	bool disabled;	   /* EPOLLONESHOT has fired */
};

struct set {
	struct entry *entries;
};

/* The program's layout. */
_Static_assert(sizeof(struct epoll_event) == 12, "packed on x86-64");

static unsigned depth; /* of sets within sets, while they are asked */

static uint32_t events_of(struct entry *entry)
{
	uint32_t wanted = entry->event.events | EPOLLERR | EPOLLHUP, have;

	if (entry->disabled || file_awaits_request(entry->file))
		return 0;
	have = file_poll(entry->file);
	if (entry->event.events & EPOLLET) {
		entry->reported &= have;
		return have & wanted & ~entry->reported;
	}
	return have & wanted;
}

static bool set_has_events(struct set *set)
{
	bool has = false;

	if (depth >= DEPTH_MAX)
		return false;
	depth++;
	for (struct entry *entry = set->entries; entry && !has; entry = entry->next)
		has = events_of(entry) != 0;
	depth--;
	return has;
}

static unsigned epoll_poll(struct file *file)
{
	return set_has_events(file->data) ? POLLIN | POLLRDNORM : 0;
}

static void epoll_release(struct file *file)
{
	struct set *set = file->data;

	while (set->entries) {
		struct entry *entry = set->entries;

		set->entries = entry->next;
		file_drop(entry->file);
		free(entry);
	}
	free(set);
}

static uint64_t epoll_due(const struct file *file)
{
	const struct set *set = file->data;
	uint64_t first_ns = 0;

	if (depth >= DEPTH_MAX)
		return 0;
	depth++;
	for (const struct entry *entry = set->entries; entry; entry = entry->next)
		first_ns = time_earlier(first_ns, file_due(entry->file));
	depth--;
	return first_ns;
}

static const struct file_operations epoll_operations = {
	.poll = epoll_poll,
	.due = epoll_due,
	.stat = event_stat,
	.release = epoll_release,
};

static long make_set(uint64_t flags)
{
	return event_install(&epoll_operations, calloc(1, sizeof(struct set)), flags);
}

long sys_epoll_create(const uint64_t *a)
{
	return (int)a[0] <= 0 ? -EINVAL : make_set(0);
}

long sys_epoll_create1(const uint64_t *a)
{
	return a[0] & ~(uint64_t)O_CLOEXEC ? -EINVAL : make_set(a[0]);
}

static struct file *get_set(uint64_t fd, long *error)
{
	struct file *file = file_get((int)fd);

	*error = file ? -EINVAL : -EBADF;
	if (file && file->operations == &epoll_operations)
		return file;
	file_drop(file);
	return NULL;
}

static struct entry **find(struct set *set, const struct file *file, int fd)
{
	struct entry **link = &set->entries;

	while (*link && ((*link)->fd != fd || (*link)->file != file))
		link = &(*link)->next;
	return link;
}

static long add(struct set *set, struct file *file, int fd, const struct epoll_event *event)
{
	struct entry *entry;

	/* Regular files and directories are always ready, so they have no events. */
	if (!file->operations->poll)
		return -EPERM;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	*entry = (struct entry){set->entries, file_hold(file), fd, *event, 0, false};
	set->entries = entry;
	return 0;
}

static long change(struct set *set, int operation, struct file *file, int fd,
		   const struct epoll_event *event)
{
	struct entry **link = find(set, file, fd), *entry = *link;

	if (operation == EPOLL_CTL_ADD)
		return entry ? -EEXIST : add(set, file, fd, event);
	if (!entry)
		return -ENOENT;
	if (operation == EPOLL_CTL_MOD) {
		entry->event = *event;
		entry->reported = 0;
		entry->disabled = false;
		return 0;
	}
	if (operation != EPOLL_CTL_DEL)
		return -EINVAL;
	*link = entry->next;
	file_drop(entry->file);
	free(entry);
	return 0;
}

long sys_epoll_ctl(const uint64_t *a)
{
	struct epoll_event event = {0};
	long result;
	struct file *set, *file;

	if ((int)a[1] != EPOLL_CTL_DEL && user_get(&event, a[3], sizeof(event)))
		return -EFAULT;
	set = get_set(a[0], &result);
	if (!set)
		return result;
	file = file_get((int)a[2]);
	if (!file)
		result = -EBADF;
	else if (file == set)
		result = -EINVAL;
	else
		result = change(set->data, (int)a[1], file, (int)a[2], &event);
	file_drop(file);
	file_drop(set);
	return result;
}

/* Writes up to MAX events of SET to the program's memory. Returns how many. */
static int take(struct set *set, uint64_t address, int max)
{
	struct epoll_event *out = (struct epoll_event *)address;
	int count = 0;

	for (struct entry *entry = set->entries; entry && count < max; entry = entry->next) {
		uint32_t events = events_of(entry);

		if (!events)
			continue;
		out[count].events = events;
		out[count++].data = entry->event.data;
		entry->reported |= events;
		entry->disabled = entry->event.events & EPOLLONESHOT;
	}
	return count;
}

static bool awaits_request(const struct set *set)
{
	for (const struct entry *entry = set->entries; entry; entry = entry->next)
		if (!entry->disabled && entry->event.events & EPOLLIN &&
		    file_awaits_request(entry->file))
			return true;
	return false;
}

static bool has_events(void *context)
{
	return set_has_events(context);
}

static long wait_for(struct file *file, uint64_t address, int max, uint64_t deadline_ns)
{
	struct set *set = file->data;
	int error = 0;

	if (!set_has_events(set) && deadline_ns != WAIT_NOT && awaits_request(set))
		ready_point();
	while (!set_has_events(set) && deadline_ns != WAIT_NOT && error != -EINTR) {
		uint64_t until = time_earlier(deadline_ns, epoll_due(file));

		error = task_wait(has_events, set, until);
		if (error == -ETIMEDOUT && until == deadline_ns)
			break;
	}
	if (error == -EINTR && !set_has_events(set))
		return error;
	return user_writable(address, (uint64_t)max * sizeof(struct epoll_event))
		       ? take(set, address, max)
		       : -EFAULT;
}

static long do_wait(const uint64_t *a, uint64_t deadline_ns)
{
	int max = (int)a[2];
	long result;
	struct file *file;

	if (max <= 0 || max > INT32_MAX / 12)
		return -EINVAL;
	if (!user_writable(a[1], (uint64_t)max * sizeof(struct epoll_event)))
		return -EFAULT;
	file = get_set(a[0], &result);
	if (!file)
		return result;
	result = wait_for(file, a[1], max, deadline_ns);
	file_drop(file);
	return result;
}

long sys_epoll_wait(const uint64_t *a)
{
	return do_wait(a, wait_milliseconds((int)a[3]));
}

long sys_epoll_pwait(const uint64_t *a)
{
	int error = wait_mask(a[4], a[5]);

	return error ? error : do_wait(a, wait_milliseconds((int)a[3]));
}

long sys_epoll_pwait2(const uint64_t *a)
{
	uint64_t deadline_ns;
	int error = wait_mask(a[4], a[5]);

	if (!error)
		error = wait_timespec(a[3], &deadline_ns);
	return error ? error : do_wait(a, deadline_ns);
}
