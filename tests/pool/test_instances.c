/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of instances over an engine made for tests: how many are made and given up, which one a
 * claim takes, who gets a place and who waits. */
#include <criterion/criterion.h>
#include <string.h>

#include "pool/worker/instances.h"
#include "snapshot-format/base/clock.h"
#include "tests/pool/fake_engine.h"

static struct thaw_engine *engine;
static struct thaw_metrics metrics;
static struct thaw_pool pool;

static void make_pool(const struct thaw_pool_config *config)
{
	engine = fake_engine_new();
	cr_assert_eq(thaw_pool_init(&pool, engine, &metrics, config, NULL), 0);
}

static void make_and_fill(unsigned target, unsigned max_instances)
{
	const struct thaw_pool_config config = {.target = target,
						.max_instances = max_instances,
						.concurrency = max_instances,
						.queue = 8,
						.recycle = true};

	make_pool(&config);
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
}

static struct thaw_gauges gauges(void)
{
	struct thaw_gauges now = {0};

	thaw_pool_get_gauges(&pool, &now);
	return now;
}

/* Nothing is made, lost or forgotten: the pool knows of each instance that is alive. */
static void expect_counts(unsigned fresh, unsigned alive)
{
	struct thaw_gauges now = gauges();

	cr_assert_eq(now.fresh, fresh, "%lu fresh, not %u", (unsigned long)now.fresh, fresh);
	cr_assert_eq(now.alive, alive, "%lu alive, not %u", (unsigned long)now.alive, alive);
	cr_assert_eq(fake_get_counts(engine).alive, alive);
}

static struct thaw_instance *claim_from(enum thaw_start expected)
{
	struct thaw_instance *instance = NULL;
	enum thaw_start start = THAW_START_none;

	cr_assert_eq(thaw_pool_claim(&pool, &instance, &start, NULL), 0);
	cr_assert_eq(start, expected);
	return instance;
}

static struct thaw_instance *claim(void)
{
	return claim_from(THAW_START_pool);
}

static void ignore(void *context, const void *bytes, size_t length)
{
	(void)context;
	(void)bytes;
	(void)length;
}

static void spend(struct thaw_instance *instance)
{
	const struct thaw_run run = {.request = "", .respond = ignore};
	struct thaw_outcome outcome = {0};

	thaw_instance_run(instance, &run, &outcome);
}

/* ---- Refilling ---- */

Test(instances, a_refill_makes_the_target_and_no_more)
{
	make_and_fill(5, 16);
	expect_counts(5, 5);
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
	expect_counts(5, 5);
	cr_assert_eq(atomic_load(&metrics.made), 5);
}

Test(instances, a_refill_makes_up_for_instances_that_are_gone)
{
	struct thaw_instance *first, *second;

	make_and_fill(4, 16);
	first = claim();
	second = claim();
	expect_counts(2, 4);
	thaw_pool_discard(&pool, first);
	expect_counts(2, 3);
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
	expect_counts(4, 5);
	thaw_pool_discard(&pool, second);
	expect_counts(4, 4);
	cr_assert_eq(atomic_load(&metrics.destroyed), 2);
}

Test(instances, a_refill_stays_within_the_instances_that_may_be_alive)
{
	make_and_fill(6, 6);
	for (int i = 0; i < 4; i++)
		claim();
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
	expect_counts(2, 6);
}

static void refill_once(void *refilled, enum fake_call call)
{
	bool *already = refilled;

	if (call != FAKE_CREATE || *already)
		return;
	*already = true;
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
}

Test(instances, two_refills_at_once_make_no_more_than_the_target)
{
	const struct thaw_pool_config config = {
		.target = 3, .max_instances = 16, .concurrency = 4, .queue = 8};
	bool refilled = false;

	make_pool(&config);
	fake_set_hook(engine, refill_once, &refilled);
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
	cr_assert(refilled);
	expect_counts(3, 3);
}

Test(instances, a_refill_that_fails_says_why_and_the_next_one_makes_the_rest)
{
	const struct thaw_pool_config config = {
		.target = 4, .max_instances = 4, .concurrency = 4, .queue = 8};
	struct thaw_error err = THAW_ERROR_INIT;

	make_pool(&config);
	fake_fail_creates(engine, 1, "no processes are left");
	cr_assert_lt(thaw_pool_refill(&pool, &err), 0);
	cr_assert_eq(err.kind, THAW_ERR_ENGINE);
	cr_assert_str_eq(err.message, "no processes are left");
	expect_counts(0, 0);
	/* The failure took no room: all four can still be made. */
	cr_assert_eq(thaw_pool_refill(&pool, &err), 0);
	expect_counts(4, 4);
	cr_assert_eq(atomic_load(&metrics.made), 4);
}

Test(instances, the_pool_is_low_when_half_of_it_is_gone)
{
	make_and_fill(4, 16);
	cr_assert_not(thaw_pool_low(&pool));
	claim();
	cr_assert_not(thaw_pool_low(&pool));
	claim();
	cr_assert(thaw_pool_low(&pool));
}

/* ---- Claiming ---- */

Test(instances, a_claim_takes_the_oldest)
{
	make_and_fill(3, 16);
	for (unsigned number = 1; number <= 3; number++)
		cr_assert_eq(fake_number(claim()), number);
	expect_counts(0, 3);
}

Test(instances, a_claim_passes_over_instances_that_are_not_ready)
{
	make_and_fill(4, 16);
	fake_set_ready(engine, 1, false);
	fake_set_ready(engine, 2, false);
	cr_assert_eq(fake_number(claim()), 3);
	/* Those that were passed over keep their order. */
	fake_set_ready(engine, 1, true);
	cr_assert_eq(fake_number(claim()), 1);
	cr_assert_eq(fake_number(claim()), 4);
}

Test(instances, a_claim_prefers_near_then_prefaulted_then_both)
{
	make_and_fill(6, 16);
	fake_set_near(engine, 3, true);
	fake_set_prefaulted(engine, 4, true);
	fake_set_near(engine, 5, true);
	fake_set_prefaulted(engine, 5, true);
	cr_assert_eq(fake_number(claim()), 5);
	cr_assert_eq(fake_number(claim()), 4);
	cr_assert_eq(fake_number(claim()), 3);
	cr_assert_eq(fake_number(claim()), 1);
	/* Being ready comes before all else. */
	fake_set_ready(engine, 2, false);
	fake_set_near(engine, 2, true);
	fake_set_prefaulted(engine, 2, true);
	cr_assert_eq(fake_number(claim()), 6);
}

Test(instances, a_claim_looks_at_the_eight_oldest)
{
	make_and_fill(9, 16);
	fake_set_near(engine, 9, true);
	cr_assert_eq(fake_number(claim()), 1);
	cr_assert_eq(fake_number(claim()), 9);
}

Test(instances, a_claim_takes_the_oldest_when_none_is_ready)
{
	make_and_fill(3, 16);
	for (unsigned number = 1; number <= 3; number++)
		fake_set_ready(engine, number, false);
	cr_assert_eq(fake_number(claim_from(THAW_START_made)), 1);
	expect_counts(2, 3);
}

Test(instances, a_claim_makes_an_instance_when_there_is_none)
{
	make_and_fill(0, 16);
	cr_assert_eq(fake_number(claim_from(THAW_START_made)), 1);
	expect_counts(0, 1);
	cr_assert_eq(atomic_load(&metrics.made), 1);
}

Test(instances, a_claim_that_fails_says_why_and_takes_no_room)
{
	struct thaw_instance *instance;
	struct thaw_error err = THAW_ERROR_INIT;
	enum thaw_start start;

	make_and_fill(0, 16);
	fake_fail_creates(engine, 1, "no processes are left");
	cr_assert_lt(thaw_pool_claim(&pool, &instance, &start, &err), 0);
	cr_assert_str_eq(err.message, "no processes are left");
	expect_counts(0, 0);
	cr_assert_eq(atomic_load(&metrics.made), 0);
	claim_from(THAW_START_made);
	expect_counts(0, 1);
}

Test(instances, an_unclaimed_instance_is_the_next_to_be_claimed)
{
	make_and_fill(3, 16);
	thaw_pool_unclaim(&pool, claim());
	expect_counts(3, 3);
	cr_assert_eq(fake_number(claim()), 1);
	cr_assert_eq(fake_number(claim()), 2);
}

Test(instances, an_unclaimed_instance_without_room_is_destroyed)
{
	struct thaw_instance *claimed[3];

	make_and_fill(0, 2);
	for (int i = 0; i < 3; i++)
		claimed[i] = claim_from(THAW_START_made);
	for (int i = 0; i < 3; i++)
		thaw_pool_unclaim(&pool, claimed[i]);
	expect_counts(2, 2);
	cr_assert_not(fake_is_alive(engine, 3));
}

/* ---- Recycling ---- */

Test(instances, a_recycled_instance_is_fresh)
{
	struct thaw_instance *instance;

	make_and_fill(2, 16);
	instance = claim();
	spend(instance);
	cr_assert(thaw_pool_recycle(&pool, instance));
	expect_counts(2, 2);
	cr_assert_eq(atomic_load(&metrics.recycled), 1);
	cr_assert_eq(fake_number(claim()), 1);
}

Test(instances, an_instance_that_cannot_be_recycled_stays_the_callers)
{
	struct thaw_instance *instance;

	make_and_fill(2, 16);
	fake_set_recycle(engine, true, 0);
	instance = claim();
	spend(instance);
	cr_assert_not(thaw_pool_recycle(&pool, instance));
	expect_counts(1, 2);
	cr_assert_eq(atomic_load(&metrics.recycled), 0);
	thaw_pool_discard(&pool, instance);
	expect_counts(1, 1);
}

Test(instances, nothing_is_recycled_where_that_is_not_wanted)
{
	const struct thaw_pool_config config = {
		.target = 1, .max_instances = 4, .concurrency = 4, .queue = 8};
	struct thaw_instance *instance;

	make_pool(&config);
	instance = claim_from(THAW_START_made);
	spend(instance);
	cr_assert_not(thaw_pool_recycle(&pool, instance));
	cr_assert_eq(fake_get_counts(engine).recycled, 0);
}

/* ---- Places and the queue ---- */

static void make_places(unsigned concurrency, unsigned queue)
{
	const struct thaw_pool_config config = {.target = 0,
						.max_instances = concurrency,
						.concurrency = concurrency,
						.queue = queue};

	make_pool(&config);
}

Test(instances, places_are_bounded_and_so_is_the_queue)
{
	struct thaw_queue_node nodes[3] = {0};

	make_places(2, 2);
	cr_assert_eq(thaw_pool_enter(&pool, NULL), THAW_POOL_PLACE);
	cr_assert_eq(thaw_pool_enter(&pool, &nodes[0]), THAW_POOL_PLACE);
	cr_assert_not(nodes[0].queued);
	cr_assert_eq(thaw_pool_enter(&pool, NULL), THAW_POOL_BUSY);
	cr_assert_eq(thaw_pool_enter(&pool, &nodes[0]), THAW_POOL_QUEUED);
	cr_assert_eq(thaw_pool_enter(&pool, &nodes[1]), THAW_POOL_QUEUED);
	cr_assert_eq(thaw_pool_enter(&pool, &nodes[2]), THAW_POOL_BUSY);
	cr_assert_eq(gauges().busy, 2);
	cr_assert_eq(gauges().queued, 2);
}

Test(instances, a_place_goes_to_the_first_that_waits)
{
	struct thaw_queue_node nodes[2] = {0};

	make_places(1, 2);
	cr_assert_eq(thaw_pool_enter(&pool, NULL), THAW_POOL_PLACE);
	thaw_pool_enter(&pool, &nodes[0]);
	thaw_pool_enter(&pool, &nodes[1]);
	cr_assert_eq(thaw_pool_leave(&pool), &nodes[0]);
	cr_assert_eq(gauges().busy, 1);
	/* The place was passed on: none is free. */
	cr_assert_eq(thaw_pool_enter(&pool, NULL), THAW_POOL_BUSY);
	cr_assert_eq(thaw_pool_leave(&pool), &nodes[1]);
	cr_assert_null(thaw_pool_leave(&pool));
	cr_assert_eq(gauges().busy, 0);
	cr_assert_eq(thaw_pool_enter(&pool, NULL), THAW_POOL_PLACE);
}

Test(instances, a_node_is_withdrawn_once_and_gets_no_place)
{
	struct thaw_queue_node nodes[2] = {0};

	make_places(1, 2);
	thaw_pool_enter(&pool, NULL);
	thaw_pool_enter(&pool, &nodes[0]);
	thaw_pool_enter(&pool, &nodes[1]);
	cr_assert(thaw_pool_withdraw(&pool, &nodes[0]));
	cr_assert_not(thaw_pool_withdraw(&pool, &nodes[0]));
	cr_assert_eq(thaw_pool_leave(&pool), &nodes[1]);
	cr_assert_not(thaw_pool_withdraw(&pool, &nodes[1]));
}

static bool is_marked(const struct thaw_queue_node *node, void *marked)
{
	const struct thaw_queue_node *const *nodes = marked;

	return node == nodes[0] || node == nodes[1];
}

Test(instances, the_oldest_that_expired_leaves_the_queue_and_no_other)
{
	struct thaw_queue_node nodes[3] = {0};
	const struct thaw_queue_node *marked[2] = {&nodes[2], &nodes[1]};

	make_places(1, 3);
	thaw_pool_enter(&pool, NULL);
	for (int i = 0; i < 3; i++)
		thaw_pool_enter(&pool, &nodes[i]);
	cr_assert_eq(thaw_pool_expire(&pool, is_marked, marked), &nodes[1]);
	cr_assert_eq(thaw_pool_expire(&pool, is_marked, marked), &nodes[2]);
	cr_assert_null(thaw_pool_expire(&pool, is_marked, marked));
	cr_assert_eq(thaw_pool_leave(&pool), &nodes[0]);
}

/* ---- Upkeep ---- */

#define START_NS (UINT64_C(100) * THAW_NS_PER_SEC)

Test(instances, upkeep_prefaults_all_that_are_ready)
{
	make_and_fill(3, 16);
	fake_set_ready(engine, 2, false);
	cr_assert(thaw_pool_upkeep(&pool, START_NS), "one is not ready: there is more to do later");
	cr_assert_eq(fake_get_counts(engine).prefaulted, 2);
	expect_counts(3, 3);
	fake_set_ready(engine, 2, true);
	cr_assert_not(thaw_pool_upkeep(&pool, START_NS));
	cr_assert_eq(fake_get_counts(engine).prefaulted, 3);
	/* None is prefaulted twice. */
	cr_assert_not(thaw_pool_upkeep(&pool, START_NS));
	cr_assert_eq(fake_get_counts(engine).prefaulted, 3);
}

static void refill_while_prefaulting(void *context, enum fake_call call)
{
	(void)context;
	if (call != FAKE_PREFAULT)
		return;
	cr_assert_eq(gauges().fresh, 2, "one that is being prefaulted is fresh");
	cr_assert_eq(thaw_pool_refill(&pool, NULL), 0);
}

Test(instances, an_instance_that_is_being_prefaulted_is_not_replaced)
{
	make_and_fill(2, 16);
	fake_set_hook(engine, refill_while_prefaulting, NULL);
	cr_assert_not(thaw_pool_upkeep(&pool, START_NS));
	expect_counts(2, 2);
	cr_assert_eq(fake_get_counts(engine).prefaulted, 2);
	cr_assert_eq(fake_get_counts(engine).created, 2);
}

static unsigned upkeep_at(uint64_t ns)
{
	thaw_pool_upkeep(&pool, ns);
	return (unsigned)gauges().fresh;
}

/* A burst: COUNT more instances than the target come back fresh. */
static void burst(unsigned count)
{
	struct thaw_instance *claimed[16];
	unsigned total = (unsigned)gauges().fresh + count;

	for (unsigned i = 0; i < total; i++)
		claimed[i] = claim_from(gauges().fresh ? THAW_START_pool : THAW_START_made);
	for (unsigned i = 0; i < total; i++)
		thaw_pool_unclaim(&pool, claimed[i]);
}

Test(instances, surplus_is_given_up_after_a_second)
{
	make_and_fill(2, 16);
	cr_assert_eq(upkeep_at(START_NS), 2);
	burst(3);
	expect_counts(5, 5);
	/* Begins a second in which at least five are fresh all the time. */
	cr_assert_eq(upkeep_at(START_NS + THAW_NS_PER_SEC), 5);
	cr_assert_eq(upkeep_at(START_NS + 2 * THAW_NS_PER_SEC - 1), 5);
	cr_assert_eq(upkeep_at(START_NS + 2 * THAW_NS_PER_SEC), 2);
	expect_counts(2, 2);
}

Test(instances, surplus_that_was_used_within_the_second_is_kept)
{
	struct thaw_instance *claimed[3];

	make_and_fill(2, 16);
	burst(3);
	upkeep_at(START_NS);
	for (int i = 0; i < 3; i++)
		claimed[i] = claim();
	for (int i = 0; i < 3; i++)
		thaw_pool_unclaim(&pool, claimed[i]);
	/* Only two of five were idle all the time. */
	cr_assert_eq(upkeep_at(START_NS + THAW_NS_PER_SEC), 5);
	cr_assert_eq(upkeep_at(START_NS + 2 * THAW_NS_PER_SEC), 2);
}

Test(instances, upkeep_says_that_surplus_is_left_to_look_at)
{
	make_and_fill(1, 16);
	burst(1);
	cr_assert(thaw_pool_upkeep(&pool, START_NS));
	cr_assert_not(thaw_pool_upkeep(&pool, START_NS + THAW_NS_PER_SEC));
}

/* ---- The target ---- */

Test(instances, a_target_takes_effect_at_once)
{
	make_and_fill(2, 8);
	cr_assert_eq(thaw_pool_set_target(&pool, 8, NULL), 0);
	expect_counts(8, 8);
	cr_assert_eq(gauges().pool_target, 8);
	cr_assert_eq(thaw_pool_set_target(&pool, 3, NULL), 0);
	expect_counts(3, 3);
	cr_assert_eq(thaw_pool_set_target(&pool, 0, NULL), 0);
	expect_counts(0, 0);
}

Test(instances, a_target_beyond_the_limit_is_refused_with_the_way_out)
{
	struct thaw_error err = THAW_ERROR_INIT;

	make_and_fill(2, 8);
	cr_assert_lt(thaw_pool_set_target(&pool, 9, &err), 0);
	cr_assert_eq(err.kind, THAW_ERR_FAILURE);
	cr_assert_not_null(strstr(err.message, "--max-instances 9"), "%s", err.message);
	expect_counts(2, 2);
	cr_assert_eq(gauges().pool_target, 2);
}

Test(instances, ready_ones_are_counted)
{
	make_and_fill(4, 16);
	fake_set_ready(engine, 2, false);
	fake_set_ready(engine, 3, false);
	cr_assert_eq(thaw_pool_ready(&pool), 2);
}

/* ---- The promise of instances.h about the lock ---- */

static void expect_no_lock(void *calls, enum fake_call call)
{
	cr_assert_eq(pthread_mutex_trylock(&pool.lock), 0, "call %d has the lock", (int)call);
	pthread_mutex_unlock(&pool.lock);
	++*(unsigned *)calls;
}

Test(instances, the_lock_is_not_held_while_the_engine_works)
{
	const struct thaw_pool_config config = {
		.target = 2, .max_instances = 8, .concurrency = 4, .queue = 8, .recycle = true};
	struct thaw_instance *instance;
	unsigned calls = 0;

	make_pool(&config);
	fake_set_hook(engine, expect_no_lock, &calls);
	thaw_pool_refill(&pool, NULL);
	thaw_pool_upkeep(&pool, START_NS);
	instance = claim();
	spend(instance);
	cr_assert(thaw_pool_recycle(&pool, instance));
	thaw_pool_discard(&pool, claim());
	thaw_pool_set_target(&pool, 0, NULL);
	claim_from(THAW_START_made);
	/* Created: 3. Prefaulted: 2. Run, recycled. Destroyed: 2. */
	cr_assert_eq(calls, 9);
}
