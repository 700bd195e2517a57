/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deaths. One thread, the reaper, waits for the shim's process group: when a clone ends, it wakes
 * the thread that runs the clone, and releases the slot once the slot is no longer in use either.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "engine/host/futex.h"
#include "engine/process/process.h"
#include "snapshot-format/base/thread.h"

static void instance_died(struct process_instance *instance, int signal)
{
	struct process_backend *backend = instance->backend;
	uint32_t turn = THAW_TURN_GUEST;

	instance->death = signal;
	/* Sequentially consistent against give_turn(), which looks without the lock. */
	atomic_store(&instance->dead, true);
	/* From here no thread signals this pid. */
	__atomic_store_n(&backend->control->pid[instance->slot], 0, __ATOMIC_SEQ_CST);
	/* Wake its waiter, but never over an answer that the guest gave before it died. A guest
	 * that plays with the word cannot make this loop: it is dead. */
	__atomic_compare_exchange_n(&instance->mailbox->turn, &turn, THAW_TURN_DEAD, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	thaw_futex_wake(&instance->mailbox->turn);
	process_release_slot(instance);
}

static void shim_died(struct process_backend *backend, const siginfo_t *info)
{
	if (!backend->closing)
		backend->failed = true;
	backend->failure = info->si_code == CLD_EXITED ? info->si_status << 8 : info->si_status;
	/* Clones that were ordered and will never be. */
	for (unsigned i = 0; i < backend->highest; i++) {
		struct process_instance *instance = &backend->instances[i];

		if (instance->in_use && !atomic_load(&instance->dead) && !backend->control->pid[i])
			instance_died(instance, 0);
	}
	pthread_cond_broadcast(&backend->failure_known);
}

static void died(struct process_backend *backend, const siginfo_t *info)
{
	int signal = info->si_code == CLD_EXITED ? 0 : info->si_status;

	pthread_mutex_lock(&backend->lock);
	if (info->si_pid == backend->shim)
		shim_died(backend, info);
	else
		for (unsigned i = 0; i < backend->highest; i++)
			if (backend->control->pid[i] == info->si_pid) {
				instance_died(&backend->instances[i], signal);
				break;
			}
	pthread_mutex_unlock(&backend->lock);
}

/* Whether the group has members, dead ones included. All of them are children of this process. */
static bool group_has_members(const struct process_backend *backend)
{
	siginfo_t info;

	return waitid(P_PGID, (id_t)backend->shim, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* The group's number, the shim's pid, is free for other processes once its last member is reaped,
 * and only the zygote adds members. */
static void reap_one(struct process_backend *backend, pid_t pid, bool *shim_reaped)
{
	siginfo_t info;

	pthread_rwlock_wrlock(&backend->pids);
	waitid(P_PID, (id_t)pid, &info, WEXITED);
	*shim_reaped |= pid == backend->shim;
	if (*shim_reaped && !group_has_members(backend))
		backend->group_gone = true;
	pthread_rwlock_unlock(&backend->pids);
}

/* A death is handled before it is reaped: until then the pid cannot mean another process, and a
 * signal cannot go astray. Ends when the group has no members left. */
static void *reap(void *context)
{
	struct process_backend *backend = context;
	bool shim_reaped = false;
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_PGID, (id_t)backend->shim, &info, WEXITED | WNOWAIT) == 0) {
			died(backend, &info);
			reap_one(backend, info.si_pid, &shim_reaped);
		} else if (errno != EINTR) {
			return NULL;
		}
	}
}

int process_reaper_start(struct process_backend *backend, struct thaw_error *err)
{
	int error = thaw_thread_start(&backend->reaper, NULL, reap, backend);

	if (error)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, error, "cannot start the reaper");
	backend->reaper_started = true;
	return 0;
}

void process_reaper_join(struct process_backend *backend)
{
	if (backend->reaper_started)
		pthread_join(backend->reaper, NULL);
	backend->reaper_started = false;
}
