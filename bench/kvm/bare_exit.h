/* SPDX-License-Identifier: Apache-2.0 */
/* The floor under KVM: a guest of one instruction that leaves and is entered again. */
#ifndef THAW_BARE_EXIT_H
#define THAW_BARE_EXIT_H

#include <linux/kvm.h>

struct bare_exit {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	void *memory;
};

/* Returns 0, or -1 with errno. */
int bare_exit_open(struct bare_exit *bare);
/* Makes one KVM_RUN. Returns 0, or -1. */
int bare_exit_run(struct bare_exit *bare);
/* Also for a bare guest that failed to open. */
void bare_exit_close(struct bare_exit *bare);

#endif
