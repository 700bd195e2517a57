/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides whether a clone is as new by looking at all of its bank: at what its guest can reach, and
 * at every other page that holds anything.
 */
#ifndef TEST_KVM_FRESH_H
#define TEST_KVM_FRESH_H

#include "engine/kvm/backend.h"
#include "tests/kvm/walk.h"

/* The three slots of an instance's machine. */
struct walk_memory fresh_memory(const struct kvm_instance *instance);

/* Describes the first difference from a new clone that prefaulted its pages; NULL when there is
 * none. The text is valid until the next call. */
const char *fresh_difference(const struct kvm_instance *instance);

/* Calls EACH for the pages of the bank that the host has memory for. */
void fresh_each_resident(const struct kvm_machine *machine,
			 void (*each)(void *context, uint64_t page, const uint8_t *bytes),
			 void *context);

#endif
