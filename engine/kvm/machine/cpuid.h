/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sees of the processor. */
#ifndef THAW_KVM_CPUID_H
#define THAW_KVM_CPUID_H

#include <linux/kvm.h>
#include <stdint.h>

#include "engine/engine.h"

/* The features that both SUPPORTED (KVM_GET_SUPPORTED_CPUID) and this process have, in the words
 * of an image. */
void kvm_cpuid_features(const struct kvm_cpuid2 *supported, struct thaw_cpu_features *out);

/* What a guest of an image with FEATURES sees. Free with free(); NULL when memory is short. */
struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm_cpuid2 *supported,
				  const struct thaw_cpu_features *features);

/* The bits of CR4 for SMEP, SMAP, UMIP and FSGSBASE that a guest with this CPUID has. */
uint64_t kvm_cpuid_cr4(const struct kvm_cpuid2 *cpuid);

#endif
