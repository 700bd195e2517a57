/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at all of a clone; see fresh.h. */
#include "tests/kvm/fresh.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/kvm/machine/bank.h"

#define PAGE THAW_PAGE_SIZE

static const uint8_t zeroes[THAW_PAGE_SIZE];

struct look {
	const struct kvm_instance *instance;
	const struct kvm_image *image;
	const uint8_t *bank;
	uint8_t *use; /* its use, for each page of the bank */
	uint64_t tables;
	char difference[256];
};

enum { USE_NONE, USE_TABLE, USE_KEPT, USE_FREE };

__attribute__((format(printf, 2, 3))) static bool differ(struct look *look, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!look->difference[0])
		vsnprintf(look->difference, sizeof(look->difference), format, arguments);
	va_end(arguments);
	return false;
}

struct walk_memory fresh_memory(const struct kvm_instance *instance)
{
	const struct kvm_image *image = &instance->backend->image;

	return (struct walk_memory){
		.slots = {{KVM_BANK_GPA, image->bank_pages * PAGE, instance->machine.bank, false},
			  {KVM_SHIM_GPA, image->shim_size, image->shim, true},
			  {KVM_IMAGE_GPA, image->data_size, image->data, true}},
		.cr3 = KVM_BANK_GPA};
}

void fresh_each_resident(const struct kvm_machine *machine,
			 void (*each)(void *context, uint64_t page, const uint8_t *bytes),
			 void *context)
{
	uint64_t pages = machine->bank_size / PAGE;
	unsigned char *there = malloc(pages);

	if (!there || mincore(machine->bank, machine->bank_size, there))
		abort();
	for (uint64_t page = 0; page < pages; page++)
		if (there[page] & 1)
			each(context, page, machine->bank + page * PAGE);
	free(there);
}

/* ---- What the guest can reach ---- */

static const uint8_t *image_page(const struct kvm_image *image, uint64_t address)
{
	const struct kvm_description *description = image->description;

	for (uint32_t i = 0; i < description->extent_count; i++) {
		const struct kvm_extent *extent = &description->extents[i];

		if (address >= extent->start && address < extent->end)
			return image->data + (extent->gpa - KVM_IMAGE_GPA) +
			       (address - extent->start);
	}
	return zeroes;
}

static bool check_region_page(struct look *look, const struct walk_leaf *leaf)
{
	const struct walk_memory memory = fresh_memory(look->instance);
	const struct shim_range *range = shim_ranges_find(look->image->ranges, leaf->address);
	unsigned long long address = leaf->address;
	uint64_t page;

	if (!range || leaf->size != PAGE || !leaf->user)
		return differ(look, "%#llx is mapped, and is not in the image's ranges", address);
	if ((leaf->write && !(range->prot & 2)) || leaf->execute != !!(range->prot & 4))
		return differ(look, "%#llx has entry %#llx, and protection %u", address,
			      (unsigned long long)leaf->entry, range->prot);
	if (memcmp(walk_host(&memory, leaf->gpa, PAGE), image_page(look->image, address), PAGE))
		return differ(look, "%#llx does not have the image's content", address);
	if (!leaf->write)
		return leaf->entry & KVM_PTE_PRIVATE ||
				       leaf->gpa - KVM_BANK_GPA < look->image->bank_pages * PAGE
			       ? differ(look, "%#llx is private and read-only", address)
			       : true;
	/* A writable page must be private with a clear dirty bit; otherwise a write to it would go
	 * unnoticed. */
	if (!(leaf->entry & KVM_PTE_PRIVATE) || leaf->entry & KVM_PTE_DIRTY ||
	    !kvm_bank_page_of(look->image, leaf->entry, &page))
		return differ(look, "%#llx can be written, with entry %#llx", address,
			      (unsigned long long)leaf->entry);
	if (look->use[page] != USE_KEPT)
		return differ(look, "page %llu at %#llx is private, and in use as %u",
			      (unsigned long long)page, address, look->use[page]);
	return true;
}

static bool check_mailbox_page(struct look *look, const struct walk_leaf *leaf)
{
	uint64_t page = (leaf->gpa - KVM_BANK_GPA) / PAGE;

	if (leaf->entry & KVM_PTE_DIRTY)
		return differ(look, "the mailbox's page %llu is dirty",
			      (unsigned long long)(page - KVM_PAGE_MAILBOX));
	if (memcmp(look->bank + page * PAGE, zeroes, PAGE))
		return differ(look, "the mailbox's page %llu is not empty",
			      (unsigned long long)(page - KVM_PAGE_MAILBOX));
	return true;
}

static bool check_leaf(void *context, const struct walk_leaf *leaf)
{
	if (leaf->address < THAW_REGION_END)
		return check_region_page(context, leaf);
	return leaf->address >= THAW_MAILBOX && leaf->address - THAW_MAILBOX < THAW_MAILBOX_SIZE
		       ? check_mailbox_page(context, leaf)
		       : true;
}

/* ---- The books ---- */

static bool note_use(struct look *look, uint64_t page, uint8_t use)
{
	if (page < look->image->first_page || page >= look->instance->machine.control->next_page ||
	    look->use[page])
		return differ(look, "page %llu is used as %u and as %u", (unsigned long long)page,
			      use, page < look->image->bank_pages ? look->use[page] : 0);
	look->use[page] = use;
	return true;
}

static bool note_table(void *context, uint64_t gpa, unsigned level)
{
	struct look *look = context;
	uint64_t page = (gpa - KVM_BANK_GPA) / PAGE;

	(void)level;
	look->tables += page >= look->image->first_page;
	return page < look->image->first_page || note_use(look, page, USE_TABLE);
}

static bool check_books(struct look *look, const struct walk_memory *memory)
{
	const struct kvm_instance *instance = look->instance;
	const struct kvm_control *control = instance->machine.control;
	const uint32_t *stack = (const uint32_t *)(look->bank + KVM_PAGE_FREE * PAGE);

	if (!walk_each_table(memory, note_table, look))
		return differ(look, "the page tables are broken");
	if (look->tables != control->table_pages)
		return differ(look, "%llu tables, and %u in the books",
			      (unsigned long long)look->tables, control->table_pages);
	for (unsigned i = 0; i < instance->kept_count; i++)
		if (!note_use(look, instance->kept[i].page, USE_KEPT))
			return false;
	for (uint32_t i = 0; i < control->free_count; i++) {
		if (!note_use(look, stack[i], USE_FREE))
			return false;
		if (memcmp(look->bank + stack[i] * PAGE, zeroes, PAGE))
			return differ(look, "free page %u is not empty", stack[i]);
	}
	if (control->next_page - look->image->first_page !=
	    (uint64_t)control->table_pages + control->free_count + instance->kept_count)
		return differ(look, "the books do not balance");
	return true;
}

/* ---- The rest of the bank ---- */

static bool is_zero(const uint8_t *at, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (at[i])
			return false;
	return true;
}

static void check_unused(void *context, uint64_t page, const uint8_t *bytes)
{
	struct look *look = context;

	if (page >= look->instance->machine.control->next_page && memcmp(bytes, zeroes, PAGE))
		differ(look, "page %llu was never handed out, and is not empty",
		       (unsigned long long)page);
}

static bool check_control(struct look *look)
{
	const struct kvm_control *control = look->instance->machine.control;
	struct kvm_control expected = {.mode = look->image->mode,
				       .memory_pages = look->image->memory_pages,
				       .next_page = control->next_page,
				       .free_count = control->free_count,
				       .table_pages = control->table_pages};
	const struct shim_ranges *ranges = look->image->ranges;
	size_t used = offsetof(struct shim_ranges, at) + ranges->count * sizeof(ranges->at[0]);

	if (memcmp(control, &expected, sizeof(expected)))
		return differ(look, "the control block differs");
	if (!is_zero((const uint8_t *)(control + 1), PAGE - sizeof(*control)))
		return differ(look, "there is something behind the control block");
	if (memcmp(look->bank + KVM_PAGE_RANGES * PAGE, ranges, used))
		return differ(look, "the ranges differ");
	if (!is_zero(look->bank + KVM_PAGE_RANGES * PAGE + used, KVM_PAGES_RANGES * PAGE - used))
		return differ(look, "there is something behind the ranges");
	if (!is_zero(look->bank + KVM_PAGE_WRITTEN * PAGE, KVM_PAGES_WRITTEN * PAGE))
		return differ(look, "the log of written pages is not empty");
	return true;
}

const char *fresh_difference(const struct kvm_instance *instance)
{
	static char words[256];
	struct walk_memory memory = fresh_memory(instance);
	struct look look = {.instance = instance,
			    .image = &instance->backend->image,
			    .bank = instance->machine.bank};

	look.use = calloc(look.image->bank_pages, 1);
	if (check_control(&look) && check_books(&look, &memory) &&
	    !walk_each(&memory, check_leaf, &look))
		differ(&look, "the page tables are broken");
	fresh_each_resident(&instance->machine, check_unused, &look);
	free(look.use);
	memcpy(words, look.difference, sizeof(words));
	return words[0] ? words : NULL;
}
