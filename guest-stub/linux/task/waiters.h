/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of waiters, in the order in which they came. Each lies on the core stack of its task, as the
 * first member of what the queue's owner keeps for it. */
#ifndef THAW_LINUX_WAITERS_H
#define THAW_LINUX_WAITERS_H

#include <stddef.h>

struct waiter {
	struct waiter *next, **link;
};

struct waiters {
	struct waiter *first, **end;
};

/* A queue with static storage. */
#define WAITERS_INIT(name)                                                                         \
	{                                                                                          \
		NULL, &(name).first                                                                \
	}

static inline void waiters_add(struct waiters *waiters, struct waiter *waiter)
{
	waiter->next = NULL;
	waiter->link = waiters->end;
	*waiters->end = waiter;
	waiters->end = &waiter->next;
}

static inline void waiters_remove(struct waiters *waiters, struct waiter *waiter)
{
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	else
		waiters->end = waiter->link;
}

#endif
