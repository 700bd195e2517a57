/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's own C code, compiled for the host. Its addresses become those of the current clone,
 * and a TLB flush becomes nothing, because the walker has no TLB.
 */
#include "tests/kvm/plain.h"

static struct plain_clone *here;

#undef KVM_BANK_VA
#undef KVM_IMAGE_VA
#undef KVM_DESC_VA
#undef KVM_CONTROL_VA
#define KVM_BANK_VA    ((uintptr_t)here->instance.machine.bank)
#define KVM_IMAGE_VA   ((uintptr_t)here->instance.backend->image.data)
#define KVM_DESC_VA    ((uintptr_t)here->instance.backend->image.description)
#define KVM_CONTROL_VA ((uintptr_t)here->instance.machine.control)

#define kvm_flush_page ring0_flush_page
#define kvm_flush_all  ring0_flush_all
#include "guest-stub/shim/kvm/shim.h"
#undef kvm_flush_page
#undef kvm_flush_all
#define kvm_flush_page(address) ((void)(address))
#define kvm_flush_all()		((void)0)

#include <setjmp.h>

bool plain_panicked;
static jmp_buf panicked;

_Noreturn void kvm_panic(void)
{
	plain_panicked = true;
	longjmp(panicked, 1);
}

#define protect protect_range /* both files define one */
#include "guest-stub/shim/kvm/memory.c"
#undef protect
#include "guest-stub/shim/kvm/pages.c"

void plain_enter(struct plain_clone *clone)
{
	here = clone;
}

void plain_prefault(struct plain_clone *clone)
{
	const struct kvm_description *image = clone->instance.backend->image.description;

	here = clone;
	if (setjmp(panicked))
		return;
	for (uint32_t i = 0; i < image->prefault_count; i++)
		kvm_page_in(image->prefault[i], image->prefault[i] & 1, false);
}

uint8_t *plain_access(struct plain_clone *clone, uint64_t address, enum walk_access access)
{
	struct walk_leaf leaf;

	here = clone;
	if (setjmp(panicked))
		return NULL;
	for (unsigned tries = 0; tries < 2; tries++) {
		if (walk_user_access(&clone->memory, address, access, &leaf))
			return walk_host(&clone->memory, leaf.gpa + address % leaf.size, 8);
		clone->instance.machine.control->faults++;
		if (!kvm_page_in(address, access == WALK_WRITE, access == WALK_FETCH))
			return NULL;
	}
	kvm_panic(); /* success without a page: a guest would fault for ever */
}

long plain_call(struct plain_clone *clone, long number, uint64_t start, uint64_t length,
		uint32_t prot)
{
	struct thaw_shim_memory memory = {start, length, prot, 0};

	here = clone;
	if (setjmp(panicked))
		return -1000;
	clone->instance.machine.control->calls++;
	return kvm_memory_call(number, &memory);
}

bool plain_recycle(struct plain_clone *clone)
{
	clone->instance.clean = true;
	return kvm_recycle(&clone->instance.base);
}
