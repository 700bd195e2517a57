/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances, the backend that owns them, and the lock or the order that guards each field.
 *
 * "Owner" is the thread that holds an instance between thaw_instance_create() and
 * thaw_instance_destroy(); the pool hands ownership on under a lock of its own. "Opener" is the
 * thread that opens, boots, starts and closes the engine: it is alone before
 * thaw_engine_start() returned and when thaw_engine_close() is called.
 *
 * Lock order: kick_lock and `lock` are never held together; nothing is called into with either held
 * but the C library. prefault_lock (image.h) is a leaf.
 */
#ifndef THAW_KVM_BACKEND_H
#define THAW_KVM_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "engine/backend.h"
#include "engine/kvm/machine/machine.h"

/* A page that stays private from one invocation to the next, because each writes it. */
struct kvm_kept {
	uint64_t *entry;       /* in the bank's page tables */
	uint64_t address;      /* guest-virtual */
	uint32_t page;	       /* of the bank */
	uint32_t unused;       /* invocations in a row that did not write it */
	const uint8_t *source; /* its content in the image; NULL: zeroes */
};

#define KVM_KEPT_MAX 4096u

struct kvm_snapshot; /* generic.h */

enum kvm_kick { KVM_KICK_NONE, KVM_KICK_DEADLINE, KVM_KICK_KILL };

struct kvm_instance {
	struct thaw_instance base;
	struct kvm_backend *backend; /* constant */

	/* Under the backend's lock. */
	struct kvm_instance *next; /* in the list of free or of ordered instances */
	bool abandoned;		   /* destroyed before its machine was made */

	/* Written under the backend's lock, by the maker or by kvm_create(); read without it. */
	_Atomic bool made;	 /* release: a reader that sees it set sees the machine */
	_Atomic int make_failed; /* errno of a machine that could not be made; 0: none failed yet */

	/* The maker's until `made`, then the owner's. A kick reaches `machine.run` too, but only
	 * while `running` says that the owner is in a run. */
	struct kvm_machine machine;

	/* The owner's. */
	bool prefaulted;      /* the new machine has come to rest */
	bool prefault_failed; /* it has not; the instance's run says so */
	bool clean;	      /* the last run ended with a `next` */
	uint64_t request_length;
	struct kvm_kept *kept; /* KVM_KEPT_MAX of them, made when first needed */
	unsigned kept_count;

	/* Written by the owner, read by any thread as a hint: the thread that ran it last. Before
	 * Linux 6.12, another thread waits for a grace period when it runs the vCPU. */
	_Atomic pid_t runner;

	/* Under kick_lock; see kick.c. */
	pthread_mutex_t kick_lock;
	pid_t running;	      /* the thread in the run; 0: none */
	enum kvm_kick kicked; /* why, in this run */
	/* Written under kick_lock, and by kvm_create(); the owner may read it without. */
	_Atomic bool killed;

	/* The owner sets it, the watch clears it when it has kicked; 0: none. */
	_Atomic uint64_t deadline_ns;
	/* When the watch kicks the run for a tick next; 0: never. The owner sets it as the guest
	 * wishes, the watch sets it on when it has kicked. */
	_Atomic uint64_t tick_ns;
};

#define KVM_SHELLS   4u	 /* machines ahead of orders, for a burst beyond the pool */
#define KVM_DEAD_MAX 32u /* machines that may wait to be taken down while orders come first */

struct kvm_backend {
	/* The opener's; constant while instances exist. */
	struct kvm_device device;
	struct kvm_image image;
	bool generic;
	bool no_working_set; /* clones do not prefault the working set that the image records */
	unsigned slots;
	struct kvm_instance *instances; /* SLOTS of them */
	struct kvm_snapshot *snapshot;	/* generic: what each invocation begins with */
	bool maker_started, watch_started;
	pthread_t maker, watch;

	/* shells.c: under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t work; /* there is something for the maker */
	pthread_cond_t made; /* an order was filled, or failed */
	struct kvm_instance *free, *ordered, **ordered_tail;
	struct kvm_machine *shells; /* made ahead of orders; room for KVM_SHELLS */
	unsigned shell_count;
	struct kvm_machine *dead; /* to be taken down; room for kvm_dead_room() */
	unsigned dead_count;
	bool maker_ends;
	bool stock_failed; /* the last machine could not be made: none is made ahead */

	/* Threads in kvm_backend_wait_closed(): under the lock. */
	pthread_cond_t closing_changed; /* the next two have changed */
	bool closing;
	unsigned waiters;

	/* kick.c: atomics between the watch and the owners of instances. */
	_Atomic bool watch_ends;
	_Atomic uint64_t watch_at_ns;	  /* when the watch looks next */
	_Atomic uint64_t watch_wanted_ns; /* the deadline that it was last woken for */
	_Atomic uint32_t watch_word;	  /* the watch's futex: counts what it was woken for */
};

/* Every machine that there can be: one for each instance, the stock, one that is being made, and
 * the dead. */
static inline size_t kvm_dead_room(const struct kvm_backend *backend)
{
	return backend->slots + KVM_SHELLS + KVM_DEAD_MAX + 2;
}

/* A backend with room for CONFIG's instances and nothing else: no device, no image, no thread. */
int kvm_backend_make(const struct thaw_engine_config *config, struct kvm_backend **out,
		     struct thaw_error *err);

/* Ends every wait in kvm_backend_wait_closed(), then frees the backend with its device. Its image,
 * snapshot and threads are gone by then: kvm_serve_stop(). */
void kvm_backend_free(struct kvm_backend *backend);

/* Blocks until kvm_backend_free() is called, by another thread and after this call began. Always
 * -1. */
int kvm_backend_wait_closed(struct kvm_backend *backend, struct thaw_error *err);

#endif
