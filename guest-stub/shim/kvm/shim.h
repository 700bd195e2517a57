/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces between the files of the KVM shim, which is ring 0 of a clone. The shim keeps the
 * guest's program away from the page tables. The virtual machine confines the shim itself: the host
 * trusts nothing that it says. There is one vCPU and no interrupt of ring 0, so nothing here needs a lock.
 */
#ifndef THAW_KVM_SHIM_H
#define THAW_KVM_SHIM_H

#include "guest-stub/shim/bytes.h"
#include "guest-stub/shim/kvm/layout.h"

#define KVM_DESCRIPTION ((const struct kvm_description *)KVM_DESC_VA)
#define KVM_CONTROL	((struct kvm_control *)KVM_CONTROL_VA)
#define KVM_RANGES	((struct shim_ranges *)kvm_bank_page(KVM_PAGE_RANGES))
/* The supervisor's view: SMAP keeps ring 0 from the guest's own. */
#define KVM_MAILBOX ((struct thaw_mailbox *)kvm_bank_page(KVM_PAGE_MAILBOX))

/* What the processor pushes, from `error` on, and entry.S after it. */
struct kvm_frame {
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

static inline void *kvm_bank_page(uint64_t page)
{
	return (void *)(KVM_BANK_VA + page * THAW_PAGE_SIZE);
}

static inline void kvm_flush_page(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline void kvm_flush_all(void)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(cr3) : : "memory");
}

/* pages.c */
/* Makes the page of ADDRESS accessible for a read, a write or an instruction fetch by the guest.
 * False when the guest's ranges do not allow the access. */
bool kvm_page_in(uint64_t address, bool write, bool fetch);
/* Removes the entries of [start, end); private pages go back to the bank. */
void kvm_pages_drop(uint64_t start, uint64_t end);
/* Brings the entries of [start, end) in line with their new protection. */
void kvm_pages_protect(uint64_t start, uint64_t end, uint32_t prot);

/* memory.c: map, unmap and protect. */
long kvm_memory_call(long number, const struct thaw_shim_memory *call);

/* Called by entry.S: for a call of the guest, for a new clone, for an exception. kvm_exception()
 * returns when the guest can go on. */
long kvm_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
void kvm_prefault_pages(void);
void kvm_exception(struct kvm_frame *frame);

/* exit.c: leaves the guest with call NUMBER in the mailbox, and returns when the host has
 * answered. */
void kvm_exit_call(uint32_t number);
/* exit.c: ends the guest; the host learns that the shim is broken. */
_Noreturn void kvm_panic(void);

#endif
