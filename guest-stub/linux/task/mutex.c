/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutexes that the kernel hands over: futex(2)'s commands for priority inheritance. All threads have
 * one priority here, so there is nothing to inherit, and the mutex goes to the thread that has waited
 * longest. The word holds its owner's id, as the program's C library knows it.
 */
#include <linux/futex.h>

#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/waiters.h"

struct mutex_waiter {
	struct waiter waiter; /* first: a waiter is its mutex_waiter */
	uint64_t address;
	const struct task *task, *owner;
	bool owns; /* the mutex has been handed over to the task */
};

static struct waiters waiters = WAITERS_INIT(waiters);

static struct mutex_waiter *first_of_all(void)
{
	return (struct mutex_waiter *)waiters.first;
}

static struct mutex_waiter *next_waiter(const struct mutex_waiter *one)
{
	return (struct mutex_waiter *)one->waiter.next;
}

static bool owns(void *context)
{
	return ((struct mutex_waiter *)context)->owns;
}

static struct mutex_waiter *first_waiter(uint64_t address)
{
	struct mutex_waiter *waiter = first_of_all();

	while (waiter && waiter->address != address)
		waiter = next_waiter(waiter);
	return waiter;
}

bool mutex_has_waiters(uint64_t address)
{
	return first_waiter(address) != NULL;
}

/* Whether OWNER waits for a mutex of the current task, perhaps through other owners. */
static bool waits_for_current(const struct task *owner)
{
	for (const struct mutex_waiter *waiter = first_of_all(); waiter;) {
		if (waiter->task != owner) {
			waiter = next_waiter(waiter);
			continue;
		}
		owner = waiter->owner;
		if (owner == current)
			return true;
		waiter = first_of_all();
	}
	return false;
}

/* Makes the first waiter the owner. The word says that there are others, as Linux's does, so that the
 * next unlocking comes here and finds out. */
static void hand_over(struct mutex_waiter *waiter, uint32_t died)
{
	*(volatile uint32_t *)waiter->address =
		(uint32_t)task_known_as(waiter->task) | FUTEX_WAITERS | died;
	waiters_remove(&waiters, &waiter->waiter);
	waiter->owns = true;
	for (struct mutex_waiter *other = first_of_all(); other; other = next_waiter(other))
		if (other->address == waiter->address)
			other->owner = waiter->task;
}

static long wait_for(uint64_t address, const struct task *owner, uint64_t deadline_ns)
{
	struct mutex_waiter waiter = {.address = address, .task = current, .owner = owner};
	long result;

	waiters_add(&waiters, &waiter.waiter);
	result = task_wait(owns, &waiter, deadline_ns);
	if (waiter.owns)
		return 0;
	waiters_remove(&waiters, &waiter.waiter);
	return result;
}

long mutex_lock(uint64_t address, bool waits, uint64_t deadline_ns)
{
	volatile uint32_t *word = (volatile uint32_t *)address;
	const struct task *owner;

	if (!user_writable(address, sizeof(*word)))
		return -EFAULT;
	if (!(*word & FUTEX_TID_MASK)) {
		if (first_waiter(address))
			return -EINVAL;
		*word = (*word & FUTEX_OWNER_DIED) | (uint32_t)task_known_as(current);
		return 0;
	}
	owner = task_by_tid((int)(*word & FUTEX_TID_MASK));
	if (owner == current)
		return -EDEADLK;
	*word |= FUTEX_WAITERS;
	if (!owner)
		return -ESRCH;
	if (!waits)
		return -EAGAIN;
	return waits_for_current(owner) ? -EDEADLK : wait_for(address, owner, deadline_ns);
}

long mutex_unlock(uint64_t address)
{
	volatile uint32_t *word = (volatile uint32_t *)address;
	struct mutex_waiter *waiter = first_waiter(address);

	if (!user_readable(address, sizeof(*word)))
		return -EFAULT;
	if (task_by_tid((int)(*word & FUTEX_TID_MASK)) != current)
		return -EPERM;
	if (address % sizeof(*word))
		return -EINVAL;
	if (!user_writable(address, sizeof(*word)))
		return -EFAULT;
	if (waiter)
		hand_over(waiter, 0);
	else
		*word = 0;
	return 0;
}

void mutex_exit(void)
{
	for (struct mutex_waiter *waiter = first_of_all(), *next; waiter; waiter = next) {
		next = next_waiter(waiter);
		if (waiter->owner == current && user_writable(waiter->address, sizeof(uint32_t)))
			hand_over(waiter, FUTEX_OWNER_DIED);
	}
}
