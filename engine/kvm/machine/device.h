/* SPDX-License-Identifier: Apache-2.0 */
/* The KVM device, and what this host's KVM can do. Asked once, when an engine opens; constant
 * afterwards, so every thread may read it. */
#ifndef THAW_KVM_DEVICE_H
#define THAW_KVM_DEVICE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"

struct kvm_device {
	int fd;			      /* /dev/kvm, owned; -1: none */
	size_t run_size;	      /* bytes of the page that a vCPU shares with its thread */
	bool sync_regs;		      /* general registers can travel in that page */
	struct kvm_cpuid2 *supported; /* owned */
	struct thaw_cpu_features features; /* those that a guest can be shown */
};

/* Takes FD over, and closes it on failure too. THAW_ERR_ENGINE names what is missing. */
int kvm_device_open(int fd, struct kvm_device *device, struct thaw_error *err);
/* Half-open devices and those with fd -1 are fine. */
void kvm_device_close(struct kvm_device *device);

/* One ioctl, repeated while signals interrupt it. -1 with errno on failure. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

#endif
