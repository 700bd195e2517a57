/* SPDX-License-Identifier: Apache-2.0 */
/* A machine: a VM with three memory slots and one vCPU. One thread at a time uses it. */
#ifndef THAW_KVM_MACHINE_H
#define THAW_KVM_MACHINE_H

#include "engine/kvm/machine/image.h"

struct kvm_machine {
	int vm_fd, vcpu_fd;  /* owned; -1: none */
	struct kvm_run *run; /* the page that the vCPU shares with its thread */
	size_t run_size;
	uint8_t *bank; /* owned */
	uint64_t bank_size;
	/* Views into the bank. */
	struct kvm_control *control;
	struct thaw_mailbox *mailbox;
};

#define KVM_MACHINE_NONE ((struct kvm_machine){.vm_fd = -1, .vcpu_fd = -1})

/* Makes a machine of IMAGE that is ready for its first entry. On failure MACHINE is
 * KVM_MACHINE_NONE and errno says why; the error names the step. Any thread. */
int kvm_machine_make(const struct kvm_device *device, const struct kvm_image *image,
		     struct kvm_machine *machine, struct thaw_error *err);
/* KVM_MACHINE_NONE is fine. */
void kvm_machine_finish(struct kvm_machine *machine);

#endif
