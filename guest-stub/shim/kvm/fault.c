/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions. The shim answers a page fault of the guest with a page where the ranges allow it, and
 * describes every other exception in terms of Linux's signals. If a program within the guest caused
 * it, the guest's entry gets it. Otherwise it ends the guest, and the host logs the description. An
 * exception in ring 0 ends the guest too, and the host learns nothing more. A tick goes to the
 * guest's entry as well, or nowhere.
 */
#include "guest-stub/shim/dispatch.h"
#include "guest-stub/shim/kvm/shim.h"

enum { SIG_ILL = 4, SIG_TRAP = 5, SIG_BUS = 7, SIG_FPE = 8, SIG_SEGV = 11, SIG_SYS = 31 };
enum { AT_NOTHING, AT_RIP, AT_CR2 };

#define PF_WRITE 2u
#define PF_USER	 4u
#define PF_FETCH 16u
#define INT_80	 0x402u /* the error code of #GP for `int $0x80`, the old system call */

/* The signal that Linux raises for each vector, and the address that goes with it. */
static const struct {
	uint8_t signal, address;
} meanings[KVM_VECTORS] = {
	[0] = {SIG_FPE, AT_RIP},   [1] = {SIG_TRAP, AT_RIP},	 [3] = {SIG_TRAP, AT_NOTHING},
	[6] = {SIG_ILL, AT_RIP},   [11] = {SIG_BUS, AT_NOTHING}, [12] = {SIG_BUS, AT_NOTHING},
	[14] = {SIG_SEGV, AT_CR2}, [16] = {SIG_FPE, AT_RIP},	 [17] = {SIG_BUS, AT_NOTHING},
	[19] = {SIG_FPE, AT_RIP},
};

static uint64_t fault_address(void)
{
	uint64_t address;

	__asm__ volatile("mov %%cr2, %0" : "=r"(address));
	return address;
}

static void describe(const struct kvm_frame *frame, struct thaw_fault *fault)
{
	const uint64_t registers[] = {frame->rax, frame->rbx, frame->rcx,   frame->rdx, frame->rsi,
				      frame->rdi, frame->rbp, frame->rsp,   frame->r8,	frame->r9,
				      frame->r10, frame->r11, frame->r12,   frame->r13, frame->r14,
				      frame->r15, frame->rip, frame->rflags};

	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		fault->registers[i] = registers[i];
	fault->registers[18] = KVM_CONTROL->bases[0];
	fault->registers[19] = KVM_CONTROL->bases[1];
	if (KVM_DESCRIPTION->flags & KVM_FLAG_FSGSBASE) {
		__asm__ volatile("rdfsbase %0" : "=r"(fault->registers[18]));
		__asm__ volatile("rdgsbase %0" : "=r"(fault->registers[19]));
	}
	if (frame->vector == KVM_VECTOR_SYSCALL ||
	    (frame->vector == 13 && frame->error == INT_80)) {
		fault->signal = SIG_SYS;
		fault->vector = 0xffffffffu;
		fault->address = (uint64_t)(int64_t)(int32_t)frame->rax; /* an int, to Linux */
		if (frame->vector != KVM_VECTOR_SYSCALL)
			fault->registers[16] += 2; /* #GP points at the instruction, a system call
						      behind it */
		return;
	}
	fault->vector = (uint32_t)frame->vector;
	if (frame->vector == KVM_VECTOR_TICK) {
		fault->vector = THAW_VECTOR_TICK;
		fault->signal = 0;
		fault->address = 0;
		return;
	}
	fault->signal = meanings[frame->vector].signal;
	if (!fault->signal)
		fault->signal = SIG_SEGV;
	switch (meanings[frame->vector].address) {
	case AT_RIP:
		fault->address = frame->rip;
		break;
	case AT_CR2:
		fault->address = fault_address();
		break;
	default:
		fault->address = 0;
	}
}

void kvm_exception(struct kvm_frame *frame)
{
	if ((frame->cs & 3) != 3)
		kvm_panic();
	KVM_CONTROL->faults++;
	if (frame->vector == 14 && frame->error & PF_USER &&
	    kvm_page_in(fault_address(), frame->error & PF_WRITE, frame->error & PF_FETCH))
		return;
	if (frame->vector == KVM_VECTOR_TICK &&
	    !shim_dispatch_takes(&KVM_CONTROL->dispatch, frame->rip, frame->rsp))
		return;
	describe(frame, &KVM_MAILBOX->fault);
	/* entry.S has sent system calls for the guest's entry there; others come here. */
	if (frame->vector != KVM_VECTOR_SYSCALL &&
	    shim_dispatch_takes(&KVM_CONTROL->dispatch, frame->rip, frame->rsp)) {
		frame->rip = KVM_CONTROL->dispatch.fault_entry;
		frame->rflags = 0x202;
		return;
	}
	kvm_exit_call(THAW_CALL_FAULT);
	kvm_panic(); /* the host does not return */
}
