/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone's bank, the one memory slot that its guest can write: page tables, mailbox, stacks, and
 * the pages that an invocation writes. guest-stub/shim/kvm/layout.h has its fixed part.
 *
 * What is in a bank is the guest's word. Each function here checks every number that it reads from
 * the bank, and never leaves the bank.
 */
#ifndef THAW_KVM_BANK_H
#define THAW_KVM_BANK_H

#include "engine/kvm/machine/image.h"

/* Lays out the bank of a new clone; BANK is zeroes. */
void kvm_bank_fill(const struct kvm_image *image, uint8_t *bank);

/* How many bytes of a bank of SIZE bytes the host has memory for. -1 with errno on failure. */
int kvm_bank_resident(uint8_t *bank, uint64_t size, uint64_t *bytes);

/* Whether page-table entry ENTRY points into the bank, above the fixed pages; *PAGE is then the
 * page's number. */
bool kvm_bank_page_of(const struct kvm_image *image, uint64_t entry, uint64_t *page);

/* The lowest entry for ADDRESS in the guest's page tables, or NULL if a table on the way is
 * missing. *NEXT is the first address beyond that table, or beyond the missing one. */
uint64_t *kvm_bank_entry(const struct kvm_image *image, uint8_t *bank, uint64_t address,
			 uint64_t *next);
/* The entry that points to the table in which kvm_bank_entry() finds its entry; otherwise alike. */
uint64_t *kvm_bank_table_entry(const struct kvm_image *image, uint8_t *bank, uint64_t address,
			       uint64_t *next);

#endif
