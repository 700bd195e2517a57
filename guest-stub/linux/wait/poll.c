/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll(2) and select(2). They ask each file, and ask again each time another task has run. A wait
 * that includes standard input is the ready point, unless another file is ready.
 */
#include <linux/poll.h>
#include <linux/posix_types.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/idle.h"
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"
#include "guest-stub/linux/wait/readiness.h"

#define ALWAYS	  (POLLERR | POLLHUP | POLLNVAL)
#define SET_MAX	  1024u
#define SET_WORDS (SET_MAX / 64)
#define READ_SET  (POLLIN | POLLRDNORM | POLLHUP | POLLERR | POLLRDHUP)
#define WRITE_SET (POLLOUT | POLLWRNORM | POLLERR)

/* The files of one wait. */
struct waiting {
	struct pollfd *entries;
	struct file **files; /* held; NULL for a bad descriptor */
	uint32_t count;
	bool wants_request;
	uint64_t timers_ns; /* when the first of their timers is due; 0: none */
};

static int look(struct waiting *waiting)
{
	int ready = 0;

	for (uint32_t i = 0; i < waiting->count; i++) {
		struct pollfd *entry = &waiting->entries[i];
		struct file *file = waiting->files[i];

		entry->revents = 0;
		if (entry->fd < 0)
			continue;
		if (!file)
			entry->revents = POLLNVAL;
		else
			entry->revents =
				(short)(file_poll(file) & ((unsigned)entry->events | ALWAYS));
		ready += entry->revents != 0;
	}
	return ready;
}

static bool has_events(void *context)
{
	return look(context) > 0;
}

static void hold_files(struct waiting *waiting)
{
	for (uint32_t i = 0; i < waiting->count; i++) {
		struct pollfd *entry = &waiting->entries[i];
		struct file *file = entry->fd < 0 ? NULL : file_get(entry->fd);

		waiting->files[i] = file;
		if (!file)
			continue;
		if (entry->events & (POLLIN | POLLRDNORM) && file_awaits_request(file))
			waiting->wants_request = true;
		waiting->timers_ns = time_earlier(waiting->timers_ns, file_due(file));
	}
}

/* Waits until DEADLINE_NS. Returns how many files have events, or -errno. */
static int wait_for(struct waiting *waiting, uint64_t deadline_ns)
{
	int ready = look(waiting), error = 0;

	if (ready == 0 && deadline_ns != WAIT_NOT && waiting->wants_request) {
		ready_point();
		ready = look(waiting);
	}
	if (ready == 0 && deadline_ns == WAIT_NOT && waiting->wants_request) {
		idle_look();
		ready = look(waiting);
	}
	/* Linux finds a signal even if there is nothing to wait for. */
	if (ready == 0 && signal_set_deliverable(current)) {
		if (deadline_ns == WAIT_NOT && signal_interrupts(current))
			return -EINTR;
		if (!signal_interrupts(current))
			signal_drop_ignored();
	}
	while (ready == 0 && deadline_ns != WAIT_NOT && error != -EINTR) {
		uint64_t until = time_earlier(deadline_ns, waiting->timers_ns);

		error = task_wait(has_events, waiting, until);
		ready = look(waiting);
		if (error == -ETIMEDOUT && until == deadline_ns) {
			if (ready == 0 && idle_watching)
				idle_slept();
			break;
		}
		waiting->timers_ns = 0;
	}
	return ready == 0 && error == -EINTR ? error : ready;
}

static long do_poll(uint64_t address, uint64_t count, uint64_t deadline_ns)
{
	size_t size = count * sizeof(struct pollfd);
	struct waiting waiting = {.count = (uint32_t)count};
	long result = -ENOMEM;

	if (count > (uint64_t)file_limit())
		return -EINVAL;
	if (!user_writable(address, size))
		return -EFAULT;
	waiting.entries = malloc(size + count * sizeof(struct file *) + 1);
	if (!waiting.entries)
		return result;
	waiting.files = (struct file **)((uint8_t *)waiting.entries + size);
	memcpy(waiting.entries, (const void *)address, size);
	hold_files(&waiting);
	result = wait_for(&waiting, deadline_ns);
	for (uint32_t i = 0; i < waiting.count; i++)
		file_drop(waiting.files[i]);
	if (user_put(address, waiting.entries, size))
		result = -EFAULT;
	free(waiting.entries);
	return result;
}

long sys_poll(const uint64_t *a)
{
	return do_poll(a[0], a[1], wait_milliseconds((int)a[2]));
}

long sys_ppoll(const uint64_t *a)
{
	uint64_t deadline_ns;
	int error = wait_timespec(a[2], &deadline_ns);

	if (!error)
		error = wait_mask(a[3], a[4]);
	return error ? error : do_poll(a[0], a[1], deadline_ns);
}

/* ---- select ---- */

static bool has(const uint64_t *set, unsigned fd)
{
	return set[fd / 64] >> fd % 64 & 1;
}

/* Reads COUNT bits of each set that the call has. */
static int get_sets(uint64_t sets[3][SET_WORDS], const uint64_t *addresses, unsigned count)
{
	size_t size = (count + 63) / 64 * 8;

	memset(sets, 0, 3 * sizeof(sets[0]));
	for (unsigned i = 0; i < 3; i++)
		if (addresses[i] &&
		    (!user_writable(addresses[i], size) || user_get(sets[i], addresses[i], size)))
			return -EFAULT;
	return 0;
}

static void put_sets(const struct waiting *waiting, const uint64_t *addresses, unsigned count,
		     long *ready)
{
	static const unsigned wanted[3] = {READ_SET, WRITE_SET, POLLPRI};
	static const unsigned asked[3] = {POLLIN, POLLOUT, POLLPRI};
	uint64_t out[3][SET_WORDS] = {{0}};
	long bits = 0;

	for (uint32_t i = 0; i < waiting->count; i++) {
		const struct pollfd *entry = &waiting->entries[i];

		for (unsigned set = 0; set < 3; set++) {
			if (!((unsigned)entry->events & asked[set]) ||
			    !((unsigned)entry->revents & wanted[set]))
				continue;
			out[set][entry->fd / 64] |= UINT64_C(1) << entry->fd % 64;
			bits++;
		}
	}
	for (unsigned set = 0; set < 3; set++)
		if (addresses[set])
			user_put(addresses[set], out[set], (count + 63) / 64 * 8);
	if (*ready >= 0)
		*ready = bits;
}

static long do_select(unsigned count, const uint64_t *addresses, uint64_t deadline_ns)
{
	uint64_t sets[3][SET_WORDS];
	struct waiting waiting = {.count = 0};
	long result = get_sets(sets, addresses, count);

	if (result)
		return result;
	waiting.entries = malloc((size_t)count * (sizeof(struct pollfd) + sizeof(void *)) + 1);
	if (!waiting.entries)
		return -ENOMEM;
	waiting.files = (struct file **)(waiting.entries + count);
	for (unsigned fd = 0; fd < count; fd++) {
		short events =
			(short)((has(sets[0], fd) ? POLLIN : 0) | (has(sets[1], fd) ? POLLOUT : 0) |
				(has(sets[2], fd) ? POLLPRI : 0));

		if (events)
			waiting.entries[waiting.count++] =
				(struct pollfd){.fd = (int)fd, .events = events};
	}
	hold_files(&waiting);
	for (uint32_t i = 0; i < waiting.count; i++)
		if (!waiting.files[i])
			result = -EBADF;
	if (!result)
		result = wait_for(&waiting, deadline_ns);
	for (uint32_t i = 0; i < waiting.count; i++)
		file_drop(waiting.files[i]);
	if (result >= 0)
		put_sets(&waiting, addresses, count, &result);
	free(waiting.entries);
	return result;
}

long sys_select(const uint64_t *a)
{
	struct linux_timeval timeout;
	uint64_t deadline_ns = WAIT_FOREVER;

	if ((int)a[0] < 0)
		return -EINVAL;
	if (a[4]) {
		if (user_get(&timeout, a[4], sizeof(timeout)))
			return -EFAULT;
		if (timeout.seconds < 0 || timeout.microseconds < 0)
			return -EINVAL;
		if (timeout.seconds > INT32_MAX)
			timeout.seconds = INT32_MAX;
		deadline_ns = timeout.seconds || timeout.microseconds
				      ? time_after((uint64_t)timeout.seconds * SECOND_NS +
						   (uint64_t)timeout.microseconds * 1000)
				      : WAIT_NOT;
	}
	return do_select((int)a[0] > (int)SET_MAX ? SET_MAX : (unsigned)a[0], a + 1, deadline_ns);
}

long sys_pselect6(const uint64_t *a)
{
	uint64_t deadline_ns, mask[2] = {0, 0};
	int error;

	if ((int)a[0] < 0)
		return -EINVAL;
	error = wait_timespec(a[4], &deadline_ns);
	if (!error && a[5])
		error = user_get(mask, a[5], sizeof(mask));
	if (!error)
		error = wait_mask(mask[0], mask[1]);
	if (error)
		return error;
	return do_select((int)a[0] > (int)SET_MAX ? SET_MAX : (unsigned)a[0], a + 1, deadline_ns);
}
