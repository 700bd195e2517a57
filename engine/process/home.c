/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Homes. A hand-over to a clone on the same processor costs 10 us, on another that idles 77 us (in
 * a virtual machine, where a wake-up is an exit or two). So each clone has a home, the one
 * processor where it may run: that of the thread that will wake it. A clone that takes its time is
 * loose.
 */
#include <sched.h>

#include "engine/process/process.h"

bool process_near(const struct thaw_instance *base)
{
	return atomic_load(&((const struct process_instance *)base)->cpu) ==
	       (uint32_t)sched_getcpu();
}

bool process_settle(struct process_instance *instance, int pid)
{
	unsigned here = (unsigned)sched_getcpu();
	cpu_set_t home;

	if (atomic_load(&instance->cpu) == here && !instance->loose)
		return true;
	CPU_ZERO(&home);
	if (here < CPU_SETSIZE)
		CPU_SET(here, &home);
	else
		home = instance->backend->cpus;
	atomic_store(&instance->cpu, here);
	instance->loose = false;
	return sched_setaffinity(pid, sizeof(home), &home) == 0;
}

static bool let_loose(struct process_instance *instance, int pid)
{
	const cpu_set_t *cpus = &instance->backend->cpus;

	instance->loose = true;
	return sched_setaffinity(pid, sizeof(*cpus), cpus) == 0;
}

static void move(struct process_instance *instance,
		 bool (*how)(struct process_instance *instance, int pid))
{
	struct process_backend *backend = instance->backend;
	int32_t pid;

	pthread_rwlock_rdlock(&backend->pids);
	pid = __atomic_load_n(&backend->control->pid[instance->slot], __ATOMIC_SEQ_CST);
	if (pid > 0)
		how(instance, pid);
	pthread_rwlock_unlock(&backend->pids);
}

/* A clone whose home is elsewhere would be woken there, or wait there behind another process. */
void process_bring_home(struct process_instance *instance)
{
	move(instance, process_settle);
}

/* A clone that takes its time does not keep a processor that other threads may want. */
void process_set_loose(struct process_instance *instance)
{
	move(instance, let_loose);
}

/* A process ends on the processor where it wakes, and takes some 50 us for it: not on the one that
 * serves requests. Only worth it, and only true, for a clone that waits at home. */
void process_send_away(const struct process_instance *instance, int32_t pid)
{
	cpu_set_t others = instance->backend->cpus;
	uint32_t home = atomic_load(&instance->cpu);

	if (home >= CPU_SETSIZE || home != (uint32_t)sched_getcpu())
		return;
	CPU_CLR(home, &others);
	sched_setaffinity(pid, sizeof(others), &others);
}
