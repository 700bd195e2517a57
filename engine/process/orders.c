/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders: clones that the zygote is to make, in a ring in the control block. An order that waits
 * for the whole image lies in the ring beyond control->ordered, where the zygote does not see it
 * yet.
 */
#include <sched.h>
#include <sys/wait.h>

#include "engine/host/futex.h"
#include "engine/image/lazy.h"
#include "engine/process/process.h"

/* Clones that do not wait for all of the image, for the first callers. They are slow and are not
 * recycled, so the pool must not be filled with them. */
#define EARLY_MAX 2u

bool process_is_early(const struct process_backend *backend)
{
	return backend->source.lazy && !thaw_lazy_complete(backend->source.lazy);
}

static void publish_orders(struct process_backend *backend)
{
	/* Release: the zygote reads the entries once it sees the count. */
	__atomic_store_n(&backend->control->ordered, backend->wanted, __ATOMIC_RELEASE);
}

/* A thread waits for an early clone, and other processors are busy decoding. The zygote therefore
 * forks it at home: the thread that gave the order is about to sleep there. */
static void fork_at_home(const struct process_backend *backend, uint32_t cpu)
{
	cpu_set_t home;

	if (cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&home);
	CPU_SET(cpu, &home);
	sched_setaffinity(backend->shim, sizeof(home), &home);
}

void process_order(struct process_instance *instance)
{
	struct process_backend *backend = instance->backend;
	struct shim_order *entry = &backend->control->ring[backend->wanted % SHIM_SLOTS_MAX];
	bool incomplete = !backend->loaded && process_is_early(backend);

	instance->order = backend->wanted++;
	instance->early = incomplete && backend->early++ < EARLY_MAX;
	*entry = (struct shim_order){instance->slot, atomic_load(&instance->cpu), instance->early};
	if (!incomplete || instance->early)
		publish_orders(backend);
	if (instance->early)
		fork_at_home(backend, entry->cpu);
}

bool process_withdraw(const struct process_instance *instance)
{
	struct process_backend *backend = instance->backend;
	struct shim_control *control = backend->control;
	uint32_t last = backend->wanted - 1;

	if ((int32_t)(instance->order - control->ordered) < 0)
		return false;
	/* The last order takes its place. */
	control->ring[instance->order % SHIM_SLOTS_MAX] = control->ring[last % SHIM_SLOTS_MAX];
	backend->instances[control->ring[last % SHIM_SLOTS_MAX].slot].order = instance->order;
	backend->wanted = last;
	return true;
}

void process_wake_zygote(struct process_backend *backend)
{
	thaw_futex_wake(&backend->control->ordered);
}

/* The first failure is the one that is told. */
static void note_failure(struct process_backend *backend, const struct thaw_error *failure)
{
	if (!backend->failed)
		backend->load_failure = *failure;
	backend->failed = true;
	pthread_cond_broadcast(&backend->failure_known);
}

void process_loaded(struct process_backend *backend, const struct thaw_error *failure)
{
	pthread_mutex_lock(&backend->lock);
	backend->loaded = !failure;
	if (failure) {
		note_failure(backend, failure);
	} else {
		if (backend->early && !backend->failed)
			sched_setaffinity(backend->shim, sizeof(backend->cpus), &backend->cpus);
		publish_orders(backend);
	}
	pthread_mutex_unlock(&backend->lock);
	process_wake_zygote(backend);
}

int process_tell_failure(const struct process_backend *backend, struct thaw_error *err)
{
	if (backend->load_failure.kind)
		return thaw_fail(err, backend->load_failure.kind, "%s",
				 backend->load_failure.message);
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "the zygote is gone (%s %d): nothing can be thawed any more",
			 WIFSIGNALED(backend->failure) ? "signal" : "status",
			 WIFSIGNALED(backend->failure) ? WTERMSIG(backend->failure)
						       : WEXITSTATUS(backend->failure));
}
