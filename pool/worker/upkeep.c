/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs leave to do, and when a serving thread does it: spent instances are recycled or
 * destroyed, the pool is refilled, fresh instances are prefaulted. All of it happens where no
 * client waits for it.
 */
#include <sched.h>

#include "pool/worker/worker.h"
#include "snapshot-format/base/clock.h"

/* A guest can write a MiB or so in this time. */
#define QUICK_NS 500000u
/* A client may wait this long for the recycling before its request: waking another thread instead
 * costs about as much. */
#define QUICK_RECYCLE_NS 100000u

void thaw_worker_refill(struct thaw_worker *worker)
{
	struct thaw_error err = THAW_ERROR_INIT;

	/* Not this request's failure: when the engine is broken, thaw_worker_main() hears of it. */
	if (thaw_pool_refill(&worker->pool, &err) < 0)
		thaw_log(THAW_LOG_debug, "the pool is not refilled: %s", err.message);
}

void thaw_worker_tidy(struct thaw_worker_thread *thread)
{
	if (!thread->tidy_due)
		return;
	thread->tidy_due = false;
	while (thread->spent_count)
		thaw_pool_discard(&thread->worker->pool, thread->spent[--thread->spent_count]);
	thaw_worker_refill(thread->worker);
}

void thaw_worker_upkeep(struct thaw_worker_thread *thread)
{
	thread->upkeep_due = thaw_pool_upkeep(&thread->worker->pool, thaw_monotonic_ns());
}

/* For instances that ended cleanly and quickly, so that little memory is retained. */
static void destroy_later(struct thaw_worker_thread *thread, struct thaw_instance *instance)
{
	thread->tidy_due = thread->upkeep_due = true;
	if (instance && thread->spent_count < THAW_SPENT_MAX)
		thread->spent[thread->spent_count++] = instance;
	else if (instance)
		thaw_pool_discard(&thread->worker->pool, instance);
}

void thaw_worker_recycle(struct thaw_worker_thread *thread)
{
	struct thaw_instance *instance = thread->to_recycle;
	uint64_t started_ns;

	if (!instance)
		return;
	thread->to_recycle = NULL;
	started_ns = thaw_monotonic_ns();
	if (thaw_pool_recycle(&thread->worker->pool, instance))
		thread->just_recycled = true;
	else
		destroy_later(thread, instance);
	thread->recycles_slowly = thaw_monotonic_ns() - started_ns > QUICK_RECYCLE_NS;
}

void thaw_worker_leave(struct thaw_worker_thread *thread, struct thaw_instance *instance,
		       const struct thaw_frame_response *response)
{
	struct thaw_pool *pool = &thread->worker->pool;
	bool finished = instance && response->outcome == THAW_OUTCOME_finished;
	bool quick = finished && response->run_ns < QUICK_NS;

	/* The client that was just woken is likely to wait for this processor. */
	sched_yield();
	if (quick && pool->config.recycle) {
		thaw_worker_recycle(thread);
		thread->to_recycle = instance;
	} else if (finished && thaw_pool_recycle(pool, instance)) {
		thread->just_recycled = true;
	} else if (quick || !instance) {
		destroy_later(thread, instance);
	} else {
		thread->tidy_due = thread->upkeep_due = true;
		thaw_pool_discard(pool, instance);
	}
}
