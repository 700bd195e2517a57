/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One invocation under KVM. The request goes into the bank's mailbox and the guest is entered once.
 * The guest leaves with a call; in steady state the only one is `next`. General registers travel in
 * the page that the vCPU shares with its thread. At rest, the rest of the processor's state is the
 * image's.
 */
#include "engine/kvm/run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/kvm/enter.h"
#include "engine/kvm/kick.h"
#include "engine/kvm/shells.h"
#include "engine/mailbox.h"
#include "snapshot-format/base/clock.h"

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
			if (kvm_exit_asked(machine)) {
				thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
				return false;
			}
			kvm_tick(instance);
			continue;
		default:
			kvm_outcome_broken(machine, outcome);
			return false;
		}
		if (thaw_session_handle(session, machine->mailbox, outcome) == THAW_VERDICT_DONE)
			return outcome->kind == THAW_OUTCOME_finished;
		kvm_tick_look(instance);
		/* A guest that makes calls without end meets its deadline here, without a kick. */
		if (past(run->deadline_ns)) {
			thaw_outcome_set(outcome, THAW_OUTCOME_deadline, NULL);
			return false;
		}
	}
}

int kvm_prefault(struct kvm_instance *instance)
{
	if (instance->prefaulted)
		return 0;
	atomic_store_explicit(&instance->runner, gettid(), memory_order_relaxed);
	if (!kvm_enter_until_rest(&instance->machine)) {
		errno = EIO;
		return -1;
	}
	instance->prefaulted = true;
	return 0;
}

void kvm_begin(struct kvm_instance *instance)
{
	struct kvm_run *run = instance->machine.run;

	/* Without shared registers the guest goes on where it rests, with the same effect. */
	if (instance->backend->device.sync_regs)
		run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static void run_made(struct kvm_instance *instance, const struct thaw_run *run,
		     const struct thaw_request_header *header, struct thaw_outcome *outcome)
{
	struct thaw_session session;
	enum kvm_kick kicked;

	if (kvm_prefault(instance)) {
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
	/* A guest that finished in spite of a kick has finished. */
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
