/* SPDX-License-Identifier: Apache-2.0 */
/* See readiness.h. */
#include "guest-stub/linux/wait/readiness.h"

#include <linux/poll.h>

#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/signal/signals.h"
#include "guest-stub/linux/task/time.h"

unsigned file_poll(struct file *file)
{
	if (!file->operations->poll)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	return file->operations->poll(file);
}

bool file_awaits_request(const struct file *file)
{
	return !host_is_ready() && file->operations->awaits_request &&
	       file->operations->awaits_request(file);
}

uint64_t file_due(const struct file *file)
{
	return file->operations->due ? file->operations->due(file) : 0;
}

uint64_t time_earlier(uint64_t a_ns, uint64_t b_ns)
{
	return !b_ns || (a_ns && a_ns < b_ns) ? a_ns : b_ns;
}

static uint64_t deadline_of(uint64_t ns)
{
	return ns == 0 ? WAIT_NOT : time_after(ns);
}

uint64_t wait_milliseconds(int timeout)
{
	return timeout < 0 ? WAIT_FOREVER : deadline_of((uint64_t)timeout * 1000000);
}

int wait_timespec(uint64_t address, uint64_t *deadline_ns)
{
	uint64_t ns = 0;
	int error;

	*deadline_ns = WAIT_FOREVER;
	if (!address)
		return 0;
	error = time_get(address, &ns);
	*deadline_ns = deadline_of(ns);
	return error;
}

int wait_mask(uint64_t address, uint64_t size)
{
	uint64_t mask;

	if (!address)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (user_get(&mask, address, sizeof(mask)))
		return -EFAULT;
	signal_mask_for_call(mask);
	return 0;
}
