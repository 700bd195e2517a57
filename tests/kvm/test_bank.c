/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New banks, for images of many sizes, held against layout.h of the shim; and the host's walk over
 * hostile page tables.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "tests/kvm/plain.h"

#define PAGE THAW_PAGE_SIZE
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)

TestSuite(kvm_bank, .timeout = 120);

/* One page of data at the start of each stretch of STRIDE bytes, COUNT times. */
static struct plain_layout layout_of(uint64_t limit, size_t count, uint64_t stride)
{
	struct plain_layout layout = {.limit = limit};

	for (size_t i = 0; i < count; i++) {
		layout.ranges[i] = (struct thaw_range){THAW_REGION_BASE + i * stride, PAGE,
						       THAW_PROT_READ | THAW_PROT_WRITE};
		layout.pieces[i] = (struct plain_piece){layout.ranges[i].start, PAGE};
	}
	layout.range_count = layout.piece_count = count;
	return layout;
}

static const struct {
	const char *name;
	uint64_t limit;
	size_t pieces;
	uint64_t stride;
} sizes[] = {{"one page, no data", PAGE, 0, 0},
	     {"one page", PAGE, 1, 2 * MIB},
	     {"small", 16 * MIB, 3, 2 * MIB},
	     {"usual", 64 * MIB, 20, 6 * MIB},
	     {"odd", 64 * MIB + 3 * PAGE, 2, 64 * MIB},
	     {"just below a table of its own", 1022 * MIB, 10, 3 * MIB},
	     {"large", 3 * GIB, 512, 2 * MIB},
	     {"an image of more than a gigabyte", 4 * GIB, 500, 4 * MIB},
	     {"the whole region", THAW_REGION_END - THAW_REGION_BASE, 100, 512 * MIB}};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct seen {
	const char *name;
	const struct plain_clone *clone;
	uint64_t bank, image, shim_text, shim_read, gate, mailbox, own; /* bytes */
};

#define EXPECT(seen, condition, leaf)                                                              \
	cr_expect(condition, "%s: %#llx -> %#llx (%#llx), entry %#llx", (seen)->name,              \
		  (unsigned long long)(leaf)->address, (unsigned long long)(leaf)->gpa,            \
		  (unsigned long long)(leaf)->size, (unsigned long long)(leaf)->entry)

static void check_user(struct seen *seen, const struct walk_leaf *leaf)
{
	if (leaf->address == THAW_GATE) {
		EXPECT(seen,
		       leaf->gpa == KVM_SHIM_GPA && leaf->size == PAGE && leaf->execute &&
			       !leaf->write,
		       leaf);
		seen->gate += leaf->size;
	} else {
		EXPECT(seen,
		       leaf->address - THAW_MAILBOX < THAW_MAILBOX_SIZE &&
			       leaf->gpa - (KVM_BANK_GPA + KVM_PAGE_MAILBOX * PAGE) ==
				       leaf->address - THAW_MAILBOX &&
			       leaf->write && !leaf->execute &&
			       !(leaf->entry & KVM_PTE_DIRTY), /* the dirty bit must show writes */
		       leaf);
		seen->mailbox += leaf->size;
	}
	/* Recycling flushes these from the TLB by reloading CR3, which keeps global entries. */
	EXPECT(seen, !(leaf->entry & KVM_PTE_GLOBAL), leaf);
}

static void check_window(struct seen *seen, const struct walk_leaf *leaf)
{
	static const struct {
		uint64_t address, page;
	} own[] = {{0x1f8000, KVM_PAGE_STACK_OTHER},
		   {0x1fa000, KVM_PAGE_STACK_FAULT},
		   {0x1fc000, KVM_PAGE_STACK_CALL},
		   {0x1ff000, KVM_PAGE_CONTROL}};
	uint64_t at = leaf->address - KVM_SHIM_VA;
	bool found = false;

	EXPECT(seen, at >= PAGE, leaf); /* ring 0 must not execute the gate */
	if (at < KVM_DESC_AT) {
		EXPECT(seen, leaf->gpa == KVM_SHIM_GPA + at && leaf->execute && !leaf->write, leaf);
		seen->shim_text += leaf->size;
		return;
	}
	if (at < seen->clone->backend.image.shim_size) {
		EXPECT(seen, leaf->gpa == KVM_SHIM_GPA + at && !leaf->execute && !leaf->write,
		       leaf);
		seen->shim_read += leaf->size;
		return;
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		found |= at == own[i].address && leaf->gpa == KVM_BANK_GPA + own[i].page * PAGE;
	/* One page of the mailbox; the shim chooses which. */
	found |= at == 0x1fe000 &&
		 leaf->gpa - (KVM_BANK_GPA + KVM_PAGE_MAILBOX * PAGE) < THAW_MAILBOX_SIZE;
	EXPECT(seen, found && leaf->write && !leaf->execute, leaf);
	seen->own += leaf->size;
}

static bool check_leaf(void *context, const struct walk_leaf *leaf)
{
	struct seen *seen = context;
	const struct walk_slot *slot = walk_slot_of(&seen->clone->memory, leaf->gpa, leaf->size);
	bool upper = leaf->address >> 47;

	EXPECT(seen, slot != NULL, leaf);
	EXPECT(seen, !(leaf->write && leaf->execute), leaf);
	EXPECT(seen, !(leaf->write && slot && slot->readonly), leaf);
	EXPECT(seen, leaf->user == !upper, leaf);
	if (!upper) {
		check_user(seen, leaf);
	} else if (leaf->address >= KVM_SHIM_VA) {
		check_window(seen, leaf);
	} else if (leaf->address >= KVM_IMAGE_VA) {
		EXPECT(seen,
		       leaf->gpa - KVM_IMAGE_GPA == leaf->address - KVM_IMAGE_VA && !leaf->write &&
			       !leaf->execute,
		       leaf);
		seen->image += leaf->size;
	} else {
		EXPECT(seen,
		       leaf->gpa - KVM_BANK_GPA == leaf->address - KVM_BANK_VA && leaf->write &&
			       !leaf->execute,
		       leaf);
		seen->bank += leaf->size;
	}
	return true;
}

Test(kvm_bank, a_new_bank_maps_what_is_promised_and_nothing_else)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct plain_layout layout =
			layout_of(sizes[i].limit, sizes[i].pieces, sizes[i].stride);
		struct plain_clone clone;
		struct seen seen = {.name = sizes[i].name, .clone = &clone};
		const struct kvm_image *image = &clone.backend.image;

		plain_make(&clone, &layout);
		cr_assert(walk_each(&clone.memory, check_leaf, &seen), "%s", sizes[i].name);
		cr_expect_eq(seen.gate, PAGE);
		cr_expect_eq(seen.mailbox, THAW_MAILBOX_SIZE);
		cr_expect_eq(seen.bank, image->bank_pages * PAGE, "%s", sizes[i].name);
		cr_expect_eq(seen.image, image->data_size, "%s", sizes[i].name);
		cr_expect_eq(seen.own, 5 * PAGE);
		cr_expect_eq(seen.shim_text, KVM_DESC_AT - PAGE);
		cr_expect_eq(seen.shim_read, image->shim_size - KVM_DESC_AT);
		plain_finish(&clone);
	}
}

struct tables {
	const struct kvm_image *image;
	uint8_t *used; /* a byte for each page of the bank */
	uint64_t lowest_alias;
};

static bool note_table(void *context, uint64_t gpa, unsigned level)
{
	struct tables *tables = context;
	uint64_t page = (gpa - KVM_BANK_GPA) / PAGE;

	cr_expect_lt(page, tables->image->first_page);
	cr_expect(page < KVM_PAGE_CONTROL || page >= KVM_PAGE_FREE, "table %llu of level %u",
		  (unsigned long long)page, level);
	if (page < tables->image->first_page)
		cr_expect_eq(tables->used[page]++, 0, "page %llu is two tables",
			     (unsigned long long)page);
	if (page >= KVM_PAGE_FREE && page < tables->lowest_alias)
		tables->lowest_alias = page;
	return true;
}

Test(kvm_bank, fixed_pages_do_not_overlap_and_the_rest_is_enough)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct plain_layout layout =
			layout_of(sizes[i].limit, sizes[i].pieces, sizes[i].stride);
		struct plain_clone clone;
		const struct kvm_image *image = &clone.backend.image;
		struct tables tables = {.image = image, .lowest_alias = UINT64_MAX};
		uint64_t pages = sizes[i].limit / PAGE, room;

		plain_make(&clone, &layout);
		tables.used = calloc(image->first_page, 1);
		walk_each_table(&clone.memory, note_table, &tables);
		/* The free stack lies between the fixed pages and those tables. */
		cr_expect_leq(KVM_PAGE_FREE * PAGE + image->bank_pages * sizeof(uint32_t),
			      tables.lowest_alias * PAGE, "%s", sizes[i].name);
		/* There is room for all that may be mapped, in the ranges that need most tables:
		 * each has pieces of 2 MiB of its own, and one more where it is not aligned. */
		room = image->bank_pages - image->first_page;
		cr_expect_geq(room, pages + pages / 512 + 2 * THAW_RANGES_MAX + 64, "%s",
			      sizes[i].name);
		cr_expect_eq(image->bank_pages % 512, 0); /* or its alias would be longer */
		cr_expect_leq(KVM_BANK_GPA + image->bank_pages * PAGE, KVM_IMAGE_GPA);
		cr_expect_leq(KVM_IMAGE_GPA + image->data_size, UINT64_C(1) << 38);
		cr_expect_leq(image->bank_pages, UINT32_MAX);
		cr_expect_eq(clone.instance.machine.control->next_page, image->first_page);
		free(tables.used);
		plain_finish(&clone);
	}
}

/* ---- Hostile tables ---- */

static uint64_t hostile_entry(uint64_t *seed, const struct kvm_image *image)
{
	uint64_t first = image->first_page, count = image->bank_pages;
	uint64_t flags = plain_random(seed) & 0xfff;

	switch (plain_below(seed, 10)) {
	case 0:
		return plain_random(seed) << 16 ^ plain_random(seed);
	case 1: /* a fixed page */
		return (KVM_BANK_GPA + plain_below(seed, first) * PAGE) | flags | KVM_PTE_PRESENT;
	case 2: /* just beyond the bank */
		return (KVM_BANK_GPA + (count + plain_below(seed, 2)) * PAGE) | 7;
	case 3:
		return (KVM_IMAGE_GPA + plain_below(seed, 512) * PAGE) | 7;
	case 4: /* below it, so that a difference wraps */
		return plain_below(seed, KVM_BANK_GPA) | KVM_PTE_PRESENT;
	case 5:
		return (KVM_BANK_GPA + (count - 1) * PAGE) | flags | KVM_PTE_PRESENT;
	default:
		return (KVM_BANK_GPA + (first + plain_below(seed, count - first)) * PAGE) | 7 |
		       (plain_below(seed, 8) ? 0 : KVM_PTE_LARGE);
	}
}

static void check_walk(struct plain_clone *clone, uint64_t address)
{
	const struct kvm_image *image = &clone->backend.image;
	uint8_t *bank = clone->instance.machine.bank;
	uint64_t next = 0, *entry = kvm_bank_entry(image, bank, address, &next);

	cr_assert_gt(next, address);
	cr_assert_eq(next % (2 * MIB), 0);
	if (!entry)
		return;
	cr_assert((uint8_t *)entry >= bank + image->first_page * PAGE &&
		  (uint8_t *)(entry + 1) <= bank + image->bank_pages * PAGE);
	cr_assert_eq(((uintptr_t)entry & (PAGE - 1)) / 8, address / PAGE % 512);
}

Test(kvm_bank, a_walk_over_hostile_tables_stays_in_the_bank)
{
	struct plain_layout layout = layout_of(8 * MIB, 4, 2 * MIB);
	uint64_t seed = plain_seed("hostile tables");
	struct plain_clone clone;
	unsigned rounds = plain_scaled(300);

	plain_make(&clone, &layout);
	for (unsigned round = 0; round < rounds; round++) {
		uint8_t *bank = clone.instance.machine.bank;
		uint64_t *top = (uint64_t *)(bank + KVM_PAGE_PDPT_LOW * PAGE);

		for (unsigned i = 0; i < 512; i++)
			top[i] = hostile_entry(&seed, &clone.backend.image);
		for (unsigned i = 0; i < 4096; i++) {
			uint64_t page = clone.backend.image.first_page +
					plain_below(&seed, clone.backend.image.bank_pages -
								   clone.backend.image.first_page);

			((uint64_t *)(bank + page * PAGE))[plain_below(&seed, 512)] =
				hostile_entry(&seed, &clone.backend.image);
		}
		for (unsigned i = 0; i < 2000; i++)
			check_walk(&clone, plain_below(&seed, THAW_REGION_END / PAGE) * PAGE);
	}
	plain_finish(&clone);
}

Test(kvm_bank, only_pages_that_are_handed_out_are_pages_of_the_bank)
{
	struct plain_clone clone;
	const struct kvm_image *image = &clone.backend.image;
	uint64_t first, end, page;

	plain_make(&clone, &plain_small);
	first = KVM_BANK_GPA + image->first_page * PAGE;
	end = KVM_BANK_GPA + image->bank_pages * PAGE;
	cr_expect(kvm_bank_page_of(image, first | 1, &page) && page == image->first_page);
	cr_expect(kvm_bank_page_of(image, (end - PAGE) | 7 | KVM_PTE_NX, &page) &&
		  page == image->bank_pages - 1);
	cr_expect(!kvm_bank_page_of(image, first, &page), "not present");
	cr_expect(!kvm_bank_page_of(image, (first - PAGE) | 1, &page));
	cr_expect(!kvm_bank_page_of(image, end | 1, &page));
	cr_expect(!kvm_bank_page_of(image, KVM_SHIM_GPA | 1, &page));
	cr_expect(!kvm_bank_page_of(image, (KVM_BANK_GPA - PAGE) | 1, &page));
	cr_expect(!kvm_bank_page_of(image, UINT64_MAX, &page));
	plain_finish(&clone);
}
