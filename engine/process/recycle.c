/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recycling: makes a spent clone, from outside, what it was before it ran, so that the next
 * invocation needs no fork. A fork and an end cost many times as much, and the pages that the clone
 * has touched stay in place.
 *
 * The clone is trusted with none of it. It ran hostile code with one thread, under a filter that
 * leaves it few calls, and so what it can have changed is known: memory, mappings, registers,
 * affinity. docs/process-backend.md goes through them. In short:
 *   1. The clone must be at rest: asleep in the shim's own wait, which only the host ends.
 *      /proc/PID/syscall says at which address. Its registers then do not matter: the shim loads
 *      them from memory.
 *   2. Its mappings must be those of a clone that never ran. Where they are not, the clone is told
 *      to mend them, and examined again.
 *   3. Each of its own pages gets the content that a new clone has there, the shim's variables
 *      included. Changed code would be an own page in a mapping that cannot be written, and ends
 *      the attempt; so does a missing page of the shim's variables.
 *   4. Mailbox and affinity are set anew.
 * When anything else differs, the clone is destroyed and a new one is forked.
 */
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/host/futex.h"
#include "engine/process/process.h"
#include "guest-stub/shim/process/rest.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define MORE_MAPS      65536u /* bytes of text for mappings that an invocation may have added */
#define REPAIR_NS      100000000u
#define REPAIR_LOOK_NS 10000000u /* a clone that dies wakes no thread */
#define SYSCALL_FUTEX  202
/* A clone that has just answered is on its way to rest, and may wait for this processor. */
#define REST_YIELDS   4u
#define REST_PAUSES   20u
#define REST_PAUSE_NS 20000

/* Whether the clone sleeps in the shim's wait, on its mailbox and without a timeout. */
static bool at_rest(const struct process_instance *instance)
{
	unsigned long arguments[6], stack, point;
	char text[256];
	int number;
	ssize_t length = pread(instance->files[PROCESS_FILE_SYSCALL], text, sizeof(text) - 1, 0);

	if (length <= 0)
		return false;
	text[length] = '\0';
	/* The text is "running" while the clone does not sleep. */
	return sscanf(text, "%d %lx %lx %lx %lx %lx %lx %lx %lx", &number, &arguments[0],
		      &arguments[1], &arguments[2], &arguments[3], &arguments[4], &arguments[5],
		      &stack, &point) == 9 &&
	       number == SYSCALL_FUTEX &&
	       arguments[0] == THAW_MAILBOX + offsetof(struct thaw_mailbox, turn) &&
	       arguments[1] == 0 && arguments[3] == 0 &&
	       point == instance->backend->control->rest_point;
}

static bool comes_to_rest(const struct process_instance *instance)
{
	static const struct timespec pause = {0, REST_PAUSE_NS};

	for (unsigned i = 0; i < REST_YIELDS + REST_PAUSES; i++) {
		if (at_rest(instance))
			return true;
		if (i < REST_YIELDS)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
	return false;
}

static int read_mappings(const struct process_instance *instance, struct process_mappings *out)
{
	const struct process_recycler *recycler = &instance->backend->recycler;
	size_t max = 2 * recycler->maps_length + MORE_MAPS, length;
	thaw_autofree char *text = malloc(max);

	if (!text || !process_read_all(instance->files[PROCESS_FILE_MAPS], text, max, &length))
		return -1;
	return process_mappings_read(text, out);
}

/* Has a clone at rest mend its mappings. Nothing depends on its doing so: they are examined
 * again. */
static bool order_repair(struct process_instance *instance, const struct shim_repair *steps,
			 size_t count)
{
	struct thaw_mailbox *mailbox = instance->mailbox;
	uint64_t until_ns = thaw_monotonic_ns() + REPAIR_NS;

	memcpy(mailbox->request_window, steps, count * sizeof(*steps));
	memset(mailbox->request_window + count * sizeof(*steps), 0, sizeof(*steps));
	__atomic_store_n(&mailbox->turn, TURN_REPAIR, __ATOMIC_SEQ_CST);
	thaw_futex_wake(&mailbox->turn);
	while (__atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) == TURN_REPAIR) {
		if (atomic_load(&instance->dead) || thaw_monotonic_ns() > until_ns)
			return false;
		thaw_futex_wait(&mailbox->turn, TURN_REPAIR, thaw_monotonic_ns() + REPAIR_LOOK_NS);
	}
	return comes_to_rest(instance);
}

static bool has_its_mappings(struct process_instance *instance, struct process_repair *repair)
{
	const struct process_mappings *wanted = &instance->backend->recycler.mappings;
	struct process_mappings now;
	int result;

	for (unsigned i = 0; i < 2; i++) {
		if (read_mappings(instance, &now))
			return false;
		result = process_mappings_compare(&now, wanted, SHIM_SLOT_OFFSET(instance->slot),
						  repair);
		free(now.list);
		if (result)
			return false;
		if (!repair->step_count)
			return true;
		if (i == 0 && !order_repair(instance, repair->steps, repair->step_count))
			return false;
	}
	return false;
}

/* The caller holds `pids`: the pid names this clone, alive or dead, and no other process. */
static bool recycle(struct thaw_instance *base)
{
	struct process_instance *instance = (struct process_instance *)base;
	struct process_backend *backend = instance->backend;
	struct thaw_mailbox *mailbox = instance->mailbox;
	thaw_autofree struct process_repair *repair = malloc(sizeof(*repair));
	int pid = __atomic_load_n(&backend->control->pid[instance->slot], __ATOMIC_SEQ_CST);
	bool bases_changed;

	if (atomic_load(&instance->killed) || !process_can_recycle(backend) || pid <= 0 ||
	    !repair || !process_open_files(instance, pid) || !comes_to_rest(instance) ||
	    !has_its_mappings(instance, repair) || !process_restore_memory(instance, pid, repair) ||
	    !process_settle(instance, pid))
		return false;
	bases_changed = mailbox->bases_changed != 0;
	process_clean_mailbox(backend, instance->slot);
	mailbox->bases_changed = bases_changed;
	instance->recycled = true;
	__atomic_store_n(&mailbox->up, UP_RECYCLED, __ATOMIC_RELEASE);
	return !atomic_load(&instance->dead);
}

bool process_recycle(struct thaw_instance *base)
{
	struct process_backend *backend = ((struct process_instance *)base)->backend;
	bool fresh;

	/* An early clone has mappings of its own. */
	if (((struct process_instance *)base)->early)
		return false;
	pthread_rwlock_rdlock(&backend->pids);
	fresh = recycle(base);
	pthread_rwlock_unlock(&backend->pids);
	return fresh;
}
