/* SPDX-License-Identifier: Apache-2.0 */
/* Running an instance; its owner calls. */
#ifndef THAW_KVM_RUN_H
#define THAW_KVM_RUN_H

#include "engine/kvm/backend.h"

/* thaw_instance_run(). */
void kvm_run(struct thaw_instance *instance, const struct thaw_run *run,
	     const struct thaw_request_header *header, struct thaw_outcome *outcome);

/* Brings the machine of a new instance to rest: it prefaults its pages. Nothing happens if it was
 * done before. -1 with errno when the machine does not come to rest. */
int kvm_prefault(struct kvm_instance *instance);

/* Makes the next entry the beginning of an invocation. */
void kvm_begin(struct kvm_instance *instance);

#endif
