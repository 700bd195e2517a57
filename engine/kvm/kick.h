/* SPDX-License-Identifier: Apache-2.0 */
/* Getting a thread out of its guest: deadlines, kills and ticks. */
#ifndef THAW_KVM_KICK_H
#define THAW_KVM_KICK_H

#include "engine/kvm/backend.h"

/* Installs the handler of the signal that ends a run; once in a process is enough. */
int kvm_kicks_init(struct thaw_error *err);

/* Starts and ends the watch, the thread that enforces deadlines. The opener calls. */
int kvm_watch_start(struct kvm_backend *backend, struct thaw_error *err);
void kvm_watch_stop(struct kvm_backend *backend); /* fine if it was not started */

/* The owner's, around a run: from here on, kicks reach the calling thread. DEADLINE_NS is of
 * CLOCK_MONOTONIC; 0: none. False when the instance was killed already: it must not run. */
bool kvm_kick_begin(struct kvm_instance *instance, uint64_t deadline_ns);
/* The owner's, in a run and between entries: has the watch kick the run when the guest wants its next
 * tick. Called after each exit; does nothing for a guest that wants none. */
void kvm_tick_look(struct kvm_instance *instance);
/* The owner's, when a signal has ended an entry: interrupts the guest if it wants to be. */
void kvm_tick(struct kvm_instance *instance);
/* Why the run was kicked, if it was. */
enum kvm_kick kvm_kick_end(struct kvm_instance *instance);

/* thaw_instance_kill(): any thread, until destroy. */
void kvm_kill(struct thaw_instance *instance);

#endif
