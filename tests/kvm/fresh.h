/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a clone is as a new one, found by looking at all of its bank: what its guest can reach,
 * and everything else that holds something.
 */
#ifndef TEST_KVM_FRESH_H
#define TEST_KVM_FRESH_H

#include "engine/kvm/backend.h"
#include "tests/kvm/walk.h"

/* The three slots of an instance's machine. */
struct walk_memory fresh_memory(const struct kvm_instance *instance);

/* What is different from a new clone after it was prefaulted and recycled, in words; NULL when nothing
 * is. The words are good until the next call. */
const char *fresh_difference(const struct kvm_instance *instance);

/* Calls EACH for the pages of the bank that the host has memory for. */
void fresh_each_resident(const struct kvm_machine *machine,
			 void (*each)(void *context, uint64_t page, const uint8_t *bytes),
			 void *context);

#endif
