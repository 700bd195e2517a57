/* SPDX-License-Identifier: Apache-2.0 */
/* Making a clone in plain memory; see plain.h. */
#include "tests/kvm/plain.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  THAW_PAGE_SIZE
#define GUARD (UINT64_C(1) << 30)

enum { R = THAW_PROT_READ, W = THAW_PROT_WRITE, X = THAW_PROT_EXEC };

const struct plain_layout plain_small = {
	.ranges = {{THAW_STACK_TOP - THAW_STACK_SIZE, THAW_STACK_SIZE, R | W},
		   {0x400000, 0x3000, R},
		   {0x403000, 0x9000, R | X},
		   {0x40c000, 0x60000, R | W},
		   {0x10000000, 0x400000, R | W}},
	.range_count = 5,
	.pieces = {{THAW_STACK_TOP - 0x2000, 0x2000},
		   {0x400000, 0x3000},
		   {0x403000, 0x9000},
		   {0x40c000, 0x8000},
		   {0x10000000, 0x20000},
		   {0x10200000, 0x1000}},
	.piece_count = 6,
	.limit = 16u << 20,
};

/* A different value for each word, so that a page in the wrong place shows. */
static uint64_t word_at(uint64_t address)
{
	return (address + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t plain_word(const struct plain_layout *layout, uint64_t address)
{
	for (size_t i = 0; i < layout->piece_count; i++)
		if (address - layout->pieces[i].start < layout->pieces[i].length)
			return word_at(address);
	return 0;
}

static int make_file(const struct plain_layout *layout)
{
	int fd = memfd_create("test-memory", MFD_CLOEXEC);
	uint64_t page[PAGE / 8];

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)THAW_REGION_END), 0);
	for (size_t i = 0; i < layout->piece_count; i++)
		for (uint64_t at = layout->pieces[i].start, end = at + layout->pieces[i].length;
		     at < end; at += PAGE) {
			for (uint64_t k = 0; k < PAGE; k += 8)
				page[k / 8] = word_at(at + k);
			cr_assert_eq(pwrite(fd, page, PAGE, (off_t)at), (ssize_t)PAGE);
		}
	return fd;
}

void plain_make_image(struct plain_clone *clone, const struct plain_layout *layout)
{
	static const struct thaw_dispatch no_dispatch;
	struct thaw_cpu_features features = {.word = {[10] = 3}}; /* XCR0 */
	struct thaw_vcpu vcpu = {
		.registers = {[THAW_RIP] = THAW_REGION_BASE}, .xsave_mask = 3, .xsave_length = 576};
	struct thaw_guest_memory memory = {.ranges = layout->ranges,
					   .range_count = layout->range_count,
					   .limit = layout->limit};
	struct thaw_error err = THAW_ERROR_INIT;

	*clone = (struct plain_clone){.memory_fd = make_file(layout)};
	clone->device.supported = calloc(1, sizeof(*clone->device.supported));
	memory.fd = clone->memory_fd;
	cr_assert_eq(kvm_image_make(&clone->device, &memory, &vcpu, &no_dispatch, &features,
				    KVM_MODE_SERVE, &clone->backend.image, &err),
		     0, "%s", err.message);
}

static void make_bank(struct plain_clone *clone)
{
	const struct kvm_image *image = &clone->backend.image;
	struct kvm_machine *machine = &clone->instance.machine;
	uint64_t size = image->bank_pages * PAGE;

	clone->around_size = size + 2 * GUARD;
	clone->around = kvm_reserve(clone->around_size, PROT_NONE);
	cr_assert_not_null(clone->around);
	*machine = KVM_MACHINE_NONE;
	machine->bank = clone->around + GUARD;
	machine->bank_size = size;
	cr_assert_eq(mprotect(machine->bank, size, PROT_READ | PROT_WRITE), 0);
	machine->control = (struct kvm_control *)(machine->bank + KVM_PAGE_CONTROL * PAGE);
	machine->mailbox = (struct thaw_mailbox *)(machine->bank + KVM_PAGE_MAILBOX * PAGE);
	kvm_bank_fill(image, machine->bank);
}

static void make_instance(struct plain_clone *clone, struct kvm_backend *backend)
{
	const struct kvm_image *image = &backend->image;

	clone->instance.backend = backend;
	pthread_mutex_init(&clone->instance.kick_lock, NULL);
	clone->memory = (struct walk_memory){
		.slots = {{KVM_BANK_GPA, image->bank_pages * PAGE, clone->instance.machine.bank,
			   false},
			  {KVM_SHIM_GPA, image->shim_size, image->shim, true},
			  {KVM_IMAGE_GPA, image->data_size, image->data, true}},
		.cr3 = KVM_BANK_GPA};
}

void plain_make(struct plain_clone *clone, const struct plain_layout *layout)
{
	plain_make_image(clone, layout);
	make_bank(clone);
	make_instance(clone, &clone->backend);
}

void plain_make_sibling(struct plain_clone *sibling, struct plain_clone *clone)
{
	*sibling = (struct plain_clone){.memory_fd = -1};
	/* A shallow copy: the other clone frees the image. */
	sibling->backend.image = clone->backend.image;
	make_bank(sibling);
	make_instance(sibling, &clone->backend);
}

void plain_finish(struct plain_clone *clone)
{
	if (clone->around)
		munmap(clone->around, clone->around_size);
	free(clone->instance.kept);
	if (clone->memory_fd < 0)
		return;
	kvm_image_finish(&clone->backend.image);
	free(clone->device.supported);
	close(clone->memory_fd);
}
