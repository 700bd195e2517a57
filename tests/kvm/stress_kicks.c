/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines and kills at random moments, from other threads, while instances are run, recycled,
 * destroyed and made. A lost kick leaves a guest that never ends, which an alarm reports; a kick
 * that hits a later run ends a healthy guest. This is a plain program, so that the thread sanitizer
 * can watch it. On failure it says what went wrong and exits with 1.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot-format/base/clock.h"
#include "tests/kvm/plain.h"
#include "tests/kvm/with_kvm.h"

#define THREADS	    3u
#define GUEST	    "../../guest-stub/functions/misbehave"
#define LATE_NS	    UINT64_C(200000000000)
#define MILLISECOND UINT64_C(1000000)

static struct thaw_engine *engine;
static unsigned rounds;
static uint64_t longest_ns; /* upper bound of the random moments: about one run of the guest */

struct worker {
	uint64_t seed;
	struct thaw_instance *instance;
	unsigned fresh; /* runs since it was made */
	unsigned ended[THAW_OUTCOME_COUNT];
	pthread_t thread;
};

/* ---- Kills ---- */

struct killing {
	struct thaw_instance *instance;
	uint64_t after_ns;
	pthread_t thread;
};

static void *kill_it(void *context)
{
	struct killing *killing = context;
	uint64_t at_ns = thaw_monotonic_ns() + killing->after_ns;

	/* A sleep would be too coarse for the moments that matter. */
	while (thaw_monotonic_ns() < at_ns)
		if (at_ns - thaw_monotonic_ns() > 2 * MILLISECOND)
			usleep(500);
	thaw_instance_kill(killing->instance);
	return NULL;
}

/* ---- One run ---- */

enum { HEALTHY, HANG, HANG_CALLS, CRASH, KINDS };

static const char *const requests[] = {"echo same", "hang", "hang-calls", "crash"};

struct plan {
	unsigned kind;
	bool deadline, kill; /* soon */
};

/* A bit for each outcome that the plan allows. */
static unsigned allowed(const struct plan *plan)
{
	unsigned own = plan->kind == HEALTHY ? 1u << THAW_OUTCOME_finished
		       : plan->kind == CRASH ? 1u << THAW_OUTCOME_crashed
					     : 0;

	return own | (plan->deadline ? 1u << THAW_OUTCOME_deadline : 0) |
	       (plan->kill ? 1u << THAW_OUTCOME_cancelled : 0);
}

static struct plan make_plan(uint64_t *seed)
{
	struct plan plan = {.kind = (unsigned)plain_below(seed, KINDS)};
	uint64_t what = plain_below(seed, 4);

	/* Half of all runs are healthy and in no danger: a stray kick would hit these. */
	if (plain_below(seed, 2))
		return (struct plan){.kind = HEALTHY};
	plan.deadline = what == 0 || what == 2;
	plan.kill = what == 1 || what == 2;
	if (!plan.deadline && !plan.kill && plan.kind != HEALTHY)
		plan.deadline = true;
	return plan;
}

static void renew(struct worker *worker)
{
	thaw_instance_destroy(worker->instance);
	worker->instance = with_instance(engine);
	worker->fresh = 0;
}

static bool is_answer(const struct with_answer *answer)
{
	return answer->length == 5 && !memcmp(answer->body, "same\n", 5);
}

/* Returns a description of the fault, or NULL. */
static const char *check(const struct plan *plan, const struct with_answer *answer,
			 uint64_t deadline_ns)
{
	if (!(allowed(plan) >> answer->outcome.kind & 1))
		return "another outcome";
	if (answer->outcome.kind == THAW_OUTCOME_finished && !is_answer(answer))
		return "another answer";
	if (answer->outcome.kind == THAW_OUTCOME_deadline && thaw_monotonic_ns() < deadline_ns)
		return "a deadline that has not passed";
	return NULL;
}

static bool run_one(struct worker *worker, unsigned round)
{
	struct plan plan = make_plan(&worker->seed);
	struct killing killing = {.instance = worker->instance,
				  .after_ns = plain_below(&worker->seed, longest_ns)};
	uint64_t soon_ns = plain_below(&worker->seed, longest_ns);
	uint64_t deadline_ns = thaw_monotonic_ns() + (plan.deadline ? soon_ns : LATE_NS);
	struct with_answer answer;
	const char *wrong;
	bool recycled;

	if (plan.kill && pthread_create(&killing.thread, NULL, kill_it, &killing))
		return false;
	with_run(worker->instance, requests[plan.kind], strlen(requests[plan.kind]), deadline_ns,
		 &answer);
	wrong = check(&plan, &answer, deadline_ns);
	if (plan.kill)
		pthread_join(killing.thread, NULL);
	recycled = thaw_instance_recycle(worker->instance);
	if (!wrong && recycled != (answer.outcome.kind == THAW_OUTCOME_finished && !plan.kill))
		wrong = "recycled, or not recycled";
	if (wrong)
		fprintf(stderr,
			"round %u, run %u of its machine: %s: request %s%s%s: %s (%s) %zu bytes\n",
			round, worker->fresh, wrong, requests[plan.kind],
			plan.deadline ? ", deadline" : "", plan.kill ? ", kill" : "",
			thaw_outcome_name(answer.outcome.kind), answer.outcome.message,
			answer.length);
	worker->ended[answer.outcome.kind]++;
	worker->fresh++;
	if (!recycled)
		renew(worker);
	return !wrong;
}

static void *work(void *context)
{
	struct worker *worker = context;

	worker->instance = with_instance(engine);
	for (unsigned round = 0; round < rounds; round++) {
		if (!run_one(worker, round))
			return worker;
		/* Destroy some instances unused, perhaps before they are made. */
		if (plain_below(&worker->seed, 20) == 0)
			renew(worker);
	}
	thaw_instance_destroy(worker->instance);
	return NULL;
}

/* ---- All of it ---- */

static void alarmed(int signal)
{
	static const char text[] = "a guest has not ended: a kick was lost\n";

	(void)signal;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* Measures a run of a made instance that has prefaulted, to choose the moments from. */
static uint64_t measure(void)
{
	struct thaw_instance *instance = with_instance(engine);
	struct with_answer answer;
	uint64_t before_ns = 0;

	for (unsigned i = 0; i < 10; i++) {
		before_ns = thaw_monotonic_ns();
		with_run(instance, "echo same", 9, 0, &answer);
		before_ns = thaw_monotonic_ns() - before_ns;
		if (!thaw_instance_recycle(instance))
			break;
	}
	thaw_instance_destroy(instance);
	return 4 * before_ns + 1000;
}

int main(void)
{
	struct worker workers[THREADS] = {0};
	uint64_t seed = plain_seed("kicks");
	unsigned totals[THAW_OUTCOME_COUNT] = {0};
	int failed = 0;

	rounds = plain_scaled(1000);
	signal(SIGALRM, alarmed);
	alarm(280);
	engine = with_guest(THAW_BACKEND_KVM, GUEST, 16u << 20, THREADS + 1);
	longest_ns = measure();
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].seed = plain_random(&seed) | 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 1;
	}
	for (unsigned i = 0; i < THREADS; i++) {
		void *result;

		pthread_join(workers[i].thread, &result);
		failed |= result != NULL;
		for (unsigned k = 0; k < THAW_OUTCOME_COUNT; k++)
			totals[k] += workers[i].ended[k];
	}
	for (unsigned k = 0; k < THAW_OUTCOME_COUNT; k++)
		fprintf(stderr, "%s %u ", thaw_outcome_name((enum thaw_outcome_kind)k), totals[k]);
	fputc('\n', stderr);
	if (!failed)
		thaw_engine_close(engine);
	return failed;
}
