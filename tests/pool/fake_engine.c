/* SPDX-License-Identifier: Apache-2.0 */
/* An engine made for tests; see fake_engine.h. */
#include "tests/pool/fake_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/mailbox.h"
#include "snapshot-format/base/clock.h"

#define SLOTS 1024u

enum state { STATE_NONE, STATE_FRESH, STATE_RUNS, STATE_SPENT, STATE_RECYCLES };

struct thaw_instance {
	struct thaw_engine *engine;
	unsigned number;
	enum state state;
	bool ready, near, prefaulted, lost, killed, in_prefault;
};

/* Everything is under the lock, but for the hook, which is constant while threads run. */
struct thaw_engine {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* broadcast at every change that a run or a test may wait for */
	enum thaw_backend_kind backend;
	struct fake_counts counts;
	unsigned fail_creates, lose_runs, releases;
	char create_message[256];
	bool slow_making, recycle_refused, halved;
	uint64_t recycle_ns, run_ns;
	void (*hook)(void *context, enum fake_call call);
	void *hook_context;
	struct thaw_instance instances[SLOTS];
};

struct thaw_engine *fake_engine_new(void)
{
	struct thaw_engine *engine = mmap(NULL, sizeof(*engine), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t mutex;
	pthread_condattr_t condition;

	thaw_assert(engine != MAP_FAILED);
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&engine->lock, &mutex);
	pthread_condattr_init(&condition);
	pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
	pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
	pthread_cond_init(&engine->changed, &condition);
	engine->backend = THAW_BACKEND_PROCESS;
	engine->run_ns = 1000;
	return engine;
}

void fake_engine_free(struct thaw_engine *engine)
{
	munmap(engine, sizeof(*engine));
}

static void lock(const struct thaw_engine *engine)
{
	pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&engine->lock);
}

static void unlock(const struct thaw_engine *engine)
{
	pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&engine->lock);
}

static void unlock_changed(struct thaw_engine *engine)
{
	pthread_cond_broadcast(&engine->changed);
	unlock(engine);
}

static void call_hook(struct thaw_engine *engine, enum fake_call call)
{
	if (engine->hook)
		engine->hook(engine->hook_context, call);
}

/* ---- What the worker calls ---- */

enum thaw_backend_kind thaw_engine_backend(const struct thaw_engine *engine)
{
	enum thaw_backend_kind kind;

	lock(engine);
	kind = engine->backend;
	unlock(engine);
	return kind;
}

const char *thaw_backend_name(enum thaw_backend_kind kind)
{
	return kind == THAW_BACKEND_PROCESS ? "process" : "kvm";
}

static struct thaw_instance *free_slot(struct thaw_engine *engine)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (engine->instances[i].state == STATE_NONE)
			return &engine->instances[i];
	return NULL;
}

int thaw_instance_create(struct thaw_engine *engine, struct thaw_instance **out,
			 struct thaw_error *err)
{
	struct thaw_instance *instance;
	bool fails;

	call_hook(engine, FAKE_CREATE);
	lock(engine);
	fails = engine->fail_creates > 0;
	engine->fail_creates -= fails;
	instance = fails ? NULL : free_slot(engine);
	if (instance) {
		*instance = (struct thaw_instance){.engine = engine,
						   .number = ++engine->counts.created,
						   .state = STATE_FRESH,
						   .ready = !engine->slow_making};
		engine->counts.alive++;
	}
	unlock_changed(engine);
	if (!instance)
		return thaw_fail(err, THAW_ERR_ENGINE, "%s",
				 fails ? engine->create_message : "all instances are alive");
	*out = instance;
	return 0;
}

#define ANSWER(NAME, FIELD)                                                                        \
	bool thaw_instance_##NAME(const struct thaw_instance *instance)                            \
	{                                                                                          \
		bool answer;                                                                       \
                                                                                                   \
		lock(instance->engine);                                                            \
		thaw_assert(instance->state == STATE_FRESH && !instance->in_prefault);             \
		answer = instance->FIELD;                                                          \
		unlock(instance->engine);                                                          \
		return answer;                                                                     \
	}

ANSWER(ready, ready)
ANSWER(near, near)
ANSWER(prepared, prefaulted)

bool thaw_instance_prepare(struct thaw_instance *instance)
{
	struct thaw_engine *engine = instance->engine;
	bool ready;

	lock(engine);
	thaw_assert(instance->state == STATE_FRESH && !instance->in_prefault);
	instance->in_prefault = true;
	unlock(engine);
	call_hook(engine, FAKE_PREFAULT);
	lock(engine);
	instance->in_prefault = false;
	ready = instance->ready;
	instance->prefaulted |= ready;
	engine->counts.prefaulted += ready;
	unlock_changed(engine);
	return ready;
}

static bool ends(const struct thaw_instance *instance)
{
	return instance->lost || instance->killed;
}

bool thaw_instance_recycle(struct thaw_instance *instance)
{
	struct thaw_engine *engine = instance->engine;
	struct timespec takes = {0};
	bool possible;

	lock(engine);
	thaw_assert(instance->state == STATE_SPENT);
	instance->state = STATE_RECYCLES;
	/* As both backends: a kill may come when the run has finished already. */
	possible = !engine->recycle_refused && !ends(instance);
	takes.tv_nsec = (long)engine->recycle_ns;
	unlock(engine);
	call_hook(engine, FAKE_RECYCLE);
	if (takes.tv_nsec)
		nanosleep(&takes, NULL);
	lock(engine);
	instance->state = possible ? STATE_FRESH : STATE_SPENT;
	instance->prefaulted = false;
	engine->counts.recycled += possible;
	unlock_changed(engine);
	return possible;
}

void thaw_instance_kill(struct thaw_instance *instance)
{
	struct thaw_engine *engine = instance->engine;

	call_hook(engine, FAKE_KILL);
	lock(engine);
	thaw_assert(instance->state != STATE_NONE && instance->state != STATE_RECYCLES);
	instance->killed = true;
	engine->counts.killed++;
	unlock_changed(engine);
}

void thaw_instance_destroy(struct thaw_instance *instance)
{
	struct thaw_engine *engine;

	if (!instance)
		return;
	engine = instance->engine;
	call_hook(engine, FAKE_DESTROY);
	lock(engine);
	thaw_assert(instance->state == STATE_FRESH || instance->state == STATE_SPENT);
	thaw_assert(!instance->in_prefault);
	instance->state = STATE_NONE;
	engine->counts.alive--;
	engine->counts.destroyed++;
	unlock_changed(engine);
}

/* ---- The run ---- */

/* With the lock held: the next change, or the deadline. False: the deadline came. */
static bool wait_change(struct thaw_engine *engine, uint64_t deadline_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(deadline_ns / THAW_NS_PER_SEC),
				       .tv_nsec = (long)(deadline_ns % THAW_NS_PER_SEC)};

	if (!deadline_ns)
		return pthread_cond_wait(&engine->changed, &engine->lock) == 0;
	return pthread_cond_timedwait(&engine->changed, &engine->lock, &until) == 0;
}

/* Takes the instance for a run, once it is ready. */
static void begin(struct thaw_instance *instance)
{
	struct thaw_engine *engine = instance->engine;

	call_hook(engine, FAKE_RUN);
	lock(engine);
	thaw_assert(instance->state == STATE_FRESH && !instance->in_prefault);
	instance->state = STATE_RUNS;
	engine->counts.runs++;
	if (engine->lose_runs) {
		engine->lose_runs--;
		instance->lost = true;
	}
	pthread_cond_broadcast(&engine->changed);
	while (!instance->ready && !ends(instance))
		wait_change(engine, 0);
	unlock(engine);
}

/* True: released. */
static bool hold(struct thaw_instance *instance, const struct thaw_run *run)
{
	struct thaw_engine *engine = instance->engine;
	bool in_time = true, released;

	lock(engine);
	engine->counts.holding++;
	pthread_cond_broadcast(&engine->changed);
	while (!engine->releases && !ends(instance) && in_time)
		in_time = wait_change(engine, run->deadline_ns);
	released = !ends(instance) && in_time;
	engine->releases -= released;
	engine->counts.holding--;
	unlock_changed(engine);
	return released;
}

static bool says(const struct thaw_run *run, const char *word)
{
	size_t length = strlen(word);

	return run->request_length >= length && !memcmp(run->request, word, length);
}

/* The number after WORD. */
static unsigned long number_after(const struct thaw_run *run, const char *word)
{
	char text[32] = {0};
	size_t skipped = strlen(word), length = run->request_length - skipped;

	memcpy(text, (const char *)run->request + skipped,
	       length < sizeof(text) ? length : sizeof(text) - 1);
	return strtoul(text, NULL, 10);
}

static void respond_big(const struct thaw_run *run, unsigned long length)
{
	static const char piece[] =
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

	while (length) {
		size_t now = length < sizeof(piece) - 1 ? length : sizeof(piece) - 1;

		run->respond(run->context, piece, now);
		length -= now;
	}
}

/* What the guest does. False: it held, and was not released. */
static bool act(struct thaw_instance *instance, const struct thaw_run *run)
{
	if (says(run, "slow") || says(run, "very"))
		run->slow(run->context, false);
	if (says(run, "very"))
		run->slow(run->context, true);
	if ((says(run, "hold") || says(run, "slow") || says(run, "very")) && !hold(instance, run))
		return false;
	if (says(run, "log "))
		for (unsigned long i = number_after(run, "log "); i > 0; i--)
			run->log(run->context, "a line", 6);
	if (says(run, "big "))
		respond_big(run, number_after(run, "big "));
	else
		run->respond(run->context, run->request,
			     instance->lost ? run->request_length / 2 : run->request_length);
	return true;
}

static void set_outcome(struct thaw_instance *instance, const struct thaw_run *run, bool acted,
			struct thaw_outcome *outcome)
{
	if (instance->killed)
		thaw_outcome_set(outcome, THAW_OUTCOME_cancelled, NULL);
	else if (instance->lost)
		thaw_outcome_set(outcome, THAW_OUTCOME_lost, NULL);
	else if (!acted)
		thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
	else if (says(run, "exit"))
		thaw_outcome_set(outcome, THAW_OUTCOME_exited, NULL);
	else if (says(run, "crash"))
		thaw_outcome_set(outcome, THAW_OUTCOME_crashed, NULL);
	else
		thaw_outcome_set(outcome, THAW_OUTCOME_finished, NULL);
	if (outcome->kind == THAW_OUTCOME_finished)
		outcome->exit_code = 0;
	if (outcome->kind == THAW_OUTCOME_exited)
		outcome->exit_code = 3;
}

void thaw_instance_run(struct thaw_instance *instance, const struct thaw_run *run,
		       struct thaw_outcome *outcome)
{
	struct thaw_engine *engine = instance->engine;
	bool acted = false, over;

	begin(instance);
	lock(engine);
	over = ends(instance);
	if (says(run, "half") && !engine->halved)
		engine->halved = instance->lost = true;
	unlock(engine);
	if (!over) {
		if (run->handed_over)
			run->handed_over(run->context);
		acted = act(instance, run);
	}
	lock(engine);
	outcome->has_fault = false;
	outcome->run_ns = engine->run_ns;
	set_outcome(instance, run, acted, outcome);
	instance->state = STATE_SPENT;
	unlock_changed(engine);
}

/* ---- Scripting ---- */

void fake_set_backend(struct thaw_engine *engine, enum thaw_backend_kind kind)
{
	lock(engine);
	engine->backend = kind;
	unlock_changed(engine);
}

void fake_fail_creates(struct thaw_engine *engine, unsigned count, const char *message)
{
	lock(engine);
	engine->fail_creates = count;
	snprintf(engine->create_message, sizeof(engine->create_message), "%s", message);
	unlock_changed(engine);
}

void fake_make_slowly(struct thaw_engine *engine)
{
	lock(engine);
	engine->slow_making = true;
	unlock_changed(engine);
}

void fake_make_ready(struct thaw_engine *engine)
{
	lock(engine);
	engine->slow_making = false;
	for (unsigned i = 0; i < SLOTS; i++)
		engine->instances[i].ready = true;
	unlock_changed(engine);
}

void fake_lose_runs(struct thaw_engine *engine, unsigned count)
{
	lock(engine);
	engine->lose_runs = count;
	unlock_changed(engine);
}

void fake_set_recycle(struct thaw_engine *engine, bool refused, uint64_t takes_ns)
{
	lock(engine);
	engine->recycle_refused = refused;
	engine->recycle_ns = takes_ns;
	unlock_changed(engine);
}

void fake_set_run_ns(struct thaw_engine *engine, uint64_t run_ns)
{
	lock(engine);
	engine->run_ns = run_ns;
	unlock_changed(engine);
}

void fake_release(struct thaw_engine *engine, unsigned count)
{
	lock(engine);
	engine->releases += count;
	unlock_changed(engine);
}

void fake_set_hook(struct thaw_engine *engine, void (*hook)(void *context, enum fake_call call),
		   void *context)
{
	engine->hook = hook;
	engine->hook_context = context;
}

/* ---- Looking ---- */

struct fake_counts fake_get_counts(struct thaw_engine *engine)
{
	struct fake_counts counts;

	lock(engine);
	counts = engine->counts;
	unlock(engine);
	return counts;
}

void fake_await_holding(struct thaw_engine *engine, unsigned count)
{
	lock(engine);
	while (engine->counts.holding < count)
		wait_change(engine, 0);
	unlock(engine);
}

void fake_await_runs(struct thaw_engine *engine, unsigned count)
{
	lock(engine);
	while (engine->counts.runs < count)
		wait_change(engine, 0);
	unlock(engine);
}

/* ---- One instance ---- */

unsigned fake_number(const struct thaw_instance *instance)
{
	return instance->number;
}

/* With the lock held; NULL: it is destroyed, or was never made. */
static struct thaw_instance *find(struct thaw_engine *engine, unsigned number)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (engine->instances[i].state != STATE_NONE &&
		    engine->instances[i].number == number)
			return &engine->instances[i];
	return NULL;
}

static struct thaw_instance *lock_and_find(struct thaw_engine *engine, unsigned number)
{
	struct thaw_instance *instance;

	lock(engine);
	instance = find(engine, number);
	thaw_assert(instance);
	return instance;
}

void fake_lose(struct thaw_engine *engine, unsigned number)
{
	lock_and_find(engine, number)->lost = true;
	unlock_changed(engine);
}

void fake_set_ready(struct thaw_engine *engine, unsigned number, bool ready)
{
	lock_and_find(engine, number)->ready = ready;
	unlock_changed(engine);
}

void fake_set_near(struct thaw_engine *engine, unsigned number, bool near)
{
	lock_and_find(engine, number)->near = near;
	unlock_changed(engine);
}

void fake_set_prefaulted(struct thaw_engine *engine, unsigned number, bool prefaulted)
{
	lock_and_find(engine, number)->prefaulted = prefaulted;
	unlock_changed(engine);
}

bool fake_is_alive(struct thaw_engine *engine, unsigned number)
{
	bool alive;

	lock(engine);
	alive = find(engine, number) != NULL;
	unlock(engine);
	return alive;
}
