/* SPDX-License-Identifier: Apache-2.0 */
/* The queue, compared with a plain array that does the same. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pool/worker/queue.h"

#define NODES 16
#define LIMIT 10

Test(queue, first_in_first_out_and_bounded)
{
	struct thaw_queue_node nodes[LIMIT + 1] = {0};
	struct thaw_queue queue;

	thaw_queue_init(&queue, LIMIT);
	cr_assert_null(thaw_queue_pop(&queue));
	for (int i = 0; i < LIMIT; i++)
		cr_assert(thaw_queue_push(&queue, &nodes[i]));
	cr_assert_not(thaw_queue_push(&queue, &nodes[LIMIT]));
	cr_assert_not(nodes[LIMIT].queued);
	for (int i = 0; i < LIMIT; i++)
		cr_assert_eq(thaw_queue_pop(&queue), &nodes[i]);
	cr_assert_null(thaw_queue_pop(&queue));
}

Test(queue, a_limit_of_zero_takes_nothing)
{
	struct thaw_queue_node node = {0};
	struct thaw_queue queue;

	thaw_queue_init(&queue, 0);
	cr_assert_not(thaw_queue_push(&queue, &node));
}

/* The model: node numbers in order. */
static int model[NODES], model_length;

static void model_remove(int number)
{
	for (int i = 0; i < model_length; i++)
		if (model[i] == number) {
			memmove(&model[i], &model[i + 1],
				sizeof(int) * (size_t)(model_length - i - 1));
			model_length--;
			return;
		}
	cr_assert_fail("the model has no %d", number);
}

Test(queue, any_order_of_operations_agrees_with_the_model)
{
	struct thaw_queue_node nodes[NODES] = {0}, *popped;
	struct thaw_queue queue;

	srand(1);
	thaw_queue_init(&queue, LIMIT);
	for (int step = 0; step < 20000; step++) {
		int number = rand() % NODES;
		struct thaw_queue_node *node = &nodes[number];

		switch (rand() % 3) {
		case 0:
			if (node->queued)
				break;
			cr_assert_eq(thaw_queue_push(&queue, node), model_length < LIMIT);
			if (node->queued)
				model[model_length++] = number;
			break;
		case 1:
			if (thaw_queue_remove(&queue, node))
				model_remove(number);
			cr_assert_not(node->queued);
			break;
		case 2:
			popped = thaw_queue_pop(&queue);
			cr_assert_eq(popped, model_length ? &nodes[model[0]] : NULL);
			if (popped)
				model_remove(model[0]);
			break;
		}
		cr_assert_eq(queue.length, (size_t)model_length);
	}
}
