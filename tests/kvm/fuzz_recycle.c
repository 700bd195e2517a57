/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recycling of banks that a hostile ring 0 has spoilt. Whatever is in a bank, the host answers true
 * or false, stays within the bank, and comes to an end. This is a plain program, for the
 * sanitizers. A gigabyte on either side of the bank is out of bounds, and the image is read-only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/kvm/plain.h"

#define PAGE THAW_PAGE_SIZE
#define MIB  (UINT64_C(1) << 20)

static uint64_t seed;

static uint64_t below(uint64_t limit)
{
	return plain_below(&seed, limit);
}

/* ---- A clone with something to restore ---- */

static void invoke(struct plain_clone *clone)
{
	for (unsigned i = 0; i < 40; i++) {
		uint64_t start = (below(2) ? 0x10000000 : 0x20000000) + below(1024) * PAGE;

		plain_access(clone, start, WALK_WRITE);
		if (below(4) == 0)
			plain_call(clone, THAW_SHIM_CALL_map + (long)below(3), start,
				   (1 + below(40)) * PAGE, 3);
	}
}

static void renew(struct plain_clone *clone)
{
	struct kvm_machine *machine = &clone->instance.machine;

	madvise(machine->bank, machine->bank_size, MADV_DONTNEED);
	kvm_bank_fill(&clone->backend.image, machine->bank);
	clone->instance.kept_count = 0;
	for (unsigned i = 0; i < 3; i++) {
		invoke(clone);
		if (!plain_recycle(clone))
			return;
	}
	invoke(clone);
}

/* ---- What is spoilt ---- */

static uint64_t number(const struct kvm_image *image)
{
	switch (below(9)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX - below(3);
	case 2:
		return image->bank_pages + below(3) - 1;
	case 3:
		return image->first_page + below(3) - 1;
	case 4:
		return below(UINT64_MAX) << below(64);
	case 5:
		return UINT32_MAX - below(2);
	case 6:
		return KVM_WRITTEN_MAX + below(3) - 1;
	default:
		return below(5000);
	}
}

static uint64_t hostile_entry(const struct kvm_image *image)
{
	uint64_t page = below(8) ? image->first_page + below(image->bank_pages - image->first_page)
				 : number(image);
	uint64_t flags = below(2) ? 0x467 | KVM_PTE_NX : below(4096);

	return below(20) ? ((KVM_BANK_GPA + page * PAGE) & KVM_PTE_ADDRESS) | flags
			 : below(UINT64_MAX) << 16;
}

static uint64_t address(void)
{
	switch (below(6)) {
	case 0:
		return below(THAW_REGION_END);
	case 1:
		return THAW_REGION_END - PAGE * below(2);
	case 2:
		return UINT64_MAX - below(2 * PAGE);
	default:
		return (below(2) ? 0x10000000 : 0x20000000) + below(2048) * PAGE;
	}
}

static void spoil_control(struct plain_clone *clone)
{
	struct kvm_control *control = clone->instance.machine.control;
	const struct kvm_image *image = &clone->backend.image;

	switch (below(7)) {
	case 0:
		control->next_page = number(image);
		break;
	case 1:
		control->free_count = (uint32_t)number(image);
		break;
	case 2:
		control->table_pages = (uint32_t)number(image);
		break;
	case 3:
		control->written_count = (uint32_t)number(image);
		break;
	case 4:
		control->changed_count = (uint32_t)(below(3) ? below(80) : number(image));
		break;
	case 5:
		for (unsigned i = 0; i < 3; i++) {
			struct kvm_interval *changed = &control->changed[below(KVM_CHANGED_MAX)];

			changed->start = address();
			/* The whole region only now and then, because that is slow. */
			changed->end = below(50) ? changed->start + below(8 * MIB) : address();
		}
		break;
	default:
		for (unsigned i = 0; i < 64; i++)
			((uint8_t *)control)[below(PAGE)] = (uint8_t)below(256);
	}
}

static void spoil_logs(struct plain_clone *clone)
{
	uint8_t *bank = clone->instance.machine.bank;
	uint64_t *written = (uint64_t *)(bank + KVM_PAGE_WRITTEN * PAGE);
	uint32_t *stack = (uint32_t *)(bank + KVM_PAGE_FREE * PAGE);

	for (unsigned i = 0; i < 20; i++) {
		written[below(i < 10 ? 64 : KVM_WRITTEN_MAX)] = address();
		stack[below(200)] = (uint32_t)number(&clone->backend.image);
	}
	/* An entry that is there twice would be kept twice. */
	if (below(3) == 0)
		written[1] = written[0];
}

static void spoil_tables(struct plain_clone *clone)
{
	const struct kvm_image *image = &clone->backend.image;
	uint8_t *bank = clone->instance.machine.bank;
	uint64_t used = clone->instance.machine.control->next_page;

	if (used <= image->first_page || used > image->bank_pages)
		used = image->bank_pages;
	for (unsigned i = 0; i < 30; i++) {
		uint64_t page = image->first_page + below(used - image->first_page);

		((uint64_t *)(bank + page * PAGE))[below(512)] = hostile_entry(image);
	}
	if (below(3) == 0)
		((uint64_t *)(bank + KVM_PAGE_PDPT_LOW * PAGE))[below(64)] = hostile_entry(image);
	if (below(3) == 0)
		((uint64_t *)(bank + KVM_PAGE_PT_GATE * PAGE))[below(512)] = hostile_entry(image);
	for (unsigned i = 0; i < 3 && clone->instance.kept_count; i++)
		if (below(2))
			*clone->instance.kept[below(clone->instance.kept_count)].entry =
				hostile_entry(image);
}

static void spoil_anything(struct plain_clone *clone)
{
	for (unsigned i = 0; i < 300; i++)
		clone->instance.machine
			.bank[below(below(2) ? clone->instance.machine.bank_size : 80 * PAGE)] =
			(uint8_t)below(256);
}

static void spoil(struct plain_clone *clone)
{
	void (*const ways[])(struct plain_clone *) = {spoil_control, spoil_logs, spoil_tables,
						      spoil_anything};

	for (unsigned i = 0; i < 1 + below(3); i++)
		ways[below(8) ? below(3) : 3](clone);
}

/* Hashes the shim's slot, except for the list of pages to prefault. */
static uint64_t image_hash(const struct kvm_image *image)
{
	const struct kvm_description *description = image->description;
	uint64_t from =
		(uint64_t)((const uint8_t *)&description->prefault_count - image->shim) & ~7ul;
	uint64_t to = (uint64_t)((const uint8_t *)(description + 1) - image->shim), hash = 0;

	for (uint64_t at = 0; at < image->shim_size; at += 8)
		if (at < from || at >= to)
			hash = (hash ^ *(const uint64_t *)(image->shim + at)) *
			       UINT64_C(0x100000001b3);
	return hash;
}

int main(void)
{
	unsigned rounds = plain_scaled(800), taken = 0, refused = 0;
	struct plain_clone clone;
	uint64_t hash;

	seed = plain_seed("fuzz-recycle");
	plain_make(&clone, &plain_small);
	hash = image_hash(&clone.backend.image);
	for (unsigned round = 0; round < rounds; round++) {
		renew(&clone);
		for (unsigned i = 0; i < 1 + below(3); i++) {
			spoil(&clone);
			clone.instance.request_length = number(&clone.backend.image);
			*(plain_recycle(&clone) ? &taken : &refused) += 1;
		}
		if (clone.instance.kept_count > KVM_KEPT_MAX ||
		    image_hash(&clone.backend.image) != hash) {
			fprintf(stderr, "round %u: something of the host's was changed\n", round);
			return 1;
		}
	}
	printf("%u recycled, %u refused\n", taken, refused);
	plain_finish(&clone);
	/* Among many rounds, some must get through; otherwise all would end at the first check. */
	return refused && (taken || rounds < 200) ? 0 : 1;
}
