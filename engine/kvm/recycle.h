/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THAW_KVM_RECYCLE_H
#define THAW_KVM_RECYCLE_H

#include "engine/kvm/backend.h"

/* thaw_instance_recycle(); the owner calls. False: the instance is not as new, and can only be
 * destroyed. */
bool kvm_recycle(struct thaw_instance *instance);

#endif
