/* SPDX-License-Identifier: Apache-2.0 */
/* A doubly linked list with a bound; see queue.h. */
#include "pool/worker/queue.h"

void thaw_queue_init(struct thaw_queue *queue, size_t limit)
{
	*queue = (struct thaw_queue){.limit = limit};
}

bool thaw_queue_push(struct thaw_queue *queue, struct thaw_queue_node *node)
{
	if (queue->length >= queue->limit)
		return false;
	*node = (struct thaw_queue_node){.previous = queue->tail, .queued = true};
	if (queue->tail)
		queue->tail->next = node;
	else
		queue->head = node;
	queue->tail = node;
	queue->length++;
	return true;
}

bool thaw_queue_remove(struct thaw_queue *queue, struct thaw_queue_node *node)
{
	if (!node->queued)
		return false;
	if (node->previous)
		node->previous->next = node->next;
	else
		queue->head = node->next;
	if (node->next)
		node->next->previous = node->previous;
	else
		queue->tail = node->previous;
	*node = (struct thaw_queue_node){0};
	queue->length--;
	return true;
}

struct thaw_queue_node *thaw_queue_pop(struct thaw_queue *queue)
{
	struct thaw_queue_node *node = queue->head;

	if (node)
		thaw_queue_remove(queue, node);
	return node;
}
