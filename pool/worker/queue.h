/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded first-in-first-out queue of nodes that live in what is queued, so queueing allocates
 * nothing and a waiting node leaves from the middle at no cost. Not locked: the pool's lock covers
 * it.
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
/* False, and nothing changed, when LIMIT nodes wait already. */
bool thaw_queue_push(struct thaw_queue *queue, struct thaw_queue_node *node);
struct thaw_queue_node *thaw_queue_pop(struct thaw_queue *queue); /* NULL: empty */
/* False when NODE does not wait: somebody else has it now. */
bool thaw_queue_remove(struct thaw_queue *queue, struct thaw_queue_node *node);

#endif
