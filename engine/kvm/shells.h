/* SPDX-License-Identifier: Apache-2.0 */
/* Machines made ahead and taken down, by a thread of their own, the maker. */
#ifndef THAW_KVM_SHELLS_H
#define THAW_KVM_SHELLS_H

#include "engine/kvm/backend.h"

/* Start and end of the maker; the opener calls. kvm_maker_stop() also takes the stock and the dead
 * down; it is fine if the maker was not started. */
int kvm_maker_start(struct kvm_backend *backend, struct thaw_error *err);
void kvm_maker_stop(struct kvm_backend *backend);

/* thaw_instance_create() and thaw_instance_destroy(): any thread, without waiting for a machine. */
int kvm_create(struct kvm_backend *backend, struct thaw_instance **out, struct thaw_error *err);
void kvm_destroy(struct thaw_instance *instance);

/* Waits until the instance has a machine; false when none could be made. */
bool kvm_wait_made(struct kvm_instance *instance);

#endif
