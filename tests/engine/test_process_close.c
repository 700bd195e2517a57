/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an engine over processes: a thread that waits for its failure comes back, and no
 * process that is not the engine's gets a signal. The linker's --wrap shows the test every kill().
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/engine/guests.h"

TestSuite(process_close, .timeout = 60);

int __real_kill(pid_t pid, int signal);
int __wrap_kill(pid_t pid, int signal);

static atomic_int group_kills; /* signals sent to a process group */

int __wrap_kill(pid_t pid, int signal)
{
	if (pid < -1 && signal)
		atomic_fetch_add(&group_kills, 1);
	return __real_kill(pid, signal);
}

static pid_t zygote_of(struct thaw_engine *engine)
{
	struct thaw_instance_memory memory;
	struct thaw_instance *instance;

	cr_assert_eq(thaw_instance_create(engine, &instance, NULL), 0);
	while (!thaw_instance_ready(instance))
		usleep(100);
	cr_assert_eq(thaw_instance_get_memory(instance, &memory, NULL), 0);
	thaw_instance_destroy(instance);
	return getpgid(memory.pid); /* the zygote leads the group */
}

/* Once every process of the group is reaped, the number may be another group's. */
Test(process_close, a_group_that_was_reaped_is_not_signalled)
{
	struct thaw_engine *engine = test_start("hello", NULL, 4);
	pid_t zygote = zygote_of(engine);
	struct thaw_error err = THAW_ERROR_INIT;

	__real_kill(zygote, SIGKILL);
	cr_assert_lt(thaw_engine_wait_failure(engine, &err), 0);
	while (__real_kill(-zygote, 0) == 0 || errno != ESRCH)
		usleep(100);
	atomic_store(&group_kills, 0);
	thaw_engine_close(engine);
	cr_assert_eq(atomic_load(&group_kills), 0);
	cr_assert_eq(test_children(), 0);
}

Test(process_close, a_group_that_lives_is_ended_as_one)
{
	struct thaw_engine *engine = test_start("hello", NULL, 4);

	atomic_store(&group_kills, 0);
	thaw_engine_close(engine);
	cr_assert_eq(atomic_load(&group_kills), 1);
	cr_assert_eq(test_children(), 0);
}

struct supervisor {
	struct thaw_engine *engine;
	pthread_t thread;
	atomic_bool entered;
	int result;
	struct thaw_error err;
};

static void *supervise(void *context)
{
	struct supervisor *supervisor = context;

	atomic_store(&supervisor->entered, true);
	supervisor->result = thaw_engine_wait_failure(supervisor->engine, &supervisor->err);
	return NULL;
}

Test(process_close, ends_every_wait_for_a_failure)
{
	enum { SUPERVISORS = 3 };
	struct thaw_engine *engine = test_start("hello", NULL, 4);
	struct supervisor supervisors[SUPERVISORS];

	for (unsigned i = 0; i < SUPERVISORS; i++) {
		supervisors[i] = (struct supervisor){.engine = engine, .err = THAW_ERROR_INIT};
		cr_assert_eq(
			pthread_create(&supervisors[i].thread, NULL, supervise, &supervisors[i]),
			0);
		while (!atomic_load(&supervisors[i].entered))
			usleep(100);
	}
	usleep(100000); /* until they wait; nothing tells from outside that they do */
	thaw_engine_close(engine);
	for (unsigned i = 0; i < SUPERVISORS; i++) {
		pthread_join(supervisors[i].thread, NULL);
		cr_expect_lt(supervisors[i].result, 0);
		cr_expect_str_eq(supervisors[i].err.message, "the engine was closed");
	}
}
