/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone's bank: its first content, and walks over its page tables. The host lays out the fixed
 * pages; the shim hands out the rest.
 */
#include "engine/kvm/machine/bank.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/round.h"

#define PAGE		  THAW_PAGE_SIZE
#define ENTRIES		  512u
#define TABLE(bank, page) ((uint64_t *)((bank) + (page)*PAGE))

#define TABLE_FLAGS	  (KVM_PTE_PRESENT | KVM_PTE_WRITE | KVM_PTE_ACCESSED)
#define DATA_FLAGS                                                                                 \
	(KVM_PTE_PRESENT | KVM_PTE_WRITE | KVM_PTE_ACCESSED | KVM_PTE_NX | KVM_PTE_GLOBAL)
#define READ_FLAGS (KVM_PTE_PRESENT | KVM_PTE_ACCESSED | KVM_PTE_NX | KVM_PTE_GLOBAL)

static uint64_t bank_entry(uint64_t page, uint64_t flags)
{
	return (KVM_BANK_GPA + page * PAGE) | flags;
}

/* Maps [gpa, gpa + size) for the shim in pieces of 2 MiB, from the start of the 512 GiB whose table
 * is page PDPT. Takes tables from page *NEXT on. */
static void map_alias(uint8_t *bank, unsigned pdpt, uint64_t gpa, uint64_t size, uint64_t flags,
		      uint64_t *next)
{
	for (uint64_t done = 0, piece = 0; done < size; done += KVM_HUGE_PAGE, piece++) {
		if (piece % ENTRIES == 0)
			TABLE(bank, pdpt)[piece / ENTRIES] = bank_entry((*next)++, TABLE_FLAGS);
		TABLE(bank, *next - 1)[piece % ENTRIES] = (gpa + done) | flags | KVM_PTE_LARGE;
	}
}

static void map_gate(uint8_t *bank)
{
	uint64_t *table = TABLE(bank, KVM_PAGE_PT_GATE);
	unsigned mailbox = (THAW_MAILBOX - THAW_GATE) / PAGE;

	TABLE(bank, KVM_PAGE_PML4)[0] = bank_entry(KVM_PAGE_PDPT_LOW, TABLE_FLAGS | KVM_PTE_USER);
	TABLE(bank, KVM_PAGE_PDPT_LOW)
	[THAW_GATE >> 30] = bank_entry(KVM_PAGE_PD_GATE, TABLE_FLAGS | KVM_PTE_USER);
	TABLE(bank, KVM_PAGE_PD_GATE)[0] = bank_entry(KVM_PAGE_PT_GATE, TABLE_FLAGS | KVM_PTE_USER);
	table[0] = KVM_SHIM_GPA | KVM_PTE_PRESENT | KVM_PTE_USER | KVM_PTE_ACCESSED;
	for (unsigned i = 0; i < KVM_PAGES_MAILBOX; i++)
		table[mailbox + i] = bank_entry(KVM_PAGE_MAILBOX + i,
						KVM_PTE_PRESENT | KVM_PTE_WRITE | KVM_PTE_USER |
							KVM_PTE_ACCESSED | KVM_PTE_NX);
}

static void map_shim(const struct kvm_image *image, uint8_t *bank)
{
	static const struct {
		uint64_t address;
		unsigned page;
	} own[] = {{KVM_CONTROL_VA, KVM_PAGE_CONTROL},
		   {KVM_MAILBOX_VA, KVM_PAGE_MAILBOX + KVM_PAGE_MAILBOX_OUT},
		   {KVM_STACK_CALL_VA, KVM_PAGE_STACK_CALL},
		   {KVM_STACK_FAULT_VA, KVM_PAGE_STACK_FAULT},
		   {KVM_STACK_OTHER_VA, KVM_PAGE_STACK_OTHER}};
	uint64_t *table = TABLE(bank, KVM_PAGE_PT_SHIM);

	TABLE(bank, KVM_PAGE_PML4)[511] = bank_entry(KVM_PAGE_PDPT_SHIM, TABLE_FLAGS);
	TABLE(bank, KVM_PAGE_PDPT_SHIM)[510] = bank_entry(KVM_PAGE_PD_SHIM, TABLE_FLAGS);
	TABLE(bank, KVM_PAGE_PD_SHIM)[0] = bank_entry(KVM_PAGE_PT_SHIM, TABLE_FLAGS);
	/* Without the first page, the gate, which is the guest's. The program can be executed, the
	 * description can be read. */
	for (uint64_t at = PAGE; at < image->shim_size; at += PAGE)
		table[at / PAGE] = (KVM_SHIM_GPA + at) |
				   (at < KVM_DESC_AT ? READ_FLAGS & ~KVM_PTE_NX : READ_FLAGS);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		table[(own[i].address - KVM_SHIM_VA) / PAGE] =
			bank_entry(own[i].page, DATA_FLAGS | KVM_PTE_DIRTY);
}

void kvm_bank_fill(const struct kvm_image *image, uint8_t *bank)
{
	struct kvm_control *control = (struct kvm_control *)(bank + KVM_PAGE_CONTROL * PAGE);
	uint64_t bank_size = image->bank_pages * PAGE, next = image->first_page;

	map_gate(bank);
	map_shim(image, bank);
	TABLE(bank, KVM_PAGE_PML4)
	[KVM_BANK_VA >> 39 & 511] = bank_entry(KVM_PAGE_PDPT_BANK, TABLE_FLAGS);
	TABLE(bank, KVM_PAGE_PML4)
	[KVM_IMAGE_VA >> 39 & 511] = bank_entry(KVM_PAGE_PDPT_IMAGE, TABLE_FLAGS);
	/* The aliases' tables lie just below the pages that are handed out. */
	next -= ((bank_size + (UINT64_C(1) << 30) - 1) >> 30) + kvm_image_tables(image);
	map_alias(bank, KVM_PAGE_PDPT_BANK, KVM_BANK_GPA, bank_size, DATA_FLAGS | KVM_PTE_DIRTY,
		  &next);
	map_alias(bank, KVM_PAGE_PDPT_IMAGE, KVM_IMAGE_GPA, image->data_size, READ_FLAGS, &next);
	thaw_assert(next == image->first_page);

	*control = (struct kvm_control){.mode = image->mode,
					.dispatch = image->description->dispatch,
					.bases = {image->description->registers[THAW_FS_BASE],
						  image->description->registers[THAW_GS_BASE]},
					.memory_pages = image->memory_pages,
					.next_page = image->first_page};
	memcpy(bank + KVM_PAGE_RANGES * PAGE, image->ranges,
	       offsetof(struct shim_ranges, at) +
		       image->ranges->count * sizeof(image->ranges->at[0]));
}

int kvm_bank_resident(uint8_t *bank, uint64_t size, uint64_t *bytes)
{
	size_t pages = size / PAGE;
	thaw_autofree unsigned char *there = malloc(pages);

	if (!there || mincore(bank, size, there))
		return -1;
	*bytes = 0;
	for (size_t i = 0; i < pages; i++)
		*bytes += there[i] & 1 ? PAGE : 0;
	return 0;
}

bool kvm_bank_page_of(const struct kvm_image *image, uint64_t entry, uint64_t *page)
{
	uint64_t gpa = entry & KVM_PTE_ADDRESS;

	if (!(entry & KVM_PTE_PRESENT) || gpa < KVM_BANK_GPA)
		return false;
	*page = (gpa - KVM_BANK_GPA) / PAGE;
	return *page >= image->first_page && *page < image->bank_pages;
}

/* The entry for ADDRESS in the table that address bits LOWEST and up select from. */
static uint64_t *walk(const struct kvm_image *image, uint8_t *bank, uint64_t address,
		      unsigned lowest, uint64_t *next)
{
	uint64_t page = KVM_PAGE_PDPT_LOW;

	for (unsigned shift = 30; shift > lowest; shift -= 9) {
		uint64_t entry = TABLE(bank, page)[address >> shift & (ENTRIES - 1)];

		*next = ((address >> shift) + 1) << shift;
		if (entry & KVM_PTE_LARGE || !kvm_bank_page_of(image, entry, &page))
			return NULL;
	}
	return &TABLE(bank, page)[address >> lowest & (ENTRIES - 1)];
}

uint64_t *kvm_bank_entry(const struct kvm_image *image, uint8_t *bank, uint64_t address,
			 uint64_t *next)
{
	return walk(image, bank, address, 12, next);
}

uint64_t *kvm_bank_table_entry(const struct kvm_image *image, uint8_t *bank, uint64_t address,
			       uint64_t *next)
{
	uint64_t *entry = walk(image, bank, address, 21, next);

	if (entry)
		*next = thaw_round_down(address, KVM_HUGE_PAGE) + KVM_HUGE_PAGE;
	return entry;
}
