/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables, built as the guest touches its memory. A page of the image is mapped in place,
 * read-only. A page that is written comes from the bank; a page that the image does not have is the
 * page of zeroes until it is written. No entry ever points outside the three slots.
 */
#include "guest-stub/shim/kvm/shim.h"

#define BANK_GPA(page) (KVM_BANK_GPA + (page)*THAW_PAGE_SIZE)

/* In whole words: copying or clearing a page is nearly all of the cost of a write. */
static void copy_page(void *to, const void *from)
{
	uint64_t count = THAW_PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void clear_page(void *page)
{
	uint64_t count = THAW_PAGE_SIZE / 8;

	__asm__ volatile("rep stosq" : "+D"(page), "+c"(count) : "a"(0ul) : "memory");
}

static uint32_t *free_stack(void)
{
	return kvm_bank_page(KVM_PAGE_FREE);
}

/* Takes a zeroed page of the bank. The bank has room for all that the ranges allow and for their
 * page tables, so running out means that the shim is broken. */
static uint64_t take_page(void)
{
	struct kvm_control *control = KVM_CONTROL;

	if (control->free_count)
		return free_stack()[--control->free_count];
	if (control->next_page >= KVM_DESCRIPTION->bank_pages)
		kvm_panic();
	return control->next_page++;
}

static void give_page(uint64_t page)
{
	clear_page(kvm_bank_page(page));
	free_stack()[KVM_CONTROL->free_count++] = (uint32_t)page;
}

static uint64_t *table_of(uint64_t entry)
{
	return (uint64_t *)(KVM_BANK_VA + ((entry & KVM_PTE_ADDRESS) - KVM_BANK_GPA));
}

/* The entry for ADDRESS in the lowest table. If a table is missing, makes it, or returns NULL
 * without MAKE. */
static uint64_t *entry_of(uint64_t address, bool make)
{
	uint64_t *table = kvm_bank_page(KVM_PAGE_PDPT_LOW);

	for (unsigned shift = 30; shift > 12; shift -= 9) {
		uint64_t *entry = &table[address >> shift & 511];

		if (!*entry && !make)
			return 0;
		if (!*entry) {
			*entry = BANK_GPA(take_page()) | KVM_PTE_PRESENT | KVM_PTE_WRITE |
				 KVM_PTE_USER;
			KVM_CONTROL->table_pages++;
		}
		table = table_of(*entry);
	}
	return &table[address >> 12 & 511];
}

/* The guest-physical address of the image's data for PAGE, or 0. */
static uint64_t image_gpa(uint64_t page)
{
	const struct kvm_description *image = KVM_DESCRIPTION;
	uint32_t low = 0, high = image->extent_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (image->extents[middle].end <= page)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == image->extent_count || image->extents[low].start > page)
		return 0;
	return image->extents[low].gpa + (page - image->extents[low].start);
}

static void log_written(uint64_t page)
{
	struct kvm_control *control = KVM_CONTROL;
	uint64_t *written = kvm_bank_page(KVM_PAGE_WRITTEN);

	if (control->written_count < KVM_WRITTEN_MAX)
		written[control->written_count++] = page;
	else
		control->overflow = 1;
}

/* Puts a private page in place of SOURCE, which is a guest-physical page of the image or the page
 * of zeroes. */
static void make_private(uint64_t *entry, uint64_t source)
{
	uint64_t own = take_page();

	if (source != KVM_DESCRIPTION->zero_gpa)
		copy_page(kvm_bank_page(own),
			  (const void *)(KVM_IMAGE_VA + (source - KVM_IMAGE_GPA)));
	*entry = BANK_GPA(own) | KVM_PTE_PRESENT | KVM_PTE_WRITE | KVM_PTE_USER | KVM_PTE_ACCESSED |
		 KVM_PTE_DIRTY | KVM_PTE_PRIVATE | KVM_PTE_NX;
}

bool kvm_page_in(uint64_t address, bool write, bool fetch)
{
	uint64_t page = address & ~(THAW_PAGE_SIZE - 1), *entry, source;
	const struct shim_range *range = shim_ranges_find(KVM_RANGES, page);

	if (!range || (write && !(range->prot & 2)) || (fetch && !(range->prot & 4)))
		return false;
	entry = entry_of(page, true);
	if (*entry & KVM_PTE_PRIVATE || (*entry && !write)) {
		kvm_flush_page(page); /* the entry allows the access: the TLB was stale */
		return true;
	}
	source = *entry & KVM_PTE_ADDRESS;
	if (!*entry)
		source = range->source == SHIM_SOURCE_IMAGE ? image_gpa(page) : 0;
	if (!source)
		source = KVM_DESCRIPTION->zero_gpa;
	if (write)
		make_private(entry, source);
	else
		*entry = source | KVM_PTE_PRESENT | KVM_PTE_USER | KVM_PTE_ACCESSED |
			 (range->prot & 2 ? KVM_PTE_COW : 0) | (range->prot & 4 ? 0 : KVM_PTE_NX);
	/* Memory that was mapped since the ready point is in a logged interval, which the host
	 * undoes as a whole. */
	if (write && range->source == SHIM_SOURCE_IMAGE)
		log_written(page);
	kvm_flush_page(page);
	return true;
}

/* Calls EACH for every entry of [start, end) that exists. */
static void for_entries(uint64_t start, uint64_t end, void (*each)(uint64_t *entry, uint32_t prot),
			uint32_t prot)
{
	for (uint64_t at = start; at < end;) {
		uint64_t *entry = entry_of(at, false);
		uint64_t next = (at + 0x200000) & ~0x1ffffful;

		/* A missing table means no entry for 2 MiB, and often for 1 GiB. */
		if (!entry) {
			const uint64_t *top = kvm_bank_page(KVM_PAGE_PDPT_LOW);

			at = top[at >> 30 & 511] ? next : (at + 0x40000000) & ~0x3ffffffful;
			continue;
		}
		for (; at < end && at < next; at += THAW_PAGE_SIZE, entry++)
			if (*entry)
				each(entry, prot);
	}
}

static void drop(uint64_t *entry, uint32_t prot)
{
	(void)prot;
	if (*entry & KVM_PTE_PRIVATE)
		give_page(((*entry & KVM_PTE_ADDRESS) - KVM_BANK_GPA) / THAW_PAGE_SIZE);
	*entry = 0;
}

static bool is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < 512; i++)
		if (table[i])
			return false;
	return true;
}

/* Gives empty page tables back to the bank, which a guest that maps here and there would otherwise
 * use up. The TLB must be flushed before a page is taken again. */
static void drop_tables(uint64_t start, uint64_t end)
{
	for (uint64_t at = start & ~0x1ffffful; at < end; at += 0x200000) {
		const uint64_t *top = kvm_bank_page(KVM_PAGE_PDPT_LOW);
		uint64_t *entry;

		if (!top[at >> 30 & 511])
			continue;
		entry = &table_of(top[at >> 30 & 511])[at >> 21 & 511];
		if (!*entry || !is_empty(table_of(*entry)))
			continue;
		give_page(((*entry & KVM_PTE_ADDRESS) - KVM_BANK_GPA) / THAW_PAGE_SIZE);
		KVM_CONTROL->table_pages--;
		*entry = 0;
	}
}

/* A shared page is dropped, and comes back with its new protection when the guest touches it. */
static void protect(uint64_t *entry, uint32_t prot)
{
	if (!(*entry & KVM_PTE_PRIVATE)) {
		*entry = 0;
		return;
	}
	*entry &= ~(KVM_PTE_WRITE | KVM_PTE_NX);
	*entry |= (prot & 2 ? KVM_PTE_WRITE : 0) | (prot & 4 ? 0 : KVM_PTE_NX);
}

void kvm_pages_drop(uint64_t start, uint64_t end)
{
	for_entries(start, end, drop, 0);
	drop_tables(start, end);
	kvm_flush_all();
}

void kvm_pages_protect(uint64_t start, uint64_t end, uint32_t prot)
{
	for_entries(start, end, protect, prot);
	kvm_flush_all();
}
