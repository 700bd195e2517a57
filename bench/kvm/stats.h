/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's own counters, from KVM_GET_STATS_FD. */
#ifndef THAW_KVM_STATS_H
#define THAW_KVM_STATS_H

#include <stdint.h>

struct kvm_counts {
	uint64_t exits;	   /* all except those for interrupts of the host */
	uint64_t pf_taken; /* faults in the second-level page tables */
};

/* Returns 0, or -1 with errno. */
int kvm_stats_read(int vcpu_fd, struct kvm_counts *out);

#endif
