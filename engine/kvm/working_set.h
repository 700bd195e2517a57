/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_KVM_WORKING_SET_H
#define THAW_KVM_WORKING_SET_H

#include "engine/kvm/backend.h"

/* Runs one request in a clone of a booted image and adds the pages that it touches to RECORDING. The
 * opener calls, before the backend serves. */
int kvm_record(struct kvm_backend *backend, const struct thaw_source *source,
	       const struct thaw_run *run, struct thaw_recording *recording,
	       struct thaw_outcome *outcome, struct thaw_error *err);

#endif
