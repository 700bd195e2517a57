/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One invocation under KVM. The request is put into the bank's mailbox, the guest is entered once,
 * and what comes out is a call; in steady state the only one is `next`. General registers travel in
 * the shared page, and everything else of the processor is the image's when the guest is at rest.
 */
#include "engine/kvm/kvm.h"
#include "snapshot-format/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

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

static bool past(uint64_t deadline_ns)
{
	return deadline_ns && thaw_monotonic_ns() >= deadline_ns;
}

/* Returns whether the guest ended the invocation with `next`, and so is at rest. */
static bool run_session(struct kvm_instance *instance, struct thaw_session *session,
			const struct thaw_run *run, struct thaw_outcome *outcome)
{
	struct kvm_machine *machine = &instance->machine;

	for (;;) {
		switch (kvm_enter(machine)) {
		case KVM_EXITED_CALL:
			break;
		case KVM_EXITED_KICKED:
			if (__atomic_load_n(&machine->run->immediate_exit, __ATOMIC_SEQ_CST)) {
				thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
				return false;
			}
			continue;
		default:
			kvm_outcome_broken(machine, outcome);
			return false;
		}
		if (thaw_session_handle(session, machine->mailbox, outcome) == THAW_VERDICT_DONE)
			return outcome->kind == THAW_OUTCOME_finished;
		/* One that calls for ever is never kicked out of a long run. */
		if (past(run->deadline_ns)) {
			thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
			return false;
		}
	}
}

int kvm_prime(struct kvm_instance *instance)
{
	struct kvm_machine *machine = &instance->machine;
	enum kvm_exit left;

	if (instance->primed)
		return 0;
	atomic_store_explicit(&instance->runner, gettid(), memory_order_relaxed);
	do
		left = kvm_enter(machine);
	while (left == KVM_EXITED_KICKED && !machine->run->immediate_exit);
	if (left != KVM_EXITED_CALL || machine->mailbox->call.number) {
		errno = EIO;
		return -1;
	}
	instance->primed = true;
	return 0;
}

void kvm_begin(struct kvm_instance *instance)
{
	struct kvm_run *run = instance->machine.run;

	/* Without the shared registers the guest goes on where it rests, which does the same. */
	if (instance->state->device.sync_regs)
		run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static void run_made(struct kvm_instance *instance, const struct thaw_run *run,
		     const struct thaw_request_header *header, struct thaw_outcome *outcome)
{
	struct thaw_session session;
	enum kvm_kick kicked;

	if (kvm_prime(instance)) {
		thaw_outcome_set(outcome, THAW_OUTCOME_lost,
				 "the instance could not be made: its first steps failed (exit %u)",
				 instance->machine.run->exit_reason);
		return;
	}
	if (!kvm_kick_begin(instance, run->deadline_ns)) {
		thaw_outcome_set(outcome, THAW_OUTCOME_cancelled, NULL);
		return;
	}
	thaw_session_begin(&session, instance->machine.mailbox, run, header);
	instance->request_length = run->request_length;
	kvm_begin(instance);
	if (run->handed_over)
		run->handed_over(run->context);
	instance->clean = run_session(instance, &session, run, outcome);
	kicked = kvm_kick_end(instance);
	/* Who finished all the same has finished. */
	if (kicked == KVM_KICK_KILL && outcome->kind == THAW_OUTCOME_deadline)
		thaw_outcome_set(outcome, THAW_OUTCOME_cancelled, NULL);
}

void kvm_run(struct thaw_instance *base, const struct thaw_run *run,
	     const struct thaw_request_header *header, struct thaw_outcome *outcome)
{
	struct kvm_instance *instance = (struct kvm_instance *)base;
	uint64_t started_ns = header->clock.monotonic_ns; /* a moment ago */

	instance->clean = false;
	if (kvm_wait_made(instance))
		run_made(instance, run, header, outcome);
	else
		thaw_outcome_set(outcome, THAW_OUTCOME_lost, "the instance could not be made: %s",
				 strerrordesc_np(instance->make_failed));
	outcome->run_ns = thaw_monotonic_ns() - started_ns;
}
