/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's memory, from its making to its end, and the wait for that end. */
#include "engine/kvm/backend.h"

#include <errno.h>
#include <stdlib.h>

static int make_slots(struct kvm_backend *backend)
{
	backend->instances = calloc(backend->slots, sizeof(*backend->instances));
	backend->shells = calloc(KVM_SHELLS, sizeof(*backend->shells));
	backend->dead = calloc(kvm_dead_room(backend), sizeof(*backend->dead));
	if (!backend->instances || !backend->shells || !backend->dead)
		return -1;
	for (unsigned i = backend->slots; i-- > 0;) {
		struct kvm_instance *instance = &backend->instances[i];

		instance->backend = backend;
		instance->machine = KVM_MACHINE_NONE;
		pthread_mutex_init(&instance->kick_lock, NULL);
		instance->next = backend->free;
		backend->free = instance;
	}
	return 0;
}

int kvm_backend_make(const struct thaw_engine_config *config, struct kvm_backend **out,
		     struct thaw_error *err)
{
	struct kvm_backend *backend = calloc(1, sizeof(*backend));

	if (!backend)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for an engine");
	*backend = (struct kvm_backend){.device = {.fd = -1},
					.image = KVM_IMAGE_NONE,
					.generic = config->backend == THAW_BACKEND_KVM_GENERIC,
					.no_working_set = config->no_working_set,
					.slots = config->max_instances};
	backend->ordered_tail = &backend->ordered;
	pthread_mutex_init(&backend->lock, NULL);
	pthread_cond_init(&backend->work, NULL);
	pthread_cond_init(&backend->made, NULL);
	pthread_cond_init(&backend->closing_changed, NULL);
	if (make_slots(backend)) {
		thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for %u instances",
				backend->slots);
		kvm_backend_free(backend);
		return -1;
	}
	*out = backend;
	return 0;
}

/* ---- The wait for the end ---- */

/* Blocks until no thread waits any more: the lock and the condition can then be destroyed. */
static void end_waits(struct kvm_backend *backend)
{
	pthread_mutex_lock(&backend->lock);
	backend->closing = true;
	pthread_cond_broadcast(&backend->closing_changed);
	while (backend->waiters)
		pthread_cond_wait(&backend->closing_changed, &backend->lock);
	pthread_mutex_unlock(&backend->lock);
}

/* Instances share nothing that can die: no process, and no thread that ends by itself. So nothing
 * but the end of the backend ends the wait. */
int kvm_backend_wait_closed(struct kvm_backend *backend, struct thaw_error *err)
{
	pthread_mutex_lock(&backend->lock);
	backend->waiters++;
	while (!backend->closing)
		pthread_cond_wait(&backend->closing_changed, &backend->lock);
	backend->waiters--;
	pthread_cond_broadcast(&backend->closing_changed);
	pthread_mutex_unlock(&backend->lock);
	return thaw_fail(err, THAW_ERR_ENGINE, "the engine was closed");
}

void kvm_backend_free(struct kvm_backend *backend)
{
	end_waits(backend);
	for (unsigned i = 0; backend->instances && i < backend->slots; i++) {
		pthread_mutex_destroy(&backend->instances[i].kick_lock);
		free(backend->instances[i].kept);
	}
	kvm_device_close(&backend->device);
	pthread_cond_destroy(&backend->work);
	pthread_cond_destroy(&backend->made);
	pthread_cond_destroy(&backend->closing_changed);
	pthread_mutex_destroy(&backend->lock);
	free(backend->instances);
	free(backend->shells);
	free(backend->dead);
	free(backend);
}
