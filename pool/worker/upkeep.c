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

/* How long a thread waits after a refill that failed, at first and at most. */
#define RETRY_FIRST_NS (10 * THAW_NS_PER_MS)
#define RETRY_MOST_NS  THAW_NS_PER_SEC

int thaw_worker_refill(struct thaw_worker *worker)
{
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_pool_refill(&worker->pool, &err) == 0)
		return 0;
	/* Not this request's failure: when the engine is broken, thaw_worker_main() hears of it. */
	thaw_log(THAW_LOG_debug, "the pool is not refilled: %s", err.message);
	return -1;
}

static void refill_or_retry(struct thaw_worker_thread *thread)
{
	uint64_t wait_ns = 2 * thread->refill_wait_ns;

	if (thread->refill_at_ns && thaw_monotonic_ns() < thread->refill_at_ns)
		return;
	if (thaw_worker_refill(thread->worker) == 0) {
		thread->tidy_due = false;
		thread->refill_at_ns = thread->refill_wait_ns = 0;
		return;
	}
	if (!wait_ns)
		wait_ns = RETRY_FIRST_NS;
	thread->refill_wait_ns = wait_ns < RETRY_MOST_NS ? wait_ns : RETRY_MOST_NS;
	thread->refill_at_ns = thaw_monotonic_ns() + thread->refill_wait_ns;
}

void thaw_worker_tidy(struct thaw_worker_thread *thread)
{
	if (!thread->tidy_due)
		return;
	while (thread->spent_count)
		thaw_pool_discard(&thread->worker->pool, thread->spent[--thread->spent_count]);
	refill_or_retry(thread);
}

void thaw_worker_upkeep(struct thaw_worker_thread *thread)
{
	thread->upkeep_due = thaw_pool_upkeep(&thread->worker->pool, thaw_monotonic_ns());
}

/* Defer cleanup only for instances that ended cleanly and quickly, so that little memory is
 * retained. NULL: one was lost and needs a replacement. */
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
