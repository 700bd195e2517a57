/* SPDX-License-Identifier: Apache-2.0 */
/* One invocation in a clone: the caller hands the turn over, waits for it, and hands it over again,
 * until the guest is done, dies or is late. */
#include <sched.h>
#include <string.h>

#include "engine/host/futex.h"
#include "engine/image/lazy.h"
#include "engine/mailbox.h"
#include "engine/process/process.h"
#include "engine/tick.h"
#include "guest-stub/shim/process/rest.h"
#include "snapshot-format/base/clock.h"

/* For a clone that is gone, was never made, or set the turn to a value of its own. */
static void set_dead_outcome(struct process_instance *instance, struct thaw_outcome *outcome)
{
	struct process_backend *backend = instance->backend;
	bool killed, dead;
	int32_t pid;
	int death;

	pthread_mutex_lock(&backend->lock);
	killed = atomic_load(&instance->killed);
	dead = atomic_load(&instance->dead);
	death = instance->death;
	pid = backend->control->pid[instance->slot];
	pthread_mutex_unlock(&backend->lock);
	if (killed)
		thaw_outcome_set(outcome, THAW_OUTCOME_cancelled, NULL);
	else if (pid < 0)
		thaw_outcome_set(outcome, THAW_OUTCOME_lost, "the instance could not be made: %s",
				 strerrordesc_np(-pid));
	else if (dead && death)
		thaw_outcome_crashed(outcome, death);
	else if (dead)
		thaw_outcome_set(outcome, THAW_OUTCOME_lost,
				 "the instance ended before it was done");
	else
		thaw_outcome_set(outcome, THAW_OUTCOME_violation,
				 "the function wrote over its mailbox");
}

/* Sequentially consistent: the guest gives the turn back and then reads whether the host sleeps;
 * the host says that it sleeps and then reads the turn. */
static uint32_t turn_of(const struct process_instance *instance)
{
	return __atomic_load_n(&instance->mailbox->turn, __ATOMIC_SEQ_CST);
}

/* A guest that comes to want ticks calls the host out of a LONG sleep, so here its wish is looked at
 * once more. */
static uint32_t sleep_until_turn(struct process_instance *instance, uint64_t until_ns,
				 enum thaw_sleep sleep)
{
	struct thaw_mailbox *mailbox = instance->mailbox;
	uint32_t turn;

	__atomic_store_n(&mailbox->host_sleeps, sleep, __ATOMIC_SEQ_CST);
	while ((turn = turn_of(instance)) == THAW_TURN_GUEST) {
		if (until_ns && thaw_monotonic_ns() >= until_ns)
			break;
		if (sleep == THAW_SLEEP_LONG && thaw_tick_wish(mailbox))
			break;
		thaw_futex_wait(&mailbox->turn, THAW_TURN_GUEST, until_ns);
	}
	__atomic_store_n(&mailbox->host_sleeps, 0, __ATOMIC_RELAXED);
	return turn;
}

/* So many quick turns in a row must follow a slow one before a thread yields to a guest again. */
#define QUICK_TURNS 64u

/* Counts a turn that the guest had for NS. Threads count at the same time; a lost count does not
 * matter. */
static void note_turn(struct process_backend *backend, uint64_t ns)
{
	unsigned left = atomic_load_explicit(&backend->quick_turns_left, memory_order_relaxed);

	if (ns >= THAW_SLOW_NS)
		atomic_store_explicit(&backend->quick_turns_left, QUICK_TURNS,
				      memory_order_relaxed);
	else if (left)
		atomic_store_explicit(&backend->quick_turns_left, left - 1, memory_order_relaxed);
}

/* Waits for the guest's turn to end. Returns the turn; THAW_TURN_GUEST when UNTIL_NS has passed, and
 * in a LONG sleep also when the guest wants ticks.
 *
 * On the same processor the guest runs as soon as this thread yields, and a quick guest is done
 * when the yield returns: neither side has slept, and no timer was set. But a guest that goes on
 * has the processor for as long as the scheduler likes, and its deadline is noticed late. So the
 * thread yields only while guests give the turn back soon. */
static uint32_t wait_turn(struct process_instance *instance, uint64_t until_ns,
			  enum thaw_sleep sleep)
{
	uint32_t turn = turn_of(instance);

	if (turn == THAW_TURN_GUEST && process_near(&instance->base) &&
	    !atomic_load_explicit(&instance->backend->quick_turns_left, memory_order_relaxed)) {
		sched_yield();
		turn = turn_of(instance);
	}
	return turn == THAW_TURN_GUEST ? sleep_until_turn(instance, until_ns, sleep) : turn;
}

/* Returns false when the turn is no longer EXPECTED: the instance died before it could have it. */
static bool give_turn(struct process_instance *instance, uint32_t expected)
{
	uint32_t guest = THAW_TURN_GUEST;

	/* Sequentially consistent against the reaper, which first marks the instance dead and then
	 * takes the turn: either it finds this turn, or the death is seen here. Also releases the
	 * request or reply. */
	if (!__atomic_compare_exchange_n(&instance->mailbox->turn, &expected, THAW_TURN_GUEST,
					 false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	thaw_futex_wake(&instance->mailbox->turn);
	if (atomic_load(&instance->dead))
		/* But never over an answer, fault or result, that it gave before it died. */
		__atomic_compare_exchange_n(&instance->mailbox->turn, &guest, THAW_TURN_DEAD, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return true;
}

/* A recycled clone may be preparing itself; it then goes on with its turn when it has prepared. */
static bool give_first_turn(struct process_instance *instance)
{
	/* Only this thread takes the word from NONE, so the third attempt is made only when a
	 * preparation ended between the first two. */
	return give_turn(instance, THAW_TURN_NONE) || give_turn(instance, TURN_PREPARE) ||
	       give_turn(instance, THAW_TURN_NONE);
}

#define BRING_MAX (UINT64_C(4) << 20) /* so that deadlines are checked in between */

/* Brings memory that an early clone came to and that is not there. What the clone says is only
 * where to begin. */
static int bring(struct process_instance *instance, struct thaw_outcome *outcome)
{
	struct thaw_mailbox *mailbox = instance->mailbox;
	uint64_t start = __atomic_load_n(&mailbox->piece_start, __ATOMIC_RELAXED);
	uint64_t end = __atomic_load_n(&mailbox->piece_end, __ATOMIC_RELAXED);
	struct thaw_error err = THAW_ERROR_INIT;

	if (end > start && end - start > BRING_MAX)
		end = start + BRING_MAX;
	if (thaw_lazy_bring(instance->backend->source.lazy, start, end, &start, &end, &err)) {
		thaw_outcome_set(outcome, THAW_OUTCOME_lost, "%s", err.message);
		return -1;
	}
	mailbox->piece_start = start;
	mailbox->piece_end = end;
	return 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* How long a run takes, and how often run->slow was called for it. */
struct run_clock {
	struct process_instance *instance;
	const struct thaw_run *run;
	uint64_t started_ns;
	uint64_t given_ns; /* when the guest last got its turn */
	unsigned told;	   /* calls of run->slow: the next is due at slow_ns[told] */
	uint64_t tick_ns;  /* the earliest time for the guest's next tick; 0: it wants none */
};

static const uint64_t slow_ns[] = {THAW_SLOW_NS, THAW_VERY_SLOW_NS};
#define SLOW_COUNT (sizeof(slow_ns) / sizeof(slow_ns[0]))

/* Whether the deadline has passed. Lets a guest that keeps its turn run on any processor; a guest
 * that hands the turn to and fro must be near for that. Calls run->slow for a slow guest, even when
 * it calls all the time, or spins so that no wait for it ever runs out. */
static bool is_late(struct run_clock *clock, uint32_t turn)
{
	const struct thaw_run *run = clock->run;
	uint64_t now = thaw_monotonic_ns();

	if (turn != THAW_TURN_GUEST) {
		clock->given_ns = now;
	} else if (now >= clock->given_ns + THAW_SLOW_NS) {
		/* Now, because the guest may never give the turn back. */
		note_turn(clock->instance->backend, THAW_SLOW_NS);
		if (!clock->instance->loose)
			process_set_loose(clock->instance);
	}
	if (run->deadline_ns && now >= run->deadline_ns)
		return true;
	for (; clock->told < SLOW_COUNT && now >= clock->started_ns + slow_ns[clock->told];
	     clock->told++)
		if (run->slow)
			run->slow(run->context, clock->told == SLOW_COUNT - 1);
	return false;
}

/* When a wait for the guest must end, so that is_late() can look. */
static uint64_t next_look(const struct run_clock *clock)
{
	uint64_t slow = clock->told < SLOW_COUNT ? clock->started_ns + slow_ns[clock->told] : 0;

	if (!clock->instance->loose)
		slow = earlier(slow, clock->given_ns + THAW_SLOW_NS);
	return earlier(earlier(slow, clock->tick_ns), clock->run->deadline_ns);
}

/* In its first millisecond a guest is looked at anyway. So a short invocation that wants ticks pays
 * for none. */
static enum thaw_sleep how_to_sleep(const struct run_clock *clock)
{
	return clock->told < SLOW_COUNT || clock->tick_ns ? THAW_SLEEP_SHORT : THAW_SLEEP_LONG;
}

/* Ticks a guest that has its turn, if it wants that and it is time. */
static void tick(struct run_clock *clock)
{
	uint64_t wish_ns = thaw_tick_wish(clock->instance->mailbox);

	if (!clock->tick_ns && !wish_ns)
		return;
	if (thaw_tick_is_due(wish_ns, &clock->tick_ns, thaw_monotonic_ns()))
		process_tick(clock->instance);
}

/* Acts on what the guest did with its TURN. True when the invocation is over; OUTCOME is then
 * set. */
static bool is_over(struct process_instance *instance, struct thaw_session *session, uint32_t turn,
		    struct thaw_outcome *outcome)
{
	if (turn == THAW_TURN_GUEST)
		return false;
	if (turn == TURN_BRING && instance->early)
		return bring(instance, outcome) != 0;
	if (turn == THAW_TURN_HOST)
		return thaw_session_handle(session, instance->mailbox, outcome) ==
		       THAW_VERDICT_DONE;
	set_dead_outcome(instance, outcome);
	return true;
}

/* Whether the clone ended before the guest had its turn, because of what an earlier invocation had
 * left in the processor. */
static bool ended_as_woken(const struct process_instance *instance)
{
	return instance->recycled &&
	       __atomic_load_n(&instance->mailbox->up, __ATOMIC_RELAXED) == UP_RECYCLED;
}

static void run_session(struct process_instance *instance, struct thaw_session *session,
			const struct thaw_run *run, uint64_t started_ns,
			struct thaw_outcome *outcome)
{
	struct run_clock clock = {instance, run, started_ns, started_ns, 0, 0};
	bool called = false;
	uint64_t took_ns = 0;
	uint32_t turn;

	for (;;) {
		turn = wait_turn(instance, next_look(&clock), how_to_sleep(&clock));
		if (turn != THAW_TURN_GUEST) {
			if (!called && ended_as_woken(instance)) {
				thaw_outcome_set(outcome, THAW_OUTCOME_lost,
						 "the instance ended as it was woken");
				return;
			}
			took_ns = thaw_monotonic_ns() - clock.given_ns;
			note_turn(instance->backend, took_ns);
		}
		called |= turn == THAW_TURN_HOST;
		if (is_over(instance, session, turn, outcome))
			return;
		if (is_late(&clock, turn)) {
			thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
			return;
		}
		if (turn == THAW_TURN_GUEST) {
			tick(&clock);
			continue;
		}
		/* From afar, each of the guest's calls would be a wake-up on another processor. */
		if (took_ns < THAW_SLOW_NS && (instance->loose || !process_near(&instance->base)))
			process_bring_home(instance);
		if (!give_turn(instance, turn)) {
			set_dead_outcome(instance, outcome);
			return;
		}
	}
}

void process_run(struct thaw_instance *base, const struct thaw_run *run,
		 const struct thaw_request_header *header, struct thaw_outcome *outcome)
{
	struct process_instance *instance = (struct process_instance *)base;
	uint64_t started_ns = thaw_monotonic_ns();
	struct thaw_session session;

	thaw_session_begin(&session, instance->mailbox, run, header);
	instance->mailbox->complete = instance->early && !process_is_early(instance->backend);
	if (!process_near(base))
		process_bring_home(instance);
	if (atomic_load(&instance->dead) && !atomic_load(&instance->killed))
		thaw_outcome_set(outcome, THAW_OUTCOME_lost, "the instance died while it waited");
	else if (!give_first_turn(instance))
		set_dead_outcome(instance, outcome);
	else {
		if (run->handed_over)
			run->handed_over(run->context);
		run_session(instance, &session, run, started_ns, outcome);
	}
	outcome->run_ns = thaw_monotonic_ns() - started_ns;
}
