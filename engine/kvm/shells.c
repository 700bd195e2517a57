/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread, the maker, makes machines and takes them down, off the path of any request. Making
 * one takes hundreds of microseconds to many milliseconds, most of it spent waiting in the kernel.
 * The maker keeps a stock of shells, machines ahead of any order, for a burst beyond the pool.
 */
#include "engine/kvm/shells.h"

#include <errno.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/thread.h"

static void push_free(struct kvm_backend *backend, struct kvm_instance *instance)
{
	instance->next = backend->free;
	backend->free = instance;
}

/* Call with the lock held. The maker makes a machine only while few wait to be taken down, so there
 * is room. */
static void bury(struct kvm_backend *backend, struct kvm_machine *machine)
{
	thaw_assert(backend->dead_count < kvm_dead_room(backend));
	backend->dead[backend->dead_count++] = *machine;
	*machine = KVM_MACHINE_NONE;
	pthread_cond_signal(&backend->work);
}

static void give_machine(struct kvm_instance *instance, const struct kvm_machine *machine)
{
	instance->machine = *machine;
	/* Release: a thread that sees the flag sees the machine. */
	atomic_store_explicit(&instance->made, true, memory_order_release);
}

int kvm_create(struct kvm_backend *backend, struct thaw_instance **out, struct thaw_error *err)
{
	struct kvm_instance *instance;

	pthread_mutex_lock(&backend->lock);
	instance = backend->free;
	if (!instance) {
		pthread_mutex_unlock(&backend->lock);
		return thaw_fail(err, THAW_ERR_ENGINE, "all %u instances are alive",
				 backend->slots);
	}
	backend->free = instance->next;
	instance->next = NULL;
	instance->abandoned = instance->clean = false;
	instance->prefaulted = instance->prefault_failed = false;
	atomic_store_explicit(&instance->killed, false, memory_order_relaxed);
	atomic_store_explicit(&instance->make_failed, 0, memory_order_relaxed);
	instance->kept_count = 0;
	instance->request_length = 0;
	atomic_store_explicit(&instance->runner, 0, memory_order_relaxed);
	if (backend->shell_count) {
		give_machine(instance, &backend->shells[--backend->shell_count]);
	} else {
		*backend->ordered_tail = instance;
		backend->ordered_tail = &instance->next;
	}
	pthread_cond_signal(&backend->work);
	pthread_mutex_unlock(&backend->lock);
	*out = &instance->base;
	return 0;
}

bool kvm_wait_made(struct kvm_instance *instance)
{
	struct kvm_backend *backend = instance->backend;
	bool made;

	if (atomic_load_explicit(&instance->made, memory_order_acquire))
		return true;
	pthread_mutex_lock(&backend->lock);
	while (!(made = atomic_load(&instance->made)) && !atomic_load(&instance->make_failed))
		pthread_cond_wait(&backend->made, &backend->lock);
	pthread_mutex_unlock(&backend->lock);
	return made;
}

void kvm_destroy(struct thaw_instance *base)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;
	struct kvm_backend *backend = instance->backend;

	pthread_mutex_lock(&backend->lock);
	if (atomic_load(&instance->made)) {
		atomic_store(&instance->made, false);
		bury(backend, &instance->machine);
		push_free(backend, instance);
	} else if (atomic_load(&instance->make_failed)) {
		push_free(backend, instance);
	} else {
		instance->abandoned = true; /* the maker frees it */
	}
	pthread_mutex_unlock(&backend->lock);
}

/* Call with the lock held. Gives a machine to the instance that has waited longest, or to the
 * stock. */
static void deliver(struct kvm_backend *backend, struct kvm_machine *machine, int failed)
{
	struct kvm_instance *instance = backend->ordered;

	if (!instance) {
		if (!failed && backend->shell_count < KVM_SHELLS)
			backend->shells[backend->shell_count++] = *machine;
		else if (!failed)
			bury(backend, machine);
		return;
	}
	backend->ordered = instance->next;
	if (!backend->ordered)
		backend->ordered_tail = &backend->ordered;
	instance->next = NULL;
	if (instance->abandoned) {
		push_free(backend, instance);
		deliver(backend, machine, failed);
		return;
	}
	if (failed)
		atomic_store(&instance->make_failed, failed);
	else
		give_machine(instance, machine);
	pthread_cond_broadcast(&backend->made);
}

static void make_one(struct kvm_backend *backend)
{
	struct kvm_machine machine;
	int failed = 0;

	pthread_mutex_unlock(&backend->lock);
	errno = 0;
	if (kvm_machine_make(&backend->device, &backend->image, &machine, NULL))
		failed = errno ? errno : EIO;
	pthread_mutex_lock(&backend->lock);
	deliver(backend, &machine, failed);
	/* After a failure the stock is left alone: the host is asked again for the next order. */
	backend->stock_failed = failed != 0;
}

static void take_one_down(struct kvm_backend *backend)
{
	struct kvm_machine machine = backend->dead[--backend->dead_count];

	pthread_mutex_unlock(&backend->lock);
	kvm_machine_finish(&machine);
	pthread_mutex_lock(&backend->lock);
}

static void *make(void *context)
{
	struct kvm_backend *backend = context;

	pthread_mutex_lock(&backend->lock);
	for (;;) {
		if (backend->maker_ends)
			break;
		/* Orders come first, up to a limit: dead machines hold memory, and their list has
		 * room for KVM_DEAD_MAX beyond those that can be alive. */
		if (backend->ordered && backend->dead_count <= KVM_DEAD_MAX)
			make_one(backend);
		else if (backend->dead_count)
			take_one_down(backend);
		else if (backend->shell_count < KVM_SHELLS && !backend->stock_failed)
			make_one(backend);
		else
			pthread_cond_wait(&backend->work, &backend->lock);
	}
	pthread_mutex_unlock(&backend->lock);
	return NULL;
}

int kvm_maker_start(struct kvm_backend *backend, struct thaw_error *err)
{
	int error;

	backend->maker_ends = false;
	error = thaw_thread_start(&backend->maker, NULL, make, backend);
	if (error)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, error,
				       "cannot start the maker of machines");
	backend->maker_started = true;
	return 0;
}

void kvm_maker_stop(struct kvm_backend *backend)
{
	if (!backend->maker_started)
		return;
	pthread_mutex_lock(&backend->lock);
	backend->maker_ends = true;
	pthread_cond_signal(&backend->work);
	pthread_mutex_unlock(&backend->lock);
	pthread_join(backend->maker, NULL);
	backend->maker_started = false;
	while (backend->dead_count)
		kvm_machine_finish(&backend->dead[--backend->dead_count]);
	while (backend->shell_count)
		kvm_machine_finish(&backend->shells[--backend->shell_count]);
}
