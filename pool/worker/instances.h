/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instances of one function and the policy that keeps enough of them fresh. A request asks for
 * a place; with a place comes an instance: the oldest fresh one that is ready, else one made for
 * it. Without a place it waits in the pool's queue, up to a bound. Any thread; one lock, held for a
 * few dozen instructions and never across a call into the engine.
 */
#ifndef THAW_POOL_H
#define THAW_POOL_H

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
	bool recycle;		/* spent instances, where the engine can */
};

struct thaw_pool {
	struct thaw_engine *engine;
	struct thaw_metrics *metrics;
	struct thaw_pool_config config;
	pthread_mutex_t lock;
	struct thaw_instance **fresh; /* a ring of max_instances, oldest at `first` */
	unsigned first, fresh_count;
	unsigned alive;	    /* made and not yet destroyed, and those being made */
	unsigned ordering;  /* being made for the pool at this moment */
	unsigned preparing; /* fresh, and in some thread's hands to be prepared */
	unsigned busy;	    /* places taken */
	/* The fewest fresh ones since then: what was more than the target all the time is too much.
	 */
	unsigned least_fresh;
	uint64_t least_since_ns;
	struct thaw_queue queue;
};

int thaw_pool_init(struct thaw_pool *pool, struct thaw_engine *engine, struct thaw_metrics *metrics,
		   const struct thaw_pool_config *config, struct thaw_error *err);

enum thaw_pool_place { THAW_POOL_PLACE, THAW_POOL_QUEUED, THAW_POOL_BUSY };

/* Takes a place; without one queues NODE, or, when NODE is NULL or too many wait, refuses. */
enum thaw_pool_place thaw_pool_enter(struct thaw_pool *pool, struct thaw_queue_node *node);
/* Passes a place on to the next that waits and returns it, or gives the place back and returns
 * NULL. */
struct thaw_queue_node *thaw_pool_leave(struct thaw_pool *pool);
/* Takes NODE out of the queue; false when it is no longer there. */
bool thaw_pool_withdraw(struct thaw_pool *pool, struct thaw_queue_node *node);
/* Takes out of the queue the oldest for which EXPIRED is true, or returns NULL. */
struct thaw_queue_node *
thaw_pool_expire(struct thaw_pool *pool,
		 bool (*expired)(const struct thaw_queue_node *node, void *context), void *context);

/* An instance for one run, by a thread that has a place. */
int thaw_pool_claim(struct thaw_pool *pool, struct thaw_instance **out, enum thaw_start *start,
		    struct thaw_error *err);
/* Gives back an instance that has run nothing. */
void thaw_pool_unclaim(struct thaw_pool *pool, struct thaw_instance *instance);
/* Makes a spent instance fresh again, if that is possible and wanted; false: discard it. */
bool thaw_pool_recycle(struct thaw_pool *pool, struct thaw_instance *instance);
/* Does what the first runs of fresh instances would have to do, on the calling thread, and gives up
 * what was too much for a second. Returns whether there is more to do later. */
bool thaw_pool_prepare(struct thaw_pool *pool, uint64_t now_ns);
/* Destroys a spent instance. */
void thaw_pool_discard(struct thaw_pool *pool, struct thaw_instance *instance);

/* Orders fresh instances until the pool has its target. Fails only when the engine does. */
int thaw_pool_refill(struct thaw_pool *pool, struct thaw_error *err);
/* True when half of the fresh instances that the pool should hold are gone. */
bool thaw_pool_low(struct thaw_pool *pool);
/* Sets the target and orders instances. A target above max_instances is THAW_ERR_FAILURE. */
int thaw_pool_set_target(struct thaw_pool *pool, unsigned target, struct thaw_error *err);
/* Fresh instances that are ready to run at once. */
unsigned thaw_pool_ready(struct thaw_pool *pool);
void thaw_pool_get_gauges(struct thaw_pool *pool, struct thaw_gauges *gauges);

#endif
