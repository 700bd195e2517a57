/* SPDX-License-Identifier: Apache-2.0 */
/* One entry into a guest, and why the guest left. */
#ifndef THAW_KVM_ENTER_H
#define THAW_KVM_ENTER_H

#include "engine/kvm/machine/machine.h"

enum kvm_exit {
	KVM_EXITED_CALL,   /* a call is in the mailbox; number 0: a new clone is at rest */
	KVM_EXITED_KICKED, /* a signal came; kvm_exit_asked() tells whether it was a kick */
	KVM_EXITED_BROKEN  /* for a reason that no guest of ours has */
};

/* Runs the guest on the calling thread until the host has something to do. */
enum kvm_exit kvm_enter(struct kvm_machine *machine);

/* Runs a new machine until it is at rest: it prefaults its pages. False when it does not get there,
 * or when an exit was asked for before. */
bool kvm_enter_until_rest(struct kvm_machine *machine);

/* Says in OUTCOME how a machine left in an unforeseen way, with its registers. */
void kvm_outcome_broken(struct kvm_machine *machine, struct thaw_outcome *outcome);

/*
 * `immediate_exit` of the shared page: while it is set, an entry returns at once. The kernel's
 * header declares it as a plain byte, so the builtins take the place of <stdatomic.h> here. A kick
 * stores it before it sends the signal (see kick.c); hence the strict order.
 */
static inline bool kvm_exit_asked(const struct kvm_machine *machine)
{
	return __atomic_load_n(&machine->run->immediate_exit, __ATOMIC_SEQ_CST);
}

static inline void kvm_ask_exit(struct kvm_machine *machine)
{
	__atomic_store_n(&machine->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/* For the machine's own thread, when no kick can be on its way any more. */
static inline void kvm_unask_exit(struct kvm_machine *machine)
{
	__atomic_store_n(&machine->run->immediate_exit, 0, __ATOMIC_RELAXED);
}

#endif
