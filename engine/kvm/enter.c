/* SPDX-License-Identifier: Apache-2.0 */
/* One entry into a guest, and why the guest left. A sound guest leaves by one port alone; every
 * other exit means that its machine is broken. */
#include "engine/kvm/enter.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "engine/mailbox.h"

enum kvm_exit kvm_enter(struct kvm_machine *machine)
{
	const struct kvm_run *run = machine->run;

	if (ioctl(machine->vcpu_fd, KVM_RUN, 0L) < 0)
		return errno == EINTR || errno == EAGAIN ? KVM_EXITED_KICKED : KVM_EXITED_BROKEN;
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
	    run->io.port == KVM_PORT_CALL)
		return KVM_EXITED_CALL;
	return KVM_EXITED_BROKEN;
}

bool kvm_enter_until_rest(struct kvm_machine *machine)
{
	enum kvm_exit left;

	do
		left = kvm_enter(machine);
	while (left == KVM_EXITED_KICKED && !kvm_exit_asked(machine));
	return left == KVM_EXITED_CALL && machine->mailbox->call.number == 0;
}

static const char *exit_name(uint32_t reason)
{
	switch (reason) {
	case KVM_EXIT_IO:
		return "its ring 0 faulted";
	case KVM_EXIT_SHUTDOWN:
		return "triple fault";
	case KVM_EXIT_INTERNAL_ERROR:
		return "an instruction that KVM cannot emulate";
	case KVM_EXIT_FAIL_ENTRY:
		return "the processor refused its state";
	case KVM_EXIT_MMIO:
		return "an access outside its memory";
	case KVM_EXIT_HLT:
		return "it halted";
	default:
		return "an exit that no guest makes";
	}
}

void kvm_outcome_broken(struct kvm_machine *machine, struct thaw_outcome *outcome)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (kvm_ioctl(machine->vcpu_fd, KVM_GET_REGS, &regs) == 0 &&
	    kvm_ioctl(machine->vcpu_fd, KVM_GET_SREGS, &sregs) == 0) {
		const uint64_t registers[THAW_REGISTER_COUNT] = {
			regs.rax, regs.rbx, regs.rcx,	 regs.rdx,	regs.rsi,
			regs.rdi, regs.rbp, regs.rsp,	 regs.r8,	regs.r9,
			regs.r10, regs.r11, regs.r12,	 regs.r13,	regs.r14,
			regs.r15, regs.rip, regs.rflags, sregs.fs.base, sregs.gs.base};

		outcome->has_fault = true;
		outcome->fault = (struct thaw_fault){
			.signal = SIGSEGV, .vector = 0xffffffffu, .address = sregs.cr2};
		memcpy(outcome->fault.registers, registers, sizeof(registers));
	}
	thaw_outcome_set(outcome, THAW_OUTCOME_crashed,
			 "the function crashed its virtual machine: %s (exit %u) at %#llx",
			 exit_name(machine->run->exit_reason), machine->run->exit_reason,
			 outcome->has_fault ? (unsigned long long)regs.rip : 0);
	outcome->exit_code = 128 + SIGSEGV;
}
