/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll, as Linux has it: a set keeps a list of the entries at whose files something has arrived
 * since they were looked at last. A wait asks the files on that list, and no others; an entry that
 * is not edge-triggered goes back to the list's end as long as its file has events. So each write
 * is an edge, whether or not anyone looked in between, and entries take turns.
 *
 * A set does not hold its files: one that closes leaves its sets.
 */
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/poll.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/idle.h"
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/wait/event.h"
#include "guest-stub/linux/wait/readiness.h"

#define DEPTH_MAX 5

/* All that an exclusive entry may ask for. */
#define EXCLUSIVE_EVENTS                                                                           \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

/* What are no events of a file. An entry that asks for nothing else is switched off. */
#define PRIVATE_BITS ((uint32_t)(EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE))

struct entry {
	struct watch watch; /* first: a watch is its entry */
	struct entry *next;
	struct set *set;
	int fd;
	struct epoll_event event;
	struct entry *next_ready;
	bool is_ready; /* on the set's ready list */
};

struct set {
	struct file *file; /* the set's own */
	struct entry *entries;
	struct entry *ready, **ready_end;
	unsigned waiters;  /* tasks in epoll_wait() */
	unsigned noticing; /* entries whose files have a notice() */
	bool in_notice;
};

/* The program's layout. */
_Static_assert(sizeof(struct epoll_event) == 12, "packed on x86-64");

static void push(struct entry *entry)
{
	struct set *set = entry->set;

	if (entry->is_ready)
		return;
	entry->is_ready = true;
	entry->next_ready = NULL;
	*set->ready_end = entry;
	set->ready_end = &entry->next_ready;
}

/* Takes an entry from LINK, where the ready list has it. */
static void pull(struct set *set, struct entry **link)
{
	struct entry *entry = *link;

	*link = entry->next_ready;
	if (set->ready_end == &entry->next_ready)
		set->ready_end = link;
	entry->is_ready = false;
}

static void pull_entry(struct entry *entry)
{
	struct entry **link = &entry->set->ready;

	if (!entry->is_ready)
		return;
	while (*link != entry)
		link = &(*link)->next_ready;
	pull(entry->set, link);
}

static uint32_t events_of(const struct entry *entry)
{
	return file_poll(entry->watch.file) & entry->event.events;
}

/* Notes what time or the host has made ready: before the list is read, and before what a call makes
 * ready comes behind it. */
static void epoll_notice(struct file *file)
{
	struct set *set = file->data;

	if (!set->noticing || set->in_notice)
		return;
	set->in_notice = true;
	for (struct entry *entry = set->entries; entry; entry = entry->next)
		if (entry->watch.file->operations->notice)
			entry->watch.file->operations->notice(entry->watch.file);
	set->in_notice = false;
}

static bool entry_wake(struct watch *watch, unsigned events)
{
	struct entry *entry = (struct entry *)watch;
	uint32_t wanted = entry->event.events;

	if (!(wanted & ~PRIVATE_BITS) || (events && !(events & wanted)))
		return false;
	epoll_notice(entry->set->file);
	push(entry);
	file_wake(entry->set->file, POLLIN);
	return entry->set->waiters > 0;
}

static void entry_free(struct entry *entry)
{
	struct entry **link = &entry->set->entries;

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	pull_entry(entry);
	entry->set->noticing -= entry->watch.file->operations->notice != NULL;
	free(entry);
}

static void entry_closed(struct watch *watch)
{
	entry_free((struct entry *)watch);
}

/* Whether a file of the set has events. Those on the ready list that have none leave it. */
static bool set_has_events(struct set *set)
{
	epoll_notice(set->file);
	while (set->ready && !events_of(set->ready))
		pull(set, &set->ready);
	return set->ready;
}

static unsigned epoll_poll(struct file *file)
{
	return set_has_events(file->data) ? POLLIN | POLLRDNORM : 0;
}

static void epoll_release(struct file *file)
{
	struct set *set = file->data;

	while (set->entries) {
		file_unwatch(&set->entries->watch);
		entry_free(set->entries);
	}
	free(set);
}

static uint64_t epoll_due(const struct file *file)
{
	const struct set *set = file->data;
	uint64_t first_ns = 0;

	for (const struct entry *entry = set->entries; entry; entry = entry->next)
		first_ns = time_earlier(first_ns, file_due(entry->watch.file));
	return first_ns;
}

static bool epoll_awaits_request(const struct file *file)
{
	const struct set *set = file->data;

	for (const struct entry *entry = set->entries; entry; entry = entry->next)
		if (entry->event.events & (EPOLLIN | EPOLLRDNORM) &&
		    file_awaits_request(entry->watch.file))
			return true;
	return false;
}

static const struct file_operations epoll_operations = {
	.poll = epoll_poll,
	.due = epoll_due,
	.notice = epoll_notice,
	.awaits_request = epoll_awaits_request,
	.stat = event_stat,
	.release = epoll_release,
};

static long make_set(uint64_t flags)
{
	struct set *set = calloc(1, sizeof(*set));
	struct file *file =
		set ? file_new(&epoll_operations, O_RDWR | (flags & O_NONBLOCK), set) : NULL;

	if (!file) {
		free(set);
		return -ENOMEM;
	}
	set->file = file;
	set->ready_end = &set->ready;
	return file_install(file, flags & O_CLOEXEC, 0);
}

long sys_epoll_create(const uint64_t *a)
{
	return (int)a[0] <= 0 ? -EINVAL : make_set(0);
}

long sys_epoll_create1(const uint64_t *a)
{
	return a[0] & ~(uint64_t)O_CLOEXEC ? -EINVAL : make_set(a[0]);
}

static bool is_set(const struct file *file)
{
	return file->operations == &epoll_operations;
}

static struct entry *find(const struct set *set, const struct file *file, int fd)
{
	struct entry *entry = set->entries;

	while (entry && (entry->fd != fd || entry->watch.file != file))
		entry = entry->next;
	return entry;
}

/* How many sets lie within FILE's, one in the other; above DEPTH_MAX if OUTER is among them. */
static unsigned depth_below(const struct file *file, const struct file *outer)
{
	const struct set *set = file->data;
	unsigned depth = 0;

	for (const struct entry *entry = set->entries; entry; entry = entry->next) {
		unsigned below;

		if (!is_set(entry->watch.file))
			continue;
		if (entry->watch.file == outer)
			return DEPTH_MAX + 1;
		below = 1 + depth_below(entry->watch.file, outer);
		depth = below > depth ? below : depth;
	}
	return depth;
}

/* How many sets FILE's lies in. */
static unsigned depth_above(const struct file *file)
{
	unsigned depth = 0;

	for (const struct watch *watch = file->watches; watch; watch = watch->next) {
		unsigned above = 1 + depth_above(((const struct entry *)watch)->set->file);

		depth = above > depth ? above : depth;
	}
	return depth;
}

static bool too_deep(const struct file *outer, const struct file *inner)
{
	return is_set(inner) && depth_below(inner, outer) + 1 + depth_above(outer) + 1 > DEPTH_MAX;
}

/* An entry that is new or changed is ready if its file has events. */
static void look_at(struct entry *entry)
{
	if (!events_of(entry))
		return;
	push(entry);
	file_wake(entry->set->file, POLLIN);
}

static long add(struct set *set, struct file *file, int fd, const struct epoll_event *event)
{
	struct entry *entry;

	if (too_deep(set->file, file))
		return -ELOOP;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	*entry = (struct entry){.watch = {.file = file,
					  .exclusive = event->events & EPOLLEXCLUSIVE,
					  .wake = entry_wake,
					  .closed = entry_closed},
				.next = set->entries,
				.set = set,
				.fd = fd,
				.event = *event};
	set->entries = entry;
	set->noticing += file->operations->notice != NULL;
	file_watch(&entry->watch);
	look_at(entry);
	return 0;
}

static long change(struct set *set, int operation, struct file *file, int fd,
		   struct epoll_event *event)
{
	struct entry *entry = find(set, file, fd);

	/* What has changed by itself is told before an entry comes that looks for itself. */
	epoll_notice(set->file);
	if (file->operations->notice)
		file->operations->notice(file);
	event->events |= EPOLLERR | EPOLLHUP;
	if (operation == EPOLL_CTL_ADD)
		return entry ? -EEXIST : add(set, file, fd, event);
	if (operation != EPOLL_CTL_MOD && operation != EPOLL_CTL_DEL)
		return -EINVAL;
	if (!entry)
		return -ENOENT;
	if (operation == EPOLL_CTL_DEL) {
		file_unwatch(&entry->watch);
		entry_free(entry);
		return 0;
	}
	if (entry->watch.exclusive)
		return -EINVAL;
	entry->event = *event;
	look_at(entry);
	return 0;
}

/* What is wrong with the call itself: 0 or -errno, in Linux's order. */
static long check(const struct file *set, int operation, const struct file *file, uint32_t events)
{
	/* Regular files and directories are always ready, so they have no events. */
	if (!file->operations->poll)
		return -EPERM;
	if (file == set || !is_set(set))
		return -EINVAL;
	if (operation == EPOLL_CTL_DEL || !(events & EPOLLEXCLUSIVE))
		return 0;
	if (operation == EPOLL_CTL_MOD ||
	    (operation == EPOLL_CTL_ADD && (is_set(file) || events & ~EXCLUSIVE_EVENTS)))
		return -EINVAL;
	return 0;
}

long sys_epoll_ctl(const uint64_t *a)
{
	struct epoll_event event = {0};
	long result = -EBADF;
	struct file *set, *file;

	if ((int)a[1] != EPOLL_CTL_DEL && user_get(&event, a[3], sizeof(event)))
		return -EFAULT;
	set = file_get((int)a[0]);
	file = set ? file_get((int)a[2]) : NULL;
	if (file)
		result = check(set, (int)a[1], file, event.events);
	if (file && !result)
		result = change(set->data, (int)a[1], file, (int)a[2], &event);
	file_drop(file);
	file_drop(set);
	return result;
}

static struct file *get_set(uint64_t fd, long *error)
{
	struct file *file = file_get((int)fd);

	*error = file ? -EINVAL : -EBADF;
	if (file && is_set(file))
		return file;
	file_drop(file);
	return NULL;
}

/* Writes up to MAX events of SET to the program's memory. Returns how many. What is level-triggered
 * goes behind what was not reached, so that entries take turns. */
static int take(struct set *set, uint64_t address, int max)
{
	struct epoll_event *out = (struct epoll_event *)address;
	struct entry *again = NULL, **again_end = &again;
	int count = 0;

	while (set->ready && count < max) {
		struct entry *entry = set->ready;
		uint32_t events = events_of(entry);

		pull(set, &set->ready);
		if (!events)
			continue;
		out[count].events = events;
		out[count++].data = entry->event.data;
		if (entry->event.events & EPOLLONESHOT) {
			entry->event.events &= PRIVATE_BITS;
		} else if (!(entry->event.events & EPOLLET)) {
			entry->is_ready =
				true; /* so that no arrival puts it on the list meanwhile */
			entry->next_ready = NULL;
			*again_end = entry;
			again_end = &entry->next_ready;
		}
	}
	while (again) {
		struct entry *entry = again;

		again = entry->next_ready;
		entry->is_ready = false;
		push(entry);
	}
	return count;
}

/* Also true for a set that another task has given standard input, before the ready point. */
static bool has_events(void *context)
{
	struct file *file = context;

	return set_has_events(file->data) || file_awaits_request(file);
}

static long wait_for(struct file *file, uint64_t address, int max, uint64_t deadline_ns)
{
	struct set *set = file->data;
	int error = 0;

	if (!set_has_events(set) && file_awaits_request(file)) {
		if (deadline_ns == WAIT_NOT)
			idle_look();
		else
			ready_point();
	}
	while (!set_has_events(set) && deadline_ns != WAIT_NOT && error != -EINTR) {
		uint64_t until = time_earlier(deadline_ns, epoll_due(file));

		set->waiters++;
		error = task_wait(has_events, file, until);
		set->waiters--;
		if (!set_has_events(set) && file_awaits_request(file))
			ready_point();
		if (error == -ETIMEDOUT && until == deadline_ns) {
			if (idle_watching)
				idle_slept();
			break;
		}
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
