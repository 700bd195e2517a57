/* SPDX-License-Identifier: Apache-2.0 */
/* Robust mutexes: those that a task holds when it ends are marked, so that the next owner learns of
 * it. The C library keeps each task's list of them in the program's memory. */
#include <linux/futex.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"

/* Bit 0 of a pointer in the list marks a mutex that is handed over: see mutex.c. */
#define HANDED_OVER 1ul

long sys_set_robust_list(const uint64_t *a)
{
	if (a[1] != sizeof(struct robust_list_head))
		return -EINVAL;
	current->robust_list = a[0];
	return 0;
}

long sys_get_robust_list(const uint64_t *a)
{
	const struct task *task = a[0] ? task_by_tid((int)a[0]) : current;
	uint64_t size = sizeof(struct robust_list_head);

	if (!task)
		return -ESRCH;
	if (user_put(a[1], &task->robust_list, 8) || user_put(a[2], &size, 8))
		return -EFAULT;
	return 0;
}

/* Marks the mutex at ADDRESS if the current task holds it. PENDING: the task ended while it took or
 * released it. Returns false where the list cannot be trusted. */
static bool mark(uint64_t address, bool handed_over, bool pending)
{
	volatile uint32_t *word = (volatile uint32_t *)address;
	uint32_t old;

	if (address % sizeof(*word) || !user_writable(address, sizeof(*word)))
		return false;
	old = *word;
	if (pending && !handed_over && !old)
		futex_wake(address, 1);
	if (!(old & FUTEX_TID_MASK) || task_by_tid((int)(old & FUTEX_TID_MASK)) != current)
		return true;
	*word = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	if (!handed_over && old & FUTEX_WAITERS)
		futex_wake(address, 1);
	return true;
}

void robust_exit(void)
{
	struct robust_list_head head;
	uint64_t entry, next, pending;

	if (!current->robust_list || user_get(&head, current->robust_list, sizeof(head)))
		return;
	pending = (uint64_t)head.list_op_pending;
	entry = (uint64_t)head.list.next;
	for (int i = 0; i < ROBUST_LIST_LIMIT; i++, entry = next) {
		uint64_t at = entry & ~HANDED_OVER;

		if (at == current->robust_list)
			break;
		/* Before the mark: the next owner may change the list. */
		if (user_get(&next, at, sizeof(next)))
			return;
		if (at != (pending & ~HANDED_OVER) &&
		    !mark(at + (uint64_t)head.futex_offset, entry & HANDED_OVER, false))
			return;
	}
	if (pending)
		mark((pending & ~HANDED_OVER) + (uint64_t)head.futex_offset, pending & HANDED_OVER,
		     true);
}
