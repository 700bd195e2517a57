/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deaths. One thread waits for the shim's process group: a clone that ends wakes whoever runs it,
 * and gives its slot back once it is no longer in use either. Slots are cleaned here too, off
 * everybody's path.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "engine/host/futex.h"
#include "engine/process/process.h"
#include "snapshot-format/base/thread.h"

/* A mailbox must come back as if it had never been used, whatever the guest wrote where. The first
 * page of each part is nearly always the only one that was touched, and is wiped in place; what
 * lies beyond is given back to the system, if there is any. */
static void clean_part(int fd, uint8_t *part, off_t offset, size_t length)
{
	off_t rest = offset + (off_t)THAW_PAGE_SIZE, end = offset + (off_t)length;
	off_t data = lseek(fd, rest, SEEK_DATA);

	memset(part, 0, THAW_PAGE_SIZE);
	if (data >= 0 && data < end &&
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, rest, end - rest))
		memset(part + THAW_PAGE_SIZE, 0, length - THAW_PAGE_SIZE);
}

void process_clean_mailbox(struct thaw_backend_state *state, uint32_t slot)
{
	struct thaw_mailbox *mailbox = &state->mailboxes[slot];
	off_t offset = (off_t)SHIM_SLOT_OFFSET(slot);

	memset(mailbox, 0, THAW_PAGE_SIZE);
	clean_part(state->arena_fd, mailbox->request_window,
		   offset + (off_t)offsetof(struct thaw_mailbox, request_window), THAW_WINDOW_SIZE);
	clean_part(state->arena_fd, (uint8_t *)&mailbox->call,
		   offset + (off_t)offsetof(struct thaw_mailbox, call),
		   sizeof(*mailbox) - offsetof(struct thaw_mailbox, call));
}

void process_release_slot(struct thaw_backend_state *state, struct process_instance *instance)
{
	if (instance->in_use || !instance->dead)
		return;
	process_close_files(instance);
	process_clean_mailbox(state, instance->slot);
	state->free_slots[state->free_count++] = instance->slot;
}

static void instance_died(struct process_instance *instance, int signal)
{
	struct thaw_backend_state *state = instance->state;
	uint32_t turn = THAW_TURN_GUEST;

	instance->death = signal;
	__atomic_store_n(&instance->dead, true,
			 __ATOMIC_SEQ_CST); /* give_turn() looks without the lock */
	/* From here nobody signals this pid. */
	__atomic_store_n(&state->control->pid[instance->slot], 0, __ATOMIC_SEQ_CST);
	/* Wake its waiter, but never over an answer that the guest gave before it died. A guest
	 * that plays with the word cannot make this loop: it is dead. */
	__atomic_compare_exchange_n(&instance->mailbox->turn, &turn, THAW_TURN_DEAD, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	thaw_futex_wake(&instance->mailbox->turn);
	process_release_slot(state, instance);
}

static void shim_died(struct thaw_backend_state *state, const siginfo_t *info)
{
	state->failed = !state->closing;
	state->failure = info->si_code == CLD_EXITED ? info->si_status << 8 : info->si_status;
	/* Clones that were ordered and will never be. */
	for (unsigned i = 0; i < state->highest; i++) {
		struct process_instance *instance = &state->instances[i];

		if (instance->in_use && !instance->dead && !state->control->pid[i])
			instance_died(instance, 0);
	}
	pthread_cond_broadcast(&state->failure_known);
}

static void died(struct thaw_backend_state *state, const siginfo_t *info)
{
	int signal = info->si_code == CLD_EXITED ? 0 : info->si_status;

	pthread_mutex_lock(&state->lock);
	if (info->si_pid == state->shim)
		shim_died(state, info);
	else
		for (unsigned i = 0; i < state->highest; i++)
			if (state->control->pid[i] == info->si_pid) {
				instance_died(&state->instances[i], signal);
				break;
			}
	pthread_mutex_unlock(&state->lock);
}

static void *reap(void *context)
{
	struct thaw_backend_state *state = context;
	siginfo_t info;

	/* Seen first and reaped after: until then the pid cannot mean another process, and a kill
	 * cannot go astray. Ends when the group has no members left. */
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_PGID, (id_t)state->shim, &info, WEXITED | WNOWAIT)) {
			if (errno == EINTR)
				continue;
			return NULL;
		}
		died(state, &info);
		pthread_rwlock_wrlock(&state->pids);
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
		pthread_rwlock_unlock(&state->pids);
	}
}

int process_reaper_start(struct thaw_backend_state *state, struct thaw_error *err)
{
	int error = thaw_thread_start(&state->reaper, NULL, reap, state);

	if (error)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, error, "cannot start the reaper");
	state->reaper_started = true;
	return 0;
}

void process_reaper_join(struct thaw_backend_state *state)
{
	if (state->reaper_started)
		pthread_join(state->reaper, NULL);
	state->reaper_started = false;
}
