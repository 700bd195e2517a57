/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests with real virtual machines. Where KVM runs no trial guest, a program that links with_kvm.c
 * ends before its main(): skipped with the reason, or failed where THAW_TEST_NO_SKIP is set.
 */
#ifndef TEST_KVM_WITH_KVM_H
#define TEST_KVM_WITH_KVM_H

#include "engine/engine.h"
#include "engine/kvm/backend.h"

/* An engine that has booted guest NAME of this directory and was started; asserts success. */
struct thaw_engine *with_guest(enum thaw_backend_kind kind, const char *name, uint64_t memory_size,
			       unsigned max_instances);

struct with_answer {
	struct thaw_outcome outcome;
	size_t length; /* of the whole response */
	uint8_t body[4096];
};

/* Waits until an instance can be made. */
struct thaw_instance *with_instance(struct thaw_engine *engine);
void with_run(struct thaw_instance *instance, const void *request, size_t length,
	      uint64_t deadline_ns, struct with_answer *answer);

static inline struct kvm_instance *with_kvm_instance(struct thaw_instance *instance)
{
	return (struct kvm_instance *)instance;
}

#endif
