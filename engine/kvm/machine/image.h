/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image as its clones share it: two memory slots, both read-only to every guest, and the numbers
 * that each clone is made from.
 */
#ifndef THAW_KVM_IMAGE_H
#define THAW_KVM_IMAGE_H

#include <linux/kvm.h>
#include <pthread.h>

#include "engine/image/memory_map.h"
#include "engine/kvm/machine/device.h"
#include "guest-stub/shim/kvm/layout.h"

#define KVM_HUGE_PAGE UINT64_C(0x200000)

/*
 * Constant once kvm_image_make() returned and the first machine is made, except for the list of
 * pages to prefault in the description: prefault_lock orders its writers, the host's threads.
 * Guests read the list without a lock; they see a page only after the count that includes it.
 */
struct kvm_image {
	uint8_t *shim; /* slot: the shim's program, then the description */
	size_t shim_size;
	struct kvm_description *description; /* in SHIM */
	struct kvm_entries entries;
	uint8_t *data; /* slot: the pieces of 2 MiB that have data, packed; NULL: none has */
	uint64_t data_size;
	struct shim_ranges *ranges; /* the ranges that every clone begins with; owned */
	uint64_t memory_pages;
	uint64_t bank_pages; /* of each clone's bank */
	uint64_t first_page; /* of the bank: the first that is free in a new clone */
	uint32_t mode;	     /* KVM_MODE_* */
	/* Generic: each bank is a private mapping of this file, owned. Else -1. */
	int bank_fd;
	struct kvm_cpuid2 *cpuid; /* owned */
	uint64_t cr4;		  /* bits beyond those of every guest */
	uint64_t xcr0;
	pthread_mutex_t prefault_lock;
};

#define KVM_IMAGE_NONE ((struct kvm_image){.bank_fd = -1})

/* Makes the slots from the guest's MEMORY, the processor's state in VCPU and DISPATCH. Guests see
 * FEATURES of the processor. MODE is KVM_MODE_*. Finish IMAGE also after a failure. */
int kvm_image_make(const struct kvm_device *device, const struct thaw_guest_memory *memory,
		   const struct thaw_vcpu *vcpu, const struct thaw_dispatch *dispatch,
		   const struct thaw_cpu_features *features, uint32_t mode, struct kvm_image *image,
		   struct thaw_error *err);
/* Call when no machine of the image is left. KVM_IMAGE_NONE is fine. */
void kvm_image_finish(struct kvm_image *image);

/* The 1 GiB pieces of the alias that maps the image's data for the shim: one page table each. */
static inline uint64_t kvm_image_tables(const struct kvm_image *image)
{
	return (image->data_size + (UINT64_C(1) << 30) - 1) >> 30;
}

/* New clones prefault the working set that META records, as much of it as fits. Call before the
 * first machine is made. */
void kvm_image_set_prefault(struct kvm_image *image, const struct thaw_image_meta *meta);
/* New clones prefault PAGE for writing too. Any thread. */
void kvm_image_add_prefault(struct kvm_image *image, uint64_t page);

/* Reserves LENGTH bytes of private address space, aligned to 2 MiB, so that huge pages fit the host
 * and the guest alike. NULL with errno on failure. */
uint8_t *kvm_reserve(uint64_t length, int prot);

#endif
