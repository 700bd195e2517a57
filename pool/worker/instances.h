/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: the instances of one function, and the policy that keeps enough of them fresh. A
 * request asks for a place. With a place it claims an instance: the best of the oldest fresh ones,
 * or one made for it. Without a place it waits in the pool's queue, up to a bound.
 *
 * Every function may be called by any thread. One lock guards all that changes, and is held for a
 * few dozen instructions. Under the lock the pool asks the engine three questions about fresh
 * instances, thaw_instance_ready(), _near() and _prepared(): they read a few words, take no lock
 * and do not block. The lock is held across no other call into the engine: instances are made,
 * killed, prefaulted, recycled and destroyed without it. (`thaw_instance_` is the engine's prefix,
 * and so this is `thaw_pool_`.)
 */
#ifndef THAW_INSTANCES_H
#define THAW_INSTANCES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "pool/worker/metrics.h"
#include "pool/worker/queue.h"

struct thaw_pool_config {
	unsigned target;	/* fresh instances to hold */
	unsigned max_instances; /* alive at one time */
	unsigned concurrency;	/* busy at one time; at most max_instances */
	unsigned queue;		/* requests that may wait */
	bool recycle;		/* recycle spent instances, where the engine can */
};

struct thaw_pool {
	struct thaw_engine *engine;   /* constant, as is metrics */
	struct thaw_metrics *metrics; /* relaxed atomics */
	/* Constant, but for the target, which is under the lock. */
	struct thaw_pool_config config;

	pthread_mutex_t lock;	      /* guards all below, and the queue's nodes */
	struct thaw_instance **fresh; /* a ring of max_instances, oldest at `first` */
	unsigned first, fresh_count;
	unsigned alive;	      /* made and not yet destroyed, and those being made */
	unsigned ordering;    /* being made for the pool at this moment */
	unsigned prefaulting; /* fresh, and out of the ring while a thread prefaults them */
	unsigned busy;	      /* places taken */
	/* The fewest fresh instances since least_since_ns: as many as exceed the target are
	 * surplus. */
	unsigned least_fresh;
	uint64_t least_since_ns;
	struct thaw_queue queue;
};

/* Fails without memory. A pool lives as long as its worker: nothing undoes this. */
int thaw_pool_init(struct thaw_pool *pool, struct thaw_engine *engine, struct thaw_metrics *metrics,
		   const struct thaw_pool_config *config, struct thaw_error *err);

/* ---- Places and the queue ---- */

enum thaw_pool_place { THAW_POOL_PLACE, THAW_POOL_QUEUED, THAW_POOL_BUSY };

/* Takes a place. Without one queues NODE; refuses when NODE is NULL or too many wait. */
enum thaw_pool_place thaw_pool_enter(struct thaw_pool *pool, struct thaw_queue_node *node);
/* Passes the caller's place on to the first node that waits, and returns that; or gives the place
 * back and returns NULL. */
struct thaw_queue_node *thaw_pool_leave(struct thaw_pool *pool);
/* Takes NODE out of the queue; false when it is no longer there. */
bool thaw_pool_withdraw(struct thaw_pool *pool, struct thaw_queue_node *node);
/* Takes out of the queue the oldest node for which EXPIRED, called with the lock held, is true;
 * NULL: there is none. */
struct thaw_queue_node *
thaw_pool_expire(struct thaw_pool *pool,
		 bool (*expired)(const struct thaw_queue_node *node, void *context), void *context);

/* ---- An instance for a run ---- */

/* For a thread that has a place: an instance to run once. *START says whether a fresh one was
 * ready. Fails when one has to be made and the engine does not make it. */
int thaw_pool_claim(struct thaw_pool *pool, struct thaw_instance **out, enum thaw_start *start,
		    struct thaw_error *err);
/* Gives back an instance that has run nothing. */
void thaw_pool_unclaim(struct thaw_pool *pool, struct thaw_instance *instance);
/* Makes a spent instance fresh again, if that is possible and wanted. False: the caller still has
 * it, to discard. */
bool thaw_pool_recycle(struct thaw_pool *pool, struct thaw_instance *instance);
/* Destroys an instance. */
void thaw_pool_discard(struct thaw_pool *pool, struct thaw_instance *instance);

/* ---- Keeping enough of them ---- */

/* Orders fresh instances until the pool has its target. Fails, at the first instance that the
 * engine does not make; the next refill tries again. */
int thaw_pool_refill(struct thaw_pool *pool, struct thaw_error *err);
/* True when half of the fresh instances that the pool should hold are gone. */
bool thaw_pool_low(struct thaw_pool *pool);
/* Prefaults the fresh instances, on the calling thread, and gives up instances that were surplus
 * for a second. Returns whether there is more to do later. */
bool thaw_pool_upkeep(struct thaw_pool *pool, uint64_t now_ns);
/* Sets the target, and orders or gives up instances at once. A target above max_instances is
 * THAW_ERR_FAILURE. */
int thaw_pool_set_target(struct thaw_pool *pool, unsigned target, struct thaw_error *err);

/* How many fresh instances are ready to run at once. */
unsigned thaw_pool_ready(struct thaw_pool *pool);
void thaw_pool_get_gauges(struct thaw_pool *pool, struct thaw_gauges *gauges);

#endif
