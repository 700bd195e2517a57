/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_KVM_BOOT_H
#define THAW_KVM_BOOT_H

#include "engine/kvm/backend.h"

/* Runs a guest from SOURCE's vCPU to its ready point and leaves its memory in SOURCE's file; see
 * engine/backend.h. The opener calls, before the backend serves: the boot uses the first of the
 * instances. */
int kvm_boot(struct kvm_backend *backend, const struct thaw_source *source,
	     const struct thaw_boot_config *config, struct thaw_ready_state *ready,
	     struct thaw_error *err);

#endif
