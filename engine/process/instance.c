/* SPDX-License-Identifier: Apache-2.0 */
/* Instances as clones: ordered from the zygote, readied, killed and given up. run.c runs them. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "engine/host/futex.h"
#include "engine/process/process.h"
#include "guest-stub/shim/process/rest.h"

static struct process_instance *of(struct thaw_instance *instance)
{
	return (struct process_instance *)instance;
}

/* With the lock held. The thread that orders an instance is likely to use it next, so the clone's
 * home is where that thread runs. */
static void make_fresh(struct process_instance *instance)
{
	instance->in_use = true;
	atomic_store(&instance->dead, false);
	atomic_store(&instance->killed, false);
	instance->death = 0;
	instance->recycled = instance->loose = false;
	atomic_store(&instance->cpu, (uint32_t)sched_getcpu());
	process_order(instance);
}

int process_create(struct process_backend *backend, struct thaw_instance **out,
		   struct thaw_error *err)
{
	struct process_instance *instance = NULL;
	int result = 0;

	pthread_mutex_lock(&backend->lock);
	if (backend->failed)
		result = process_tell_failure(backend, err);
	else if ((instance = process_take_slot(backend)))
		make_fresh(instance);
	else
		result = thaw_fail(err, THAW_ERR_ENGINE, "all %u instances are alive",
				   backend->slots);
	pthread_mutex_unlock(&backend->lock);
	if (result)
		return -1;
	process_wake_zygote(backend);
	*out = &instance->base;
	return 0;
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
		if (atomic_load(&instance->dead) ||
		    __atomic_load_n(&instance->mailbox->turn, __ATOMIC_SEQ_CST) == THAW_TURN_DEAD)
			return 0;
		nanosleep(&pause, NULL);
	}
	return __atomic_load_n(&instance->backend->control->pid[instance->slot], __ATOMIC_SEQ_CST);
}

bool process_prepared(const struct thaw_instance *base)
{
	const struct thaw_mailbox *mailbox = ((const struct process_instance *)base)->mailbox;

	return __atomic_load_n(&mailbox->up, __ATOMIC_ACQUIRE) != UP_RECYCLED ||
	       __atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) != THAW_TURN_NONE;
}

/* The clone prepares by itself: no thread waits for it. */
bool process_prepare(struct thaw_instance *base)
{
	struct thaw_mailbox *mailbox = of(base)->mailbox;
	uint32_t none = THAW_TURN_NONE;

	/* Release: the clone's memory was restored before. */
	if (!process_prepared(base) &&
	    __atomic_compare_exchange_n(&mailbox->turn, &none, TURN_PREPARE, false,
					__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		thaw_futex_wake(&mailbox->turn);
	return process_ready(base);
}

/* Ends the clone: one that runs is killed, one that is yet to be forked finds the word in its
 * mailbox and ends by itself. With the lock held, so that the pid is that of the clone. */
static void end_clone(struct process_instance *instance)
{
	struct process_backend *backend = instance->backend;
	int32_t pid;

	/* Sequentially consistent against the zygote: either the pid is seen here, or the clone,
	 * which runs after its pid was written, sees this. */
	__atomic_store_n(&instance->mailbox->turn, THAW_TURN_DEAD, __ATOMIC_SEQ_CST);
	pid = __atomic_load_n(&backend->control->pid[instance->slot], __ATOMIC_SEQ_CST);
	if (pid > 0) {
		process_send_away(instance, pid);
		kill(pid, SIGKILL);
	} else if (pid < 0) {
		/* It could not be forked: there is nothing to reap. */
		backend->control->pid[instance->slot] = 0;
		atomic_store(&instance->dead, true);
	} else if (process_withdraw(instance)) {
		atomic_store(&instance->dead, true);
	}
}

void process_kill(struct thaw_instance *base)
{
	struct process_instance *instance = of(base);
	struct process_backend *backend = instance->backend;

	pthread_mutex_lock(&backend->lock);
	atomic_store(&instance->killed, true);
	if (!atomic_load(&instance->dead))
		end_clone(instance);
	thaw_futex_wake(&instance->mailbox->turn); /* the thread that runs it */
	pthread_mutex_unlock(&backend->lock);
}

/* The caller also recycles the clone, so the order is this: a clone that sleeps at rest has handled
 * every tick that was sent before it was looked at. */
void process_tick(struct process_instance *instance)
{
	struct process_backend *backend = instance->backend;
	int32_t pid;

	pthread_mutex_lock(&backend->lock);
	pid = backend->control->pid[instance->slot];
	if (!atomic_load(&instance->dead) && pid > 0)
		kill(pid, SHIM_TICK_SIGNAL);
	pthread_mutex_unlock(&backend->lock);
}

void process_destroy(struct thaw_instance *base)
{
	struct process_instance *instance = of(base);
	struct process_backend *backend = instance->backend;

	pthread_mutex_lock(&backend->lock);
	if (!atomic_load(&instance->dead))
		end_clone(instance);
	instance->in_use = false;
	process_release_slot(instance);
	pthread_mutex_unlock(&backend->lock);
}
