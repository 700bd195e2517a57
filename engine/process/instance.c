/* SPDX-License-Identifier: Apache-2.0 */
/* Instances in processes: ordering clones, handing a request over and waiting for the answer,
 * ending them. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "engine/host/futex.h"
#include "engine/image/lazy.h"
#include "engine/mailbox.h"
#include "engine/process/process.h"
#include "guest-stub/shim/process/rest.h"
#include "snapshot-format/base/clock.h"

static struct process_instance *of(struct thaw_instance *instance)
{
	return (struct process_instance *)instance;
}

/* Clones that do not wait for all of the image: for who asks first. They are slow, and are not put
 * back, so that a pool is not filled with them. */
#define EARLY_MAX 2u

bool process_is_early(const struct thaw_backend_state *state)
{
	const struct thaw_lazy_load *lazy = state->source.lazy;

	return lazy && !thaw_lazy_complete(lazy);
}

/* With the lock held. */
static void publish_orders(struct thaw_backend_state *state)
{
	/* Release: the zygote reads the entries once it sees the count. */
	__atomic_store_n(&state->control->ordered, state->wanted, __ATOMIC_RELEASE);
}

/* With the lock held. */
static void order(struct thaw_backend_state *state, struct process_instance *instance)
{
	struct shim_order *entry = &state->control->ring[state->wanted % SHIM_SLOTS_MAX];

	instance->order = state->wanted++;
	instance->early = !state->loaded && process_is_early(state);
	*entry = (struct shim_order){instance->slot, instance->cpu, instance->early};
	if (!instance->early || state->early++ < EARLY_MAX)
		publish_orders(state);
	else
		/* It will not be made before all is there. */
		entry->early = instance->early = false;
}

/* An early clone is waited for, and other processors are busy decoding: the zygote forks it at
 * home, where its order came from and who gave it is about to sleep. With the lock held, so that
 * the pid is the zygote's. */
static void fork_at_home(const struct thaw_backend_state *state, uint32_t cpu)
{
	cpu_set_t home;

	if (cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&home);
	CPU_SET(cpu, &home);
	sched_setaffinity(state->shim, sizeof(home), &home);
}

/* With the lock held: takes back an order that waits for the image. False: the zygote has it. */
static bool withdraw_order(struct thaw_backend_state *state,
			   const struct process_instance *instance)
{
	struct shim_control *control = state->control;
	uint32_t last = state->wanted - 1;

	if ((int32_t)(instance->order - control->ordered) < 0)
		return false;
	/* The last one takes its place. */
	control->ring[instance->order % SHIM_SLOTS_MAX] = control->ring[last % SHIM_SLOTS_MAX];
	state->instances[control->ring[last % SHIM_SLOTS_MAX].slot].order = instance->order;
	state->wanted = last;
	return true;
}

void process_loaded(struct thaw_backend_state *state, const struct thaw_error *failure)
{
	pthread_mutex_lock(&state->lock);
	state->loaded = !failure;
	if (failure) {
		state->load_failure = *failure;
		state->failed = true;
		pthread_cond_broadcast(&state->failure_known);
	} else {
		if (state->early && !state->failed)
			sched_setaffinity(state->shim, sizeof(state->cpus), &state->cpus);
		publish_orders(state);
	}
	pthread_mutex_unlock(&state->lock);
	thaw_futex_wake(&state->control->ordered);
}

int process_create(struct thaw_backend_state *state, struct thaw_instance **out,
		   struct thaw_error *err)
{
	struct process_instance *instance = NULL;
	/* Who orders one is likely to use the next. */
	uint32_t slot, cpu = (uint32_t)sched_getcpu();

	pthread_mutex_lock(&state->lock);
	if (!state->failed && state->free_count) {
		slot = state->free_slots[--state->free_count];
		if (slot >= state->highest)
			state->highest = slot + 1;
		instance = &state->instances[slot];
		instance->in_use = true;
		instance->dead = instance->killed = false;
		instance->death = 0;
		instance->recycled = instance->loose = false;
		instance->cpu = cpu;
		order(state, instance);
		if (instance->early)
			fork_at_home(state, cpu);
	}
	pthread_mutex_unlock(&state->lock);
	if (!instance)
		return state->failed ? process_tell_failure(state, err)
				     : thaw_fail(err, THAW_ERR_ENGINE, "all %u instances are alive",
						 state->slots);
	thaw_futex_wake(&state->control->ordered);
	*out = &instance->base;
	return 0;
}

int process_tell_failure(struct thaw_backend_state *state, struct thaw_error *err)
{
	if (state->load_failure.kind)
		return thaw_fail(err, state->load_failure.kind, "%s", state->load_failure.message);
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "the zygote is gone (%s %d): nothing can be thawed any more",
			 WIFSIGNALED(state->failure) ? "signal" : "status",
			 WIFSIGNALED(state->failure) ? WTERMSIG(state->failure)
						     : WEXITSTATUS(state->failure));
}

bool process_ready(const struct thaw_instance *base)
{
	const struct process_instance *instance = (const struct process_instance *)base;

	return __atomic_load_n(&instance->mailbox->up, __ATOMIC_ACQUIRE);
}

int process_wait_ready(struct thaw_instance *base)
{
	static const struct timespec pause = {0, 100000};
	struct process_instance *instance = of(base);

	while (!process_ready(base)) {
		if (__atomic_load_n(&instance->dead, __ATOMIC_SEQ_CST) ||
		    __atomic_load_n(&instance->mailbox->turn, __ATOMIC_SEQ_CST) == THAW_TURN_DEAD)
			return 0;
		nanosleep(&pause, NULL);
	}
	return __atomic_load_n(&instance->state->control->pid[instance->slot], __ATOMIC_SEQ_CST);
}

bool process_prepared(const struct thaw_instance *base)
{
	const struct thaw_mailbox *mailbox = ((const struct process_instance *)base)->mailbox;

	return __atomic_load_n(&mailbox->up, __ATOMIC_ACQUIRE) != UP_RECYCLED ||
	       __atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) != THAW_TURN_NONE;
}

/* The clone does it by itself: nobody waits for it. */
bool process_prepare(struct thaw_instance *base)
{
	struct thaw_mailbox *mailbox = of(base)->mailbox;
	uint32_t none = THAW_TURN_NONE;

	/* Release: the clone's memory was put back before. */
	if (!process_prepared(base) &&
	    __atomic_compare_exchange_n(&mailbox->turn, &none, TURN_PREPARE, false,
					__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		thaw_futex_wake(&mailbox->turn);
	return process_ready(base);
}

bool process_near(const struct thaw_instance *base)
{
	return ((const struct process_instance *)base)->cpu == (uint32_t)sched_getcpu();
}

bool process_settle(struct process_instance *instance, int pid)
{
	unsigned here = (unsigned)sched_getcpu();
	cpu_set_t home;

	if (instance->cpu == here && !instance->loose)
		return true;
	CPU_ZERO(&home);
	if (here < CPU_SETSIZE)
		CPU_SET(here, &home);
	else
		home = instance->state->cpus;
	instance->cpu = here;
	instance->loose = false;
	return sched_setaffinity(pid, sizeof(home), &home) == 0;
}

static bool set_free(struct process_instance *instance, int pid)
{
	instance->loose = true;
	return sched_setaffinity(pid, sizeof(instance->state->cpus), &instance->state->cpus) == 0;
}

/* A clone whose home is elsewhere would be woken there, or wait there behind somebody else; one
 * that takes its time is not kept at home, where somebody else may want to run. That it cannot be
 * moved, where this process may not run everywhere any more, is no harm. */
static void move(struct process_instance *instance,
		 bool (*how)(struct process_instance *instance, int pid))
{
	struct thaw_backend_state *state = instance->state;
	int32_t pid;

	pthread_rwlock_rdlock(&state->pids);
	pid = __atomic_load_n(&state->control->pid[instance->slot], __ATOMIC_SEQ_CST);
	if (pid > 0)
		how(instance, pid);
	pthread_rwlock_unlock(&state->pids);
}

/* A process that ends does so on the processor where it wakes, for some 50 us; not on the one that
 * serves requests. Only worth it, and only true, for a clone that waits at home. */
static void send_away(const struct process_instance *instance, int32_t pid)
{
	cpu_set_t others = instance->state->cpus;
	uint32_t home = instance->cpu;

	if (home >= CPU_SETSIZE || home != (uint32_t)sched_getcpu())
		return;
	CPU_CLR(home, &others);
	sched_setaffinity(pid, sizeof(others), &others);
}

/* Ends the clone: one that runs is killed, one that is yet to be finds the word and ends by itself.
 * With the lock held, so that the pid is that of the clone. */
static void end_clone(struct process_instance *instance)
{
	struct thaw_backend_state *state = instance->state;
	int32_t pid;

	/* Sequentially consistent against the zygote: either the pid is seen here, or the clone,
	 * which runs after its pid was written, sees this. */
	__atomic_store_n(&instance->mailbox->turn, THAW_TURN_DEAD, __ATOMIC_SEQ_CST);
	pid = __atomic_load_n(&state->control->pid[instance->slot], __ATOMIC_SEQ_CST);
	if (pid > 0) {
		send_away(instance, pid);
		kill(pid, SIGKILL);
	} else if (pid < 0) {
		/* It could not be forked: there is nothing to reap. */
		state->control->pid[instance->slot] = 0;
		instance->dead = true;
	} else if (withdraw_order(state, instance)) {
		instance->dead = true;
	}
}

void process_kill(struct thaw_instance *base)
{
	struct process_instance *instance = of(base);

	pthread_mutex_lock(&instance->state->lock);
	__atomic_store_n(&instance->killed, true, __ATOMIC_SEQ_CST);
	if (!instance->dead)
		end_clone(instance);
	thaw_futex_wake(&instance->mailbox->turn); /* whoever runs it */
	pthread_mutex_unlock(&instance->state->lock);
}

void process_destroy(struct thaw_instance *base)
{
	struct process_instance *instance = of(base);

	pthread_mutex_lock(&instance->state->lock);
	if (!instance->dead)
		end_clone(instance);
	instance->in_use = false;
	process_release_slot(instance->state, instance);
	pthread_mutex_unlock(&instance->state->lock);
}

/* The clone is gone, or was never there. */
static void set_dead_outcome(struct process_instance *instance, struct thaw_outcome *outcome)
{
	struct thaw_backend_state *state = instance->state;
	bool killed, dead;
	int32_t pid;
	int death;

	pthread_mutex_lock(&state->lock);
	killed = instance->killed;
	dead = instance->dead;
	death = instance->death;
	pid = state->control->pid[instance->slot];
	pthread_mutex_unlock(&state->lock);
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

/* Sequentially consistent: the guest gives the turn back and then looks whether the host sleeps,
 * the host says that it sleeps and then looks at the turn. */
static uint32_t turn_of(const struct process_instance *instance)
{
	return __atomic_load_n(&instance->mailbox->turn, __ATOMIC_SEQ_CST);
}

static uint32_t sleep_until_turn(struct process_instance *instance, uint64_t until_ns)
{
	struct thaw_mailbox *mailbox = instance->mailbox;
	uint32_t turn;

	__atomic_store_n(&mailbox->host_sleeps, 1, __ATOMIC_SEQ_CST);
	while ((turn = turn_of(instance)) == THAW_TURN_GUEST) {
		if (until_ns && thaw_monotonic_ns() >= until_ns)
			break;
		thaw_futex_wait(&mailbox->turn, THAW_TURN_GUEST, until_ns);
	}
	__atomic_store_n(&mailbox->host_sleeps, 0, __ATOMIC_RELAXED);
	return turn;
}

/* Turns without a slow one among them before the thread yields to a guest again. */
#define QUICK_TURNS 64u

/* How long the guest had its turn. Other threads count too; one that is lost does not matter. */
static void note_turn(struct thaw_backend_state *state, uint64_t ns)
{
	unsigned left = atomic_load_explicit(&state->quick_turns_left, memory_order_relaxed);

	if (ns >= THAW_SLOW_NS)
		atomic_store_explicit(&state->quick_turns_left, QUICK_TURNS, memory_order_relaxed);
	else if (left)
		atomic_store_explicit(&state->quick_turns_left, left - 1, memory_order_relaxed);
}

/* Waits for the guest's turn to end. Returns the turn; THAW_TURN_GUEST when UNTIL_NS has passed. On
 * the same processor the guest runs as soon as we let it, and a short one is done when we are back:
 * neither side has then been put to sleep, and no timer set. One that goes on has the processor for
 * as long as the scheduler likes, and its deadline is seen late: so it is for functions that give
 * the turn back soon. */
static uint32_t wait_turn(struct process_instance *instance, uint64_t until_ns)
{
	uint32_t turn = turn_of(instance);

	if (turn == THAW_TURN_GUEST && process_near(&instance->base) &&
	    !atomic_load_explicit(&instance->state->quick_turns_left, memory_order_relaxed)) {
		sched_yield();
		turn = turn_of(instance);
	}
	return turn == THAW_TURN_GUEST ? sleep_until_turn(instance, until_ns) : turn;
}

/* False when the instance was told to be dead before it could have the turn. */
static bool give_turn(struct process_instance *instance, uint32_t expected)
{
	uint32_t guest = THAW_TURN_GUEST;

	/* Sequentially consistent against the reaper, which first says that the instance is dead
	 * and then looks for a turn to take: either it finds this one, or the death is seen here.
	 * Also the release of request or reply. */
	if (!__atomic_compare_exchange_n(&instance->mailbox->turn, &expected, THAW_TURN_GUEST,
					 false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	thaw_futex_wake(&instance->mailbox->turn);
	if (__atomic_load_n(&instance->dead, __ATOMIC_SEQ_CST))
		/* Unless it had answered, fault or result, before it died. */
		__atomic_compare_exchange_n(&instance->mailbox->turn, &guest, THAW_TURN_DEAD, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return true;
}

/* One that was put back may be preparing itself: then it goes on with its turn when it is done. */
static bool give_first_turn(struct process_instance *instance)
{
	/* Nobody but us takes the word from NONE, so the third comes only after a preparation that
	 * ended between the first two. */
	return give_turn(instance, THAW_TURN_NONE) || give_turn(instance, TURN_PREPARE) ||
	       give_turn(instance, THAW_TURN_NONE);
}

#define BRING_MAX (UINT64_C(4) << 20) /* so that a deadline is looked at in between */

/* An early clone came to memory that is not there. Its word is only where to begin. */
static int bring(struct process_instance *instance, struct thaw_outcome *outcome)
{
	struct thaw_mailbox *mailbox = instance->mailbox;
	uint64_t start = __atomic_load_n(&mailbox->piece_start, __ATOMIC_RELAXED);
	uint64_t end = __atomic_load_n(&mailbox->piece_end, __ATOMIC_RELAXED);
	struct thaw_error err = THAW_ERROR_INIT;

	if (end > start && end - start > BRING_MAX)
		end = start + BRING_MAX;
	if (thaw_lazy_bring(instance->state->source.lazy, start, end, &start, &end, &err)) {
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

/* How long a run takes, and who has been told. */
struct run_clock {
	struct process_instance *instance;
	const struct thaw_run *run;
	uint64_t started_ns;
	uint64_t given_ns; /* when the guest got its turn last */
	unsigned told;	   /* of `slow_ns` */
};

static const uint64_t slow_ns[] = {THAW_SLOW_NS, THAW_VERY_SLOW_NS};
#define SLOW_COUNT (sizeof(slow_ns) / sizeof(slow_ns[0]))

/* Whether the deadline has passed. A guest that keeps its turn may go where there is room; one that
 * hands it to and fro has to be near for that. Who wants to know is told of a slow guest, also when
 * it calls all the time, or spins so that no wait for it ever runs out. */
static bool is_late(struct run_clock *clock, uint32_t turn)
{
	const struct thaw_run *run = clock->run;
	uint64_t now = thaw_monotonic_ns();

	if (turn != THAW_TURN_GUEST) {
		clock->given_ns = now;
	} else if (now >= clock->given_ns + THAW_SLOW_NS) {
		note_turn(clock->instance->state, THAW_SLOW_NS); /* it may never give it back */
		if (!clock->instance->loose)
			move(clock->instance, set_free);
	}
	if (run->deadline_ns && now >= run->deadline_ns)
		return true;
	for (; clock->told < SLOW_COUNT && now >= clock->started_ns + slow_ns[clock->told];
	     clock->told++)
		if (run->slow)
			run->slow(run->context, clock->told == SLOW_COUNT - 1);
	return false;
}

/* When a wait for the guest must be looked at. */
static uint64_t next_look(const struct run_clock *clock)
{
	uint64_t slow = clock->told < SLOW_COUNT ? clock->started_ns + slow_ns[clock->told] : 0;

	if (!clock->instance->loose)
		slow = earlier(slow, clock->given_ns + THAW_SLOW_NS);
	return earlier(slow, clock->run->deadline_ns);
}

static void run_session(struct process_instance *instance, struct thaw_session *session,
			const struct thaw_run *run, uint64_t started_ns,
			struct thaw_outcome *outcome)
{
	struct run_clock clock = {instance, run, started_ns, started_ns, 0};
	bool called = false;
	uint64_t took_ns = 0;
	uint32_t turn;

	for (;;) {
		turn = wait_turn(instance, next_look(&clock));
		if (turn != THAW_TURN_GUEST && !called && instance->recycled &&
		    __atomic_load_n(&instance->mailbox->up, __ATOMIC_RELAXED) == UP_RECYCLED) {
			/* What an earlier invocation left in the processor ended it before the
			 * guest had its turn. */
			thaw_outcome_set(outcome, THAW_OUTCOME_lost,
					 "the instance ended as it was woken");
			return;
		}
		if (turn != THAW_TURN_GUEST) {
			took_ns = thaw_monotonic_ns() - clock.given_ns;
			note_turn(instance->state, took_ns);
		}
		called |= turn == THAW_TURN_HOST;
		if (turn == TURN_BRING && instance->early) {
			if (bring(instance, outcome))
				return;
		} else if (turn == THAW_TURN_HOST) {
			if (thaw_session_handle(session, instance->mailbox, outcome) ==
			    THAW_VERDICT_DONE)
				return;
		} else if (turn != THAW_TURN_GUEST) {
			set_dead_outcome(instance, outcome);
			return;
		}
		if (is_late(&clock, turn)) {
			thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
			return;
		}
		if (turn == THAW_TURN_GUEST)
			continue;
		/* Each of its calls would be a wake-up on another processor. */
		if (took_ns < THAW_SLOW_NS && (instance->loose || !process_near(&instance->base)))
			move(instance, process_settle);
		if (!give_turn(instance, turn)) {
			set_dead_outcome(instance, outcome);
			return;
		}
	}
}

void process_run(struct thaw_instance *base, const struct thaw_run *run,
		 const struct thaw_request_header *header, struct thaw_outcome *outcome)
{
	struct process_instance *instance = of(base);
	uint64_t started_ns = thaw_monotonic_ns();
	struct thaw_session session;

	thaw_session_begin(&session, instance->mailbox, run, header);
	instance->mailbox->complete = instance->early && !process_is_early(instance->state);
	if (!process_near(base))
		move(instance, process_settle);
	if (__atomic_load_n(&instance->dead, __ATOMIC_SEQ_CST) &&
	    !__atomic_load_n(&instance->killed, __ATOMIC_SEQ_CST))
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
