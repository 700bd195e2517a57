/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines are made and taken down by one thread, off everybody's path: making one is a matter of
 * hundreds of microseconds to many milliseconds, most of it waiting in the kernel. A few are made
 * ahead of any order, so that a burst beyond the pool finds shells.
 */
#include "engine/kvm/kvm.h"
#include "snapshot-format/base/thread.h"

#include <errno.h>
#include <string.h>

static void push_free(struct thaw_backend_state *state, struct kvm_instance *instance)
{
	instance->next = state->free;
	state->free = instance;
}

/* With the lock held. A machine is made only while few wait to be taken down, so there is room. */
static void bury(struct thaw_backend_state *state, struct kvm_machine *machine)
{
	thaw_assert(state->dead_count < kvm_dead_room(state));
	state->dead[state->dead_count++] = *machine;
	*machine = KVM_MACHINE_NONE;
	pthread_cond_signal(&state->work);
}

static void give_machine(struct kvm_instance *instance, const struct kvm_machine *machine)
{
	instance->machine = *machine;
	/* Release: who sees it made sees the machine. */
	atomic_store_explicit(&instance->made, true, memory_order_release);
}

int kvm_create(struct thaw_backend_state *state, struct thaw_instance **out, struct thaw_error *err)
{
	struct kvm_instance *instance;

	pthread_mutex_lock(&state->lock);
	instance = state->free;
	if (!instance) {
		pthread_mutex_unlock(&state->lock);
		return thaw_fail(err, THAW_ERR_ENGINE, "all %u instances are alive", state->slots);
	}
	state->free = instance->next;
	instance->next = NULL;
	instance->abandoned = instance->killed = instance->clean = instance->primed = false;
	instance->make_failed = 0;
	instance->prime_failed = false;
	instance->kept_count = 0;
	instance->request_length = 0;
	atomic_store_explicit(&instance->runner, 0, memory_order_relaxed);
	if (state->shell_count) {
		give_machine(instance, &state->shells[--state->shell_count]);
	} else {
		*state->ordered_tail = instance;
		state->ordered_tail = &instance->next;
	}
	pthread_cond_signal(&state->work);
	pthread_mutex_unlock(&state->lock);
	*out = &instance->base;
	return 0;
}

bool kvm_wait_made(struct kvm_instance *instance)
{
	struct thaw_backend_state *state = instance->state;
	bool made;

	if (atomic_load_explicit(&instance->made, memory_order_acquire))
		return true;
	pthread_mutex_lock(&state->lock);
	while (!(made = atomic_load(&instance->made)) && !instance->make_failed)
		pthread_cond_wait(&state->made, &state->lock);
	pthread_mutex_unlock(&state->lock);
	return made;
}

void kvm_destroy(struct thaw_instance *base)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;
	struct thaw_backend_state *state = instance->state;

	pthread_mutex_lock(&state->lock);
	if (atomic_load(&instance->made)) {
		atomic_store(&instance->made, false);
		bury(state, &instance->machine);
		push_free(state, instance);
	} else if (instance->make_failed) {
		push_free(state, instance);
	} else {
		instance->abandoned = true; /* the maker has it */
	}
	pthread_mutex_unlock(&state->lock);
}

/* With the lock held: a machine for the instance that has waited longest, or for the stock. */
static void deliver(struct thaw_backend_state *state, struct kvm_machine *machine, int failed)
{
	struct kvm_instance *instance = state->ordered;

	if (!instance) {
		if (!failed && state->shell_count < KVM_SHELLS)
			state->shells[state->shell_count++] = *machine;
		else if (!failed)
			bury(state, machine);
		return;
	}
	state->ordered = instance->next;
	if (!state->ordered)
		state->ordered_tail = &state->ordered;
	instance->next = NULL;
	if (instance->abandoned) {
		push_free(state, instance);
		deliver(state, machine, failed);
		return;
	}
	if (failed)
		instance->make_failed = failed;
	else
		give_machine(instance, machine);
	pthread_cond_broadcast(&state->made);
}

static void make_one(struct thaw_backend_state *state)
{
	struct kvm_machine machine;
	int failed = 0;

	pthread_mutex_unlock(&state->lock);
	errno = 0;
	if (kvm_machine_make(&state->device, &state->image, &machine, NULL))
		failed = errno ? errno : EIO;
	pthread_mutex_lock(&state->lock);
	deliver(state, &machine, failed);
	/* Nobody waits for the stock: a host that has no more to give is asked again when somebody
	 * does. */
	state->stock_failed = failed != 0;
}

static void take_one_down(struct thaw_backend_state *state)
{
	struct kvm_machine machine = state->dead[--state->dead_count];

	pthread_mutex_unlock(&state->lock);
	kvm_machine_finish(&machine);
	pthread_mutex_lock(&state->lock);
}

static void *make(void *context)
{
	struct thaw_backend_state *state = context;

	pthread_mutex_lock(&state->lock);
	for (;;) {
		if (state->closing)
			break;
		/* Orders come first, but not without end: the dead hold memory, and their list has
		 * room for every machine that can be alive and these. */
		if (state->ordered && state->dead_count <= KVM_DEAD_MAX)
			make_one(state);
		else if (state->dead_count)
			take_one_down(state);
		else if (state->shell_count < KVM_SHELLS && !state->stock_failed)
			make_one(state);
		else
			pthread_cond_wait(&state->work, &state->lock);
	}
	pthread_mutex_unlock(&state->lock);
	return NULL;
}

int kvm_maker_start(struct thaw_backend_state *state, struct thaw_error *err)
{
	int error = thaw_thread_start(&state->maker, NULL, make, state);

	if (error)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, error,
				       "cannot start the maker of machines");
	state->maker_started = true;
	return 0;
}

void kvm_maker_stop(struct thaw_backend_state *state)
{
	if (!state->maker_started)
		return;
	pthread_mutex_lock(&state->lock);
	state->closing = true;
	pthread_cond_signal(&state->work);
	pthread_mutex_unlock(&state->lock);
	pthread_join(state->maker, NULL);
	state->maker_started = false;
	while (state->dead_count)
		kvm_machine_finish(&state->dead[--state->dead_count]);
	while (state->shell_count)
		kvm_machine_finish(&state->shells[--state->shell_count]);
}
