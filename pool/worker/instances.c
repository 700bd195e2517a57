/* SPDX-License-Identifier: Apache-2.0 */
/* Places, the queue and the fresh instances; see instances.h. */
#include "pool/worker/instances.h"

#include <stdlib.h>

#include "snapshot-format/base/clock.h"

int thaw_pool_init(struct thaw_pool *pool, struct thaw_engine *engine, struct thaw_metrics *metrics,
		   const struct thaw_pool_config *config, struct thaw_error *err)
{
	*pool = (struct thaw_pool){.engine = engine, .metrics = metrics, .config = *config};
	thaw_assert(config->concurrency > 0 && config->concurrency <= config->max_instances);
	pool->fresh = calloc(config->max_instances, sizeof(struct thaw_instance *));
	if (!pool->fresh)
		return thaw_fail(err, THAW_ERR_ENGINE, "out of memory");
	pthread_mutex_init(&pool->lock, NULL);
	thaw_queue_init(&pool->queue, config->queue);
	return 0;
}

/* ---- Places and the queue ---- */

enum thaw_pool_place thaw_pool_enter(struct thaw_pool *pool, struct thaw_queue_node *node)
{
	enum thaw_pool_place place = THAW_POOL_BUSY;

	pthread_mutex_lock(&pool->lock);
	if (pool->busy < pool->config.concurrency) {
		pool->busy++;
		place = THAW_POOL_PLACE;
	} else if (node && thaw_queue_push(&pool->queue, node)) {
		place = THAW_POOL_QUEUED;
	}
	pthread_mutex_unlock(&pool->lock);
	return place;
}

struct thaw_queue_node *thaw_pool_leave(struct thaw_pool *pool)
{
	struct thaw_queue_node *node;

	pthread_mutex_lock(&pool->lock);
	node = thaw_queue_pop(&pool->queue);
	if (!node)
		pool->busy--;
	pthread_mutex_unlock(&pool->lock);
	return node;
}

bool thaw_pool_withdraw(struct thaw_pool *pool, struct thaw_queue_node *node)
{
	bool removed;

	pthread_mutex_lock(&pool->lock);
	removed = thaw_queue_remove(&pool->queue, node);
	pthread_mutex_unlock(&pool->lock);
	return removed;
}

struct thaw_queue_node *
thaw_pool_expire(struct thaw_pool *pool,
		 bool (*expired)(const struct thaw_queue_node *node, void *context), void *context)
{
	struct thaw_queue_node *node;

	pthread_mutex_lock(&pool->lock);
	for (node = pool->queue.head; node; node = node->next)
		if (expired(node, context))
			break;
	if (node)
		thaw_queue_remove(&pool->queue, node);
	pthread_mutex_unlock(&pool->lock);
	return node;
}

/* ---- The ring of fresh instances; with the lock held ---- */

static unsigned place_of(const struct thaw_pool *pool, unsigned index)
{
	return (pool->first + index) % pool->config.max_instances;
}

/* Takes out the instance with INDEX, counted from the oldest. The older ones, which are few, move
 * up. */
static struct thaw_instance *take_fresh(struct thaw_pool *pool, unsigned index)
{
	struct thaw_instance *taken = pool->fresh[place_of(pool, index)];

	for (; index > 0; index--)
		pool->fresh[place_of(pool, index)] = pool->fresh[place_of(pool, index - 1)];
	pool->first = place_of(pool, 1);
	pool->fresh_count--;
	return taken;
}

/* At the front: the instance is the oldest, and those behind may not be ready. False: the ring is
 * full; instances being made have their room in it already. */
static bool keep(struct thaw_pool *pool, struct thaw_instance *instance)
{
	if (pool->fresh_count + pool->ordering >= pool->config.max_instances)
		return false;
	pool->first = place_of(pool, pool->config.max_instances - 1);
	pool->fresh[pool->first] = instance;
	pool->fresh_count++;
	return true;
}

/* How far to look for a ready instance: they are made in order, so it is almost always the first.
 */
#define LOOK_AHEAD 8u

/* How much an instance saves its run: being prefaulted saves most, being near the calling thread
 * saves the way to another processor. 0: it is not ready. */
static unsigned worth(const struct thaw_instance *instance)
{
	if (!thaw_instance_ready(instance))
		return 0;
	return 1u + (thaw_instance_near(instance) ? 1u : 0u) +
	       (thaw_instance_prepared(instance) ? 2u : 0u);
}

#define MOST_WORTH 4u

/* The oldest of those that are worth most. When none is ready: the oldest, and *READY is false. */
static struct thaw_instance *take_best(struct thaw_pool *pool, bool *ready)
{
	unsigned best = 0, most = 0;

	for (unsigned i = 0; i < pool->fresh_count && i < LOOK_AHEAD && most < MOST_WORTH; i++) {
		unsigned here = worth(pool->fresh[place_of(pool, i)]);

		if (here > most) {
			best = i;
			most = here;
		}
	}
	*ready = most > 0;
	if (*ready)
		return take_fresh(pool, best);
	return pool->fresh_count > 0 ? take_fresh(pool, 0) : NULL;
}

/* ---- Claiming and giving back ---- */

static int create(struct thaw_pool *pool, struct thaw_instance **out, struct thaw_error *err)
{
	if (thaw_instance_create(pool->engine, out, err) < 0)
		return -1;
	thaw_count(&pool->metrics->made, 1);
	return 0;
}

int thaw_pool_claim(struct thaw_pool *pool, struct thaw_instance **out, enum thaw_start *start,
		    struct thaw_error *err)
{
	bool ready;

	pthread_mutex_lock(&pool->lock);
	*out = take_best(pool, &ready);
	if (!*out)
		pool->alive++;
	if (pool->fresh_count < pool->least_fresh)
		pool->least_fresh = pool->fresh_count;
	pthread_mutex_unlock(&pool->lock);
	*start = ready ? THAW_START_pool : THAW_START_made;
	if (*out || create(pool, out, err) == 0)
		return 0;
	pthread_mutex_lock(&pool->lock);
	pool->alive--;
	pthread_mutex_unlock(&pool->lock);
	return -1;
}

void thaw_pool_unclaim(struct thaw_pool *pool, struct thaw_instance *instance)
{
	bool kept;

	pthread_mutex_lock(&pool->lock);
	kept = keep(pool, instance);
	pthread_mutex_unlock(&pool->lock);
	if (!kept)
		thaw_pool_discard(pool, instance);
}

void thaw_pool_discard(struct thaw_pool *pool, struct thaw_instance *instance)
{
	thaw_instance_destroy(instance);
	thaw_count(&pool->metrics->destroyed, 1);
	pthread_mutex_lock(&pool->lock);
	pool->alive--;
	pthread_mutex_unlock(&pool->lock);
}

bool thaw_pool_recycle(struct thaw_pool *pool, struct thaw_instance *instance)
{
	if (!pool->config.recycle || !thaw_instance_recycle(instance))
		return false;
	thaw_count(&pool->metrics->recycled, 1);
	thaw_pool_unclaim(pool, instance);
	return true;
}

/* ---- Refilling ---- */

/* Decides under the lock that one more is to be made, so that threads which refill at the same time
 * make no more than the target. */
static bool reserve(struct thaw_pool *pool)
{
	bool more;

	pthread_mutex_lock(&pool->lock);
	more = pool->fresh_count + pool->prefaulting + pool->ordering < pool->config.target &&
	       pool->alive < pool->config.max_instances;
	if (more) {
		pool->alive++;
		pool->ordering++;
	}
	pthread_mutex_unlock(&pool->lock);
	return more;
}

static void settle(struct thaw_pool *pool, struct thaw_instance *made)
{
	pthread_mutex_lock(&pool->lock);
	pool->ordering--;
	if (made)
		pool->fresh[place_of(pool, pool->fresh_count++)] = made;
	else
		pool->alive--;
	pthread_mutex_unlock(&pool->lock);
}

bool thaw_pool_low(struct thaw_pool *pool)
{
	bool low;

	pthread_mutex_lock(&pool->lock);
	low = 2 * pool->fresh_count <= pool->config.target;
	pthread_mutex_unlock(&pool->lock);
	return low;
}

int thaw_pool_refill(struct thaw_pool *pool, struct thaw_error *err)
{
	while (reserve(pool)) {
		struct thaw_instance *made = NULL;
		int failed = create(pool, &made, err);

		settle(pool, made);
		if (failed < 0)
			return failed;
	}
	return 0;
}

/* ---- Upkeep ---- */

/* A smaller target takes effect at once. Instances that are being prefaulted come back, so they
 * count. */
static void trim(struct thaw_pool *pool)
{
	for (;;) {
		struct thaw_instance *surplus = NULL;

		pthread_mutex_lock(&pool->lock);
		if (pool->fresh_count &&
		    pool->fresh_count + pool->prefaulting > pool->config.target)
			surplus = take_fresh(pool, 0);
		pthread_mutex_unlock(&pool->lock);
		if (!surplus)
			return;
		thaw_pool_discard(pool, surplus);
	}
}

/* Takes an instance that is not prefaulted out of the ring; NULL: there is none. Sets *LATER when
 * one is not even ready. */
static struct thaw_instance *take_unprefaulted(struct thaw_pool *pool, bool *later)
{
	struct thaw_instance *taken = NULL;

	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->fresh_count && !taken; i++) {
		struct thaw_instance *instance = pool->fresh[place_of(pool, i)];

		if (thaw_instance_prepared(instance))
			continue;
		if (thaw_instance_ready(instance))
			taken = take_fresh(pool, i);
		else
			*later = true;
	}
	pool->prefaulting += taken != NULL;
	pthread_mutex_unlock(&pool->lock);
	return taken;
}

/* A burst leaves more fresh instances than the target, and the next burst may want them again. */
#define SURPLUS_NS THAW_NS_PER_SEC

static struct thaw_instance *take_surplus(struct thaw_pool *pool, uint64_t now_ns, bool *later)
{
	struct thaw_instance *surplus = NULL;

	pthread_mutex_lock(&pool->lock);
	if (now_ns - pool->least_since_ns >= SURPLUS_NS) {
		if (pool->least_fresh > pool->config.target &&
		    pool->fresh_count > pool->config.target) {
			surplus = take_fresh(pool, pool->fresh_count - 1);
			pool->least_fresh--;
		} else {
			pool->least_fresh = pool->fresh_count;
			pool->least_since_ns = now_ns;
		}
	}
	*later |= pool->fresh_count > pool->config.target;
	pthread_mutex_unlock(&pool->lock);
	return surplus;
}

bool thaw_pool_upkeep(struct thaw_pool *pool, uint64_t now_ns)
{
	struct thaw_instance *instance;
	bool later = false;

	while ((instance = take_unprefaulted(pool, &later))) {
		bool kept;

		thaw_instance_prepare(instance);
		pthread_mutex_lock(&pool->lock);
		pool->prefaulting--;
		kept = keep(pool, instance);
		pthread_mutex_unlock(&pool->lock);
		if (!kept)
			thaw_pool_discard(pool, instance);
	}
	while ((instance = take_surplus(pool, now_ns, &later)))
		thaw_pool_discard(pool, instance);
	return later;
}

int thaw_pool_set_target(struct thaw_pool *pool, unsigned target, struct thaw_error *err)
{
	if (target > pool->config.max_instances)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%u instances are more than the limit of %u: start thawd with "
				 "--max-instances %u",
				 target, pool->config.max_instances, target);
	pthread_mutex_lock(&pool->lock);
	pool->config.target = target;
	pthread_mutex_unlock(&pool->lock);
	trim(pool);
	return thaw_pool_refill(pool, err);
}

unsigned thaw_pool_ready(struct thaw_pool *pool)
{
	unsigned ready = 0;

	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->fresh_count; i++)
		ready += thaw_instance_ready(pool->fresh[place_of(pool, i)]);
	pthread_mutex_unlock(&pool->lock);
	return ready;
}

void thaw_pool_get_gauges(struct thaw_pool *pool, struct thaw_gauges *gauges)
{
	pthread_mutex_lock(&pool->lock);
	gauges->pool_target = pool->config.target;
	gauges->fresh = pool->fresh_count + pool->prefaulting;
	gauges->alive = pool->alive;
	gauges->busy = pool->busy;
	gauges->queued = pool->queue.length;
	pthread_mutex_unlock(&pool->lock);
}
