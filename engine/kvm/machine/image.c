/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two slots that all clones of an image share, read-only: the shim with the image's
 * description, and the image's data. A slot costs by its length, so only the pieces of 2 MiB that
 * have data are mapped, one after the other. Within them a guest reaches only what the image has:
 * reading a hole of the memory file would fill it for every clone.
 */
#include "engine/kvm/machine/image.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/host/cpu.h"
#include "engine/image/memory_map.h"
#include "engine/kvm/machine/cpuid.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/round.h"

extern const uint8_t thaw_kvm_shim[], thaw_kvm_shim_end[];

#define PAGE THAW_PAGE_SIZE

/* ---- The data ---- */

/* The pieces of 2 MiB that one piece of the map adds to those that end at SEEN_END. */
static uint64_t first_huge(const struct thaw_piece *piece, uint64_t seen_end)
{
	uint64_t start = thaw_round_down(piece->start, KVM_HUGE_PAGE);

	return start > seen_end ? start : seen_end;
}

static uint64_t end_huge(const struct thaw_piece *piece)
{
	return thaw_round_up(piece->start + piece->length, KVM_HUGE_PAGE);
}

static uint64_t data_size(const struct thaw_memory_map *map)
{
	uint64_t size = 0, seen_end = 0;

	for (size_t i = 0; i < map->count; i++) {
		if (!map->pieces[i].backed)
			continue;
		size += end_huge(&map->pieces[i]) - first_huge(&map->pieces[i], seen_end);
		seen_end = end_huge(&map->pieces[i]);
	}
	return size;
}

uint8_t *kvm_reserve(uint64_t length, int prot)
{
	uint8_t *start = mmap(NULL, length + KVM_HUGE_PAGE, prot,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before;

	if (start == MAP_FAILED)
		return NULL;
	before = -(uint64_t)(uintptr_t)start & (KVM_HUGE_PAGE - 1);
	if (before)
		munmap(start, before);
	munmap(start + before + length, KVM_HUGE_PAGE - before);
	return start + before;
}

/* Maps the pieces of 2 MiB and fills the table of extents. */
static int map_data(const struct thaw_guest_memory *memory, const struct thaw_memory_map *map,
		    struct kvm_image *image)
{
	uint64_t used = 0, seen_end = 0;

	for (size_t i = 0; i < map->count; i++) {
		const struct thaw_piece *piece = &map->pieces[i];
		uint64_t start = first_huge(piece, seen_end), end = end_huge(piece);

		if (!piece->backed)
			continue;
		/* Private, although nothing writes here: older kernels refuse to map a sealed file
		 * shared. */
		if (end > start && mmap(image->data + used, end - start, PROT_READ,
					MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, memory->fd,
					(off_t)start) == MAP_FAILED)
			return -1;
		used += end - start;
		seen_end = end;
		/* USED is where the mapping of guest address END ends; count back from there. */
		image->description->extents[image->description->extent_count++] =
			(struct kvm_extent){piece->start, piece->start + piece->length,
					    KVM_IMAGE_GPA + used - (end - piece->start)};
	}
	return 0;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#define DENSE_PAGES (KVM_HUGE_PAGE / PAGE * 3 / 4)

/* Turns each piece of 2 MiB that is mostly data into one huge page. The second-level tables of
 * every clone then map it with one entry instead of hundreds of faults. The kernel fills the gaps
 * with zeroes, once for all clones. If it refuses, nothing is lost. */
static void collapse(const struct kvm_image *image)
{
	const struct kvm_description *description = image->description;
	uint64_t pages = 0, piece = 0;

	for (uint32_t i = 0; i < description->extent_count; i++) {
		uint64_t at = description->extents[i].gpa - KVM_IMAGE_GPA;
		uint64_t end = at + description->extents[i].end - description->extents[i].start;

		while (at < end) {
			uint64_t stop = thaw_round_down(at, KVM_HUGE_PAGE) + KVM_HUGE_PAGE;

			if (at / KVM_HUGE_PAGE != piece)
				pages = 0;
			piece = at / KVM_HUGE_PAGE;
			stop = stop < end ? stop : end;
			/* Ask when the count passes the limit, so once for each piece. */
			if (pages < DENSE_PAGES && pages + (stop - at) / PAGE >= DENSE_PAGES)
				madvise(image->data + piece * KVM_HUGE_PAGE, KVM_HUGE_PAGE,
					MADV_COLLAPSE);
			pages += (stop - at) / PAGE;
			at = stop;
		}
	}
}

static int make_data(const struct thaw_guest_memory *memory, struct kvm_image *image,
		     struct thaw_error *err)
{
	struct thaw_memory_map map;
	int result = 0;

	if (thaw_memory_map_make(memory, false, &map, err))
		return -1;
	image->data_size = data_size(&map);
	if (image->data_size) {
		image->data = kvm_reserve(image->data_size, PROT_NONE);
		if (!image->data || map_data(memory, &map, image) ||
		    madvise(image->data, image->data_size, MADV_DONTFORK))
			result = thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
						 "cannot map the image's memory");
	}
	free(map.pieces);
	/* Not during a boot, whose memory is yet to become an image. */
	if (!result && image->mode == KVM_MODE_SERVE)
		collapse(image);
	return result;
}

/* ---- The size of a bank ---- */

static uint64_t divide_up(uint64_t value, uint64_t by)
{
	return (value + by - 1) / by;
}

/*
 * Large enough for all that a guest can have mapped, page tables included: a range needs at most
 * one table more than it has pieces of 2 MiB, and the region needs 64 tables above those.
 */
static void size_bank(struct kvm_image *image)
{
	const uint64_t entries = 512, pages_per_gib = entries * entries;
	uint64_t dynamic =
		image->memory_pages + image->memory_pages / entries + 2 * THAW_RANGES_MAX + 64 + 16;
	uint64_t pages = dynamic + KVM_PAGE_FREE + kvm_image_tables(image);
	uint64_t free_stack = divide_up((pages + pages / 256 + 4096) * sizeof(uint32_t), PAGE);
	uint64_t bank_tables = divide_up(pages + free_stack, pages_per_gib) + 1;

	image->first_page = KVM_PAGE_FREE + free_stack + bank_tables + kvm_image_tables(image);
	pages = image->first_page + dynamic;
	image->bank_pages = divide_up(pages, entries) * entries;
}

/* ---- The description ---- */

static uint64_t gate_to(uint64_t handler, unsigned ist, unsigned dpl, unsigned half)
{
	uint64_t low = (handler & 0xffff) | (uint64_t)KVM_CS_KERNEL << 16 | (uint64_t)ist << 32 |
		       UINT64_C(0x8e) << 40 | (uint64_t)dpl << 45 | (handler >> 16 & 0xffff) << 48;

	return half ? handler >> 32 : low;
}

/* For each vector, its stack, and whether a guest may raise it by INT. */
static void fill_idt(struct kvm_description *description, uint64_t stubs)
{
	enum { IST_FAULT = 1, IST_OTHER = 2 };

	for (unsigned vector = 0; vector < KVM_VECTORS; vector++) {
		/* The fault stack may be in use when an NMI, a double fault or a machine check
		 * comes. */
		unsigned ist = vector == 2 || vector == 8 || vector == 18 ? IST_OTHER : IST_FAULT;
		unsigned dpl = vector == 3 || vector == 4 ? 3 : 0;

		for (unsigned half = 0; half < 2; half++)
			description->idt[vector][half] =
				gate_to(stubs + vector * 16, ist, dpl, half);
	}
}

/* Accessed bits are set and the TSS is busy, because the processor cannot write them here. */
static void fill_segments(struct kvm_description *description)
{
	uint64_t tss = KVM_DESC_VA + offsetof(struct kvm_description, tss);
	const uint64_t stacks[] = {KVM_STACK_CALL_TOP, KVM_STACK_FAULT_TOP, KVM_STACK_OTHER_TOP};

	description->gdt[KVM_CS_KERNEL / 8] = 0x00af9b000000ffff;
	description->gdt[KVM_DS_KERNEL / 8] = 0x00cf93000000ffff;
	description->gdt[KVM_SS_USER / 8] = 0x00cff3000000ffff;
	description->gdt[KVM_CS_USER / 8] = 0x00affb000000ffff;
	description->gdt[KVM_TSS / 8] = (sizeof(description->tss) - 1) | (tss & 0xffffff) << 16 |
					UINT64_C(0x8b) << 40 | (tss >> 24 & 0xff) << 56;
	description->gdt[KVM_TSS / 8 + 1] = tss >> 32;
	/* 64-bit TSS: RSP0 at 4, IST1 at 36; no port map, so no ports. */
	memcpy((uint8_t *)description->tss + 4, &stacks[0], 8);
	memcpy((uint8_t *)description->tss + 36, &stacks[1], 8);
	memcpy((uint8_t *)description->tss + 44, &stacks[2], 8);
	description->tss[25] = (uint32_t)sizeof(description->tss) << 16;
}

/* Older AMD processors leave the x87 error pointers in place when no exception is pending. AMD APM
 * vol. 2, 11.5.10; bit 2 of CPUID 8000_0008 EBX marks those that do not. */
static bool xrstor_leaks(void)
{
	unsigned eax, ebx, ecx, edx;

	if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx) || ebx != signature_AMD_ebx)
		return false;
	return !__get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx) || !(ebx >> 2 & 1);
}

static void describe(const struct thaw_vcpu *vcpu, struct kvm_image *image)
{
	struct kvm_description *description = image->description;

	memcpy(description->registers, vcpu->registers, sizeof(description->registers));
	/* Arithmetic flags and DF are the guest's; TF, NT, AC and the privileged rest are not. */
	description->registers[THAW_RFLAGS] = (vcpu->registers[THAW_RFLAGS] & 0xcd5) | 0x202;
	description->xsave_mask = vcpu->xsave_mask;
	description->xsave_length = vcpu->xsave_length;
	if (vcpu->xsave) {
		memcpy(description->xsave, vcpu->xsave, vcpu->xsave_length);
	} else {
		/* The state after a reset, as a program expects it. */
		const uint32_t mxcsr = 0x1f80;

		memcpy(description->xsave + 24, &mxcsr, sizeof(mxcsr));
	}
	description->flags = (image->cr4 & UINT64_C(1) << 16 ? KVM_FLAG_FSGSBASE : 0) |
			     (xrstor_leaks() ? KVM_FLAG_CLEAR_X87 : 0);
	description->bank_pages = image->bank_pages;
	fill_idt(description, image->entries.stubs);
	fill_segments(description);
}

static int take_ranges(const struct thaw_guest_memory *memory, struct kvm_image *image)
{
	image->ranges = calloc(1, sizeof(*image->ranges));
	if (!image->ranges || memory->range_count > THAW_RANGES_MAX)
		return -1;
	for (size_t i = 0; i < memory->range_count; i++) {
		image->ranges->at[i] = (struct shim_range){
			memory->ranges[i].start, memory->ranges[i].start + memory->ranges[i].length,
			memory->ranges[i].prot, SHIM_SOURCE_IMAGE};
		image->ranges->mapped_pages += memory->ranges[i].length / PAGE;
	}
	image->ranges->count = (uint32_t)memory->range_count;
	return 0;
}

static int make_shim(struct kvm_image *image)
{
	size_t program = (size_t)(thaw_kvm_shim_end - thaw_kvm_shim);
	uint64_t zero = KVM_DESC_AT + thaw_round_up(sizeof(struct kvm_description), PAGE);

	image->shim_size = zero + PAGE;
	image->shim = kvm_reserve(image->shim_size, PROT_READ | PROT_WRITE);
	if (!image->shim || madvise(image->shim, image->shim_size, MADV_DONTFORK))
		return -1;
	memcpy(image->shim, thaw_kvm_shim, program);
	memcpy(&image->entries, image->shim + PAGE, sizeof(image->entries));
	image->description = (struct kvm_description *)(image->shim + KVM_DESC_AT);
	image->description->zero_gpa = KVM_SHIM_GPA + zero;
	return 0;
}

int kvm_image_make(const struct kvm_device *device, const struct thaw_guest_memory *memory,
		   const struct thaw_vcpu *vcpu, const struct thaw_dispatch *dispatch,
		   const struct thaw_cpu_features *features, uint32_t mode, struct kvm_image *image,
		   struct thaw_error *err)
{
	*image = (struct kvm_image){
		.mode = mode, .bank_fd = -1, .memory_pages = memory->limit / PAGE};
	pthread_mutex_init(&image->prefault_lock, NULL);
	if (vcpu->xsave_length > KVM_XSAVE_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image's vector state of %u bytes is too large",
				 vcpu->xsave_length);
	/* A component that is enabled but not restored would leak from one invocation to the
	 * next. */
	if (features->word[THAW_CPU_XCR0] & ~vcpu->xsave_mask)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the image's vector state has components %#llx, its programs may "
				 "use %#x",
				 (unsigned long long)vcpu->xsave_mask,
				 features->word[THAW_CPU_XCR0]);
	image->cpuid = kvm_cpuid_make(device->supported, features);
	if (!image->cpuid || make_shim(image) || take_ranges(memory, image))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "no memory for an image");
	image->cr4 = kvm_cpuid_cr4(image->cpuid);
	image->xcr0 = features->word[THAW_CPU_XCR0];
	if (make_data(memory, image, err))
		return -1;
	size_bank(image);
	describe(vcpu, image);
	image->description->dispatch = (struct thaw_shim_dispatch){
		dispatch->start, dispatch->end, dispatch->syscall_entry, dispatch->fault_entry};
	return 0;
}

void kvm_image_finish(struct kvm_image *image)
{
	if (image->data)
		munmap(image->data, image->data_size);
	if (image->shim)
		munmap(image->shim, image->shim_size);
	free(image->ranges);
	free(image->cpuid);
	thaw_cleanup_close(&image->bank_fd);
	*image = KVM_IMAGE_NONE;
}

void kvm_image_add_prefault(struct kvm_image *image, uint64_t page)
{
	struct kvm_description *description = image->description;
	uint32_t i;

	pthread_mutex_lock(&image->prefault_lock);
	for (i = 0; i < description->prefault_count; i++)
		if (description->prefault[i] == (page | 1))
			break;
	if (i == description->prefault_count && i < KVM_PREFAULT_MAX) {
		description->prefault[i] = page | 1;
		/* Release: a guest that prefaults sees the entry once it sees the count. The
		 * builtin, because the guest shares the header that declares the count. */
		__atomic_store_n(&description->prefault_count, i + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&image->prefault_lock);
}

void kvm_image_set_prefault(struct kvm_image *image, const struct thaw_image_meta *meta)
{
	struct kvm_description *description = image->description;
	uint32_t count = 0;

	/* Written pages first: not all may fit. */
	for (unsigned written = 2; written-- > 0;)
		for (size_t i = 0; i < meta->working_set_count; i++)
			for (uint32_t page = 0;
			     meta->working_set[i].written == written &&
			     page < meta->working_set[i].pages && count < KVM_PREFAULT_MAX;
			     page++)
				description->prefault[count++] =
					(meta->working_set[i].start + page * PAGE) | written;
	description->prefault_count = count;
}
