/* SPDX-License-Identifier: Apache-2.0 */
/* Serving an image: the image's slots and the two threads, made and taken down. */
#include "engine/kvm/serve.h"

#include "engine/kvm/generic.h"
#include "engine/kvm/kick.h"
#include "engine/kvm/shells.h"

int kvm_serve_start(struct kvm_backend *backend, const struct thaw_source *source,
		    struct thaw_error *err)
{
	for (unsigned i = 0; i < backend->slots; i++)
		backend->instances[i].base.engine = source->engine;
	if (kvm_image_make(&backend->device, source->memory, source->vcpu, &source->meta->dispatch,
			   &source->meta->cpu, KVM_MODE_SERVE, &backend->image, err))
		return -1;
	if (!backend->no_working_set)
		kvm_image_set_prefault(&backend->image, source->meta);
	if (backend->generic &&
	    kvm_snapshot_take(&backend->device, &backend->image, &backend->snapshot, err))
		return -1;
	return kvm_watch_start(backend, err) || kvm_maker_start(backend, err) ? -1 : 0;
}

void kvm_serve_stop(struct kvm_backend *backend)
{
	kvm_maker_stop(backend);
	kvm_watch_stop(backend);
	kvm_image_finish(&backend->image);
	kvm_snapshot_free(backend->snapshot);
	backend->snapshot = NULL;
}
