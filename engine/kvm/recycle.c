/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back to the image's state, from outside and off the path of the answer. The shim's logs and the
 * dirty bits of the kept pages tell which pages the invocation wrote. Each of them is copied back
 * or taken away. The guest flushes its TLB when it is entered next. At the end the books must
 * balance: every page of the bank that was ever handed out is a page table, a kept page or free. If
 * they do not, the clone is destroyed.
 *
 * The logs are the guest's word. They can be wrong only if ring 0 was taken over. They can then
 * hide a leftover from one invocation to the next of the same function, but they can never make the
 * host reach outside the bank.
 */
#include "engine/kvm/recycle.h"

#include <stdlib.h>
#include <string.h>

#include "engine/kvm/generic.h"
#include "engine/kvm/machine/bank.h"
#include "snapshot-format/base/round.h"

#define PAGE	    THAW_PAGE_SIZE
#define KEPT_UNUSED 16u	   /* invocations without a write after which a kept page is given up */
#define USED_MAX    16384u /* pages of its bank that a clone may have used: they stay resident */
#define PRIVATE_FLAGS                                                                              \
	(KVM_PTE_PRESENT | KVM_PTE_WRITE | KVM_PTE_USER | KVM_PTE_PRIVATE | KVM_PTE_NX)
#define FLAGS (~KVM_PTE_ADDRESS)

struct recycling {
	struct kvm_instance *instance;
	const struct kvm_image *image;
	uint8_t *bank;
	uint32_t free_count;
	uint32_t table_pages;
	bool broken;
};

/* In whole words, which the processor moves fast. */
static void copy_page(void *to, const void *from)
{
	uint64_t count = PAGE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void clear(void *at, uint64_t length)
{
	uint64_t count = length / 8;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(UINT64_C(0)) : "memory");
}

static uint8_t *page_at(const struct recycling *recycling, uint64_t page)
{
	return recycling->bank + page * PAGE;
}

static void give_page(struct recycling *recycling, uint64_t page)
{
	uint32_t *stack = (uint32_t *)page_at(recycling, KVM_PAGE_FREE);

	if (recycling->free_count >= recycling->image->bank_pages) {
		recycling->broken = true;
		return;
	}
	clear(page_at(recycling, page), PAGE);
	stack[recycling->free_count++] = (uint32_t)page;
}

/* Takes an entry of the guest's memory away, with its page if that is the clone's own. */
static void drop_entry(struct recycling *recycling, uint64_t *entry)
{
	uint64_t value = *entry, page;

	*entry = 0;
	if (!(value & KVM_PTE_PRIVATE))
		return;
	if (kvm_bank_page_of(recycling->image, value, &page))
		give_page(recycling, page);
	else
		recycling->broken = true;
}

/* ---- Where mappings changed ---- */

/* Whether ADDRESS is in one of COUNT intervals, which are sorted and disjoint. */
static bool has_changed(const struct kvm_interval *changed, uint32_t count, uint64_t address)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (changed[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && changed[low].start <= address;
}

static void forget_kept(struct kvm_instance *instance, const struct kvm_interval *changed,
			uint32_t count)
{
	unsigned left = 0;

	for (unsigned i = 0; i < instance->kept_count; i++)
		if (!has_changed(changed, count, instance->kept[i].address))
			instance->kept[left++] = instance->kept[i];
	instance->kept_count = left;
}

static bool is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < PAGE / sizeof(*table); i++)
		if (table[i])
			return false;
	return true;
}

/* Frees page tables that are empty. Otherwise they would add up from one invocation to the next. */
static void drop_tables(struct recycling *recycling, uint64_t start, uint64_t end)
{
	uint64_t next, page, *entry;

	for (uint64_t at = thaw_round_down(start, KVM_HUGE_PAGE); at < end; at = next) {
		entry = kvm_bank_table_entry(recycling->image, recycling->bank, at, &next);
		if (!entry || !kvm_bank_page_of(recycling->image, *entry, &page) ||
		    !is_empty((const uint64_t *)page_at(recycling, page)))
			continue;
		*entry = 0;
		give_page(recycling, page);
		if (!recycling->table_pages--)
			recycling->broken = true;
	}
}

static void undo_interval(struct recycling *recycling, uint64_t start, uint64_t end)
{
	uint64_t next;

	for (uint64_t at = start; at < end;) {
		uint64_t *entry = kvm_bank_entry(recycling->image, recycling->bank, at, &next);

		if (!entry) {
			at = next;
			continue;
		}
		for (; at < end && at < next; at += PAGE, entry++)
			if (*entry)
				drop_entry(recycling, entry);
	}
	drop_tables(recycling, start, end);
}

/* Takes a copy, and looks only at that. */
static bool take_changed(const struct kvm_control *control, struct kvm_interval *changed,
			 uint32_t count)
{
	uint64_t floor = 0;

	memcpy(changed, control->changed, count * sizeof(*changed));
	for (uint32_t i = 0; i < count; i++) {
		if ((changed[i].start | changed[i].end) % PAGE ||
		    changed[i].end > THAW_REGION_END || changed[i].start >= changed[i].end ||
		    changed[i].start < floor)
			return false;
		floor = changed[i].end;
	}
	return true;
}

static void undo_changes(struct recycling *recycling, const struct kvm_control *control)
{
	struct shim_ranges *ranges = (struct shim_ranges *)page_at(recycling, KVM_PAGE_RANGES);
	struct kvm_interval changed[KVM_CHANGED_MAX];
	uint32_t count = control->changed_count;

	if (!count)
		return;
	if (count > KVM_CHANGED_MAX || !take_changed(control, changed, count)) {
		recycling->broken = true;
		return;
	}
	forget_kept(recycling->instance, changed, count);
	for (uint32_t i = 0; i < count; i++)
		undo_interval(recycling, changed[i].start, changed[i].end);
	memset(ranges, 0, KVM_PAGES_RANGES * PAGE);
	memcpy(ranges, recycling->image->ranges,
	       offsetof(struct shim_ranges, at) +
		       recycling->image->ranges->count * sizeof(ranges->at[0]));
}

/* ---- Pages that stay private ---- */

static const uint8_t *source_of(const struct kvm_image *image, uint64_t address)
{
	const struct kvm_description *description = image->description;
	uint32_t low = 0, high = description->extent_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (description->extents[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == description->extent_count || description->extents[low].start > address)
		return NULL;
	return image->data + (description->extents[low].gpa - KVM_IMAGE_GPA) +
	       (address - description->extents[low].start);
}

static void restore_page(const struct recycling *recycling, const struct kvm_kept *kept)
{
	if (kept->source)
		copy_page(page_at(recycling, kept->page), kept->source);
	else
		clear(page_at(recycling, kept->page), PAGE);
}

/* Copies the image's content back to the kept pages that were written, and gives up those that have
 * not been written for long. */
static void restore_kept(struct recycling *recycling)
{
	struct kvm_instance *instance = recycling->instance;
	unsigned left = 0;

	for (unsigned i = 0; i < instance->kept_count; i++) {
		struct kvm_kept *kept = &instance->kept[i];
		uint64_t entry = *kept->entry;

		if ((entry & ~(uint64_t)KVM_PTE_DIRTY) !=
		    ((KVM_BANK_GPA + kept->page * PAGE) | PRIVATE_FLAGS | KVM_PTE_ACCESSED)) {
			recycling->broken = true;
			return;
		}
		if (entry & KVM_PTE_DIRTY) {
			restore_page(recycling, kept);
			*kept->entry = entry & ~(uint64_t)KVM_PTE_DIRTY;
			kept->unused = 0;
		} else if (++kept->unused >= KEPT_UNUSED) {
			drop_entry(recycling, kept->entry);
			continue;
		}
		if (left != i)
			instance->kept[left] = *kept;
		left++;
	}
	instance->kept_count = left;
}

/* Keeps a page that this invocation wrote for the first time: the next one will write it too. */
static void take_written(struct recycling *recycling, uint64_t address)
{
	struct kvm_instance *instance = recycling->instance;
	uint64_t next, page, *entry;
	struct kvm_kept kept;

	if (address % PAGE || address < THAW_REGION_BASE || address >= THAW_REGION_END) {
		recycling->broken = true;
		return;
	}
	entry = kvm_bank_entry(recycling->image, recycling->bank, address, &next);
	if (!entry || !(*entry & KVM_PTE_PRIVATE))
		return; /* unmapped since it was written */
	if (!kvm_bank_page_of(recycling->image, *entry, &page)) {
		recycling->broken = true;
		return;
	}
	if (instance->kept_count == KVM_KEPT_MAX) {
		drop_entry(recycling, entry);
		return;
	}
	kept = (struct kvm_kept){.entry = entry,
				 .address = address,
				 .page = (uint32_t)page,
				 .source = source_of(recycling->image, address)};
	restore_page(recycling, &kept);
	*entry = (KVM_BANK_GPA + page * PAGE) | PRIVATE_FLAGS | KVM_PTE_ACCESSED;
	instance->kept[instance->kept_count++] = kept;
	kvm_image_add_prefault(&instance->backend->image, address);
}

static void take_all_written(struct recycling *recycling, uint32_t count)
{
	const uint64_t *written = (const uint64_t *)page_at(recycling, KVM_PAGE_WRITTEN);

	for (uint32_t i = 0; i < count && !recycling->broken; i++)
		take_written(recycling, written[i]);
}

/* ---- Mailbox, stacks and control page ---- */

static void wipe_if_dirty(const struct recycling *recycling, uint64_t *table, unsigned page)
{
	if (!(table[page] & KVM_PTE_DIRTY))
		return;
	clear(page_at(recycling, KVM_PAGE_MAILBOX + page), PAGE);
	table[page] &= ~(uint64_t)KVM_PTE_DIRTY;
}

/* Dirty bits show what the guest wrote. What the host wrote is known. */
static void wipe_mailbox(const struct recycling *recycling)
{
	struct thaw_mailbox *mailbox = recycling->instance->machine.mailbox;
	uint64_t *table = (uint64_t *)page_at(recycling, KVM_PAGE_PT_GATE) +
			  (THAW_MAILBOX - THAW_GATE) / PAGE;
	uint64_t length = recycling->instance->request_length, any = 0;

	length = length < THAW_WINDOW_SIZE ? (length + 7) & ~UINT64_C(7) : THAW_WINDOW_SIZE;
	clear(&mailbox->request, sizeof(mailbox->request));
	clear(mailbox->request_window, length);
	mailbox->reply = 0;
	/* Nearly always this is the only dirty page. */
	wipe_if_dirty(recycling, table, KVM_PAGE_MAILBOX_OUT);
	for (unsigned i = 0; i < KVM_PAGES_MAILBOX; i++)
		any |= table[i];
	for (unsigned i = 0; any & KVM_PTE_DIRTY && i < KVM_PAGES_MAILBOX; i++)
		wipe_if_dirty(recycling, table, i);
	/* The shim writes these through its own mapping, which has its own dirty bits. */
	mailbox->call.number = 0;
	if (recycling->instance->machine.control->faults)
		memset(&mailbox->fault, 0, sizeof(mailbox->fault));
}

static void wipe_stack(const struct recycling *recycling, unsigned page)
{
	clear(page_at(recycling, page + 1) - KVM_STACK_USED, KVM_STACK_USED);
}

/* Whether every page that was ever handed out is accounted for. */
static bool balances(const struct recycling *recycling, const struct kvm_control *control)
{
	uint64_t handed_out = control->next_page - recycling->image->first_page;

	return control->next_page >= recycling->image->first_page &&
	       control->next_page <= recycling->image->bank_pages &&
	       handed_out == (uint64_t)recycling->table_pages + recycling->free_count +
				     recycling->instance->kept_count;
}

static void reset_control(struct kvm_control *control, const struct recycling *recycling)
{
	const struct kvm_description *description = recycling->image->description;

	control->user_rsp = control->user_rip = control->user_flags = 0;
	if (control->calls) {
		memset(control->saved, 0, sizeof(control->saved));
		memset(control->extra, 0, sizeof(control->extra));
		control->dispatch = description->dispatch;
		control->bases[0] = description->registers[THAW_FS_BASE];
		control->bases[1] = description->registers[THAW_GS_BASE];
	}
	memset(control->changed, 0, control->changed_count * sizeof(control->changed[0]));
	control->calls = control->faults = control->overflow = 0;
	control->written_count = control->changed_count = 0;
	control->free_count = recycling->free_count;
	control->table_pages = recycling->table_pages;
}

static bool recycle_generic(struct kvm_instance *instance)
{
	return kvm_snapshot_restore(instance->backend->snapshot, &instance->machine) == 0;
}

bool kvm_recycle(struct thaw_instance *base)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;
	struct kvm_control *control = instance->machine.control;
	struct recycling recycling = {.instance = instance,
				      .image = &instance->backend->image,
				      .bank = instance->machine.bank};

	if (!instance->clean || atomic_load_explicit(&instance->killed, memory_order_relaxed))
		return false;
	instance->clean = false;
	if (!instance->kept)
		instance->kept = calloc(KVM_KEPT_MAX, sizeof(*instance->kept));
	if (!instance->kept)
		return false;
	if (instance->backend->generic)
		return recycle_generic(instance);
	if (control->overflow || control->written_count > KVM_WRITTEN_MAX ||
	    control->next_page > recycling.image->first_page + USED_MAX)
		return false;
	recycling.free_count = control->free_count;
	recycling.table_pages = control->table_pages;
	undo_changes(&recycling, control);
	if (!recycling.broken)
		restore_kept(&recycling);
	take_all_written(&recycling, control->written_count);
	if (recycling.broken || !balances(&recycling, control))
		return false;
	wipe_mailbox(&recycling);
	if (control->calls)
		wipe_stack(&recycling, KVM_PAGE_STACK_CALL);
	if (control->faults)
		wipe_stack(&recycling, KVM_PAGE_STACK_FAULT);
	if (control->written_count)
		memset(page_at(&recycling, KVM_PAGE_WRITTEN), 0,
		       control->written_count * sizeof(uint64_t));
	reset_control(control, &recycling);
	return true;
}
