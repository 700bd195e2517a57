/* SPDX-License-Identifier: Apache-2.0 */
/* The generic way back to the image: a whole snapshot of bank and vCPU. */
#ifndef THAW_KVM_GENERIC_H
#define THAW_KVM_GENERIC_H

#include "engine/kvm/machine/machine.h"

struct kvm_snapshot;

/* Makes a machine of IMAGE, takes the snapshot of it at rest, and gives IMAGE the file that the
 * banks of all later machines are mappings of. *OUT is to be freed; it is NULL after a failure. */
int kvm_snapshot_take(const struct kvm_device *device, struct kvm_image *image,
		      struct kvm_snapshot **out, struct thaw_error *err);
void kvm_snapshot_free(struct kvm_snapshot *snapshot); /* NULL is fine */

/* Sets every register and drops all that MACHINE wrote. -1 with errno: its state is undefined. */
int kvm_snapshot_restore(const struct kvm_snapshot *snapshot, struct kvm_machine *machine);

#endif
