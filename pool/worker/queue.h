/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded first-in-first-out queue. A node is a member of the thing that waits, so queueing
 * allocates nothing, and a node leaves from the middle in constant time. Queue and nodes have no
 * lock of their own: pool.lock guards them.
 */
#ifndef THAW_QUEUE_H
#define THAW_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct thaw_queue_node {
	struct thaw_queue_node *next, *previous;
	bool queued;
};

struct thaw_queue {
	struct thaw_queue_node *head, *tail;
	size_t length, limit;
};

void thaw_queue_init(struct thaw_queue *queue, size_t limit);
/* Puts NODE last. False, and nothing changed, when LIMIT nodes wait already. */
bool thaw_queue_push(struct thaw_queue *queue, struct thaw_queue_node *node);
/* Takes the first node out; NULL: the queue is empty. */
struct thaw_queue_node *thaw_queue_pop(struct thaw_queue *queue);
/* Takes NODE out. False when NODE does not wait: another thread took it out. */
bool thaw_queue_remove(struct thaw_queue *queue, struct thaw_queue_node *node);

#endif
