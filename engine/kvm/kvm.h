/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM backend's state. One engine has one image, described once for all its clones, and a
 * machine for each instance: a VM with one vCPU, three memory slots and nothing else in it.
 * docs/kvm.md tells how it works and why.
 *
 *   device.c    what this host's KVM can do
 *   cpuid.c     what a guest sees of the processor
 *   image.c     the two shared slots: shim with description, and the image's data
 *   bank.c      a clone's bank: its layout, its first content, walks over its page tables
 *   machine.c   a VM and its vCPU, from nothing to ready
 *   run.c       one invocation: exits, hypercalls, outcomes
 *   kick.c      deadlines and kills, from other threads
 *   recycle.c   back to the image's state
 *   generic.c   the slow way back, which trusts nothing: the oracle
 *   shells.c    machines made ahead and taken down off everybody's path
 *   boot.c      a boot, and what it leaves
 *   working_set.c     what an invocation of a booted image touches
 *   kvm.c           opening, starting, instances
 */
#ifndef THAW_KVM_H
#define THAW_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "engine/backend.h"
#include "engine/host/guest_state.h"
#include "engine/image/memory_map.h"
#include "engine/mailbox.h"
#include "guest-stub/shim/kvm/layout.h"

#define KVM_HUGE_PAGE UINT64_C(0x200000)

/* ---- The host ---- */

struct kvm_device {
	int fd; /* /dev/kvm */
	size_t run_size;
	bool sync_regs;
	struct kvm_cpuid2 *supported;
	struct thaw_cpu_features features; /* that a guest can be shown */
};

/* Takes FD over, and closes it also on failure. THAW_ERR_ENGINE with what is missing. */
int kvm_device_open(int fd, struct kvm_device *device, struct thaw_error *err);
void kvm_device_close(struct kvm_device *device);
/* One ioctl, again when a signal came in between. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

/* cpuid.c: features that SUPPORTED lets a guest have, in terms of an image. */
void kvm_cpuid_features(const struct kvm_cpuid2 *supported, struct thaw_cpu_features *out);
/* What a guest of an image with FEATURES sees; free with free(). */
struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm_cpuid2 *supported,
				  const struct thaw_cpu_features *features);
/* Whether a guest that sees CPUID has CR4's bits for SMEP, SMAP, UMIP and FSGSBASE. */
uint64_t kvm_cpuid_cr4(const struct kvm_cpuid2 *cpuid);

/* ---- An image ---- */

struct kvm_image {
	uint8_t *shim; /* slot: the shim's program, then the description */
	size_t shim_size;
	struct kvm_description *description;
	struct kvm_entries entries;
	uint8_t *data; /* slot: pieces of 2 MiB that have data of the image, packed; or NULL */
	uint64_t data_size;
	struct shim_ranges *ranges; /* as every clone begins with */
	uint64_t memory_pages;
	uint64_t bank_pages;
	uint64_t first_page; /* of the bank, that is free in a new clone */
	uint32_t mode;	     /* KVM_MODE_* */
	int bank_fd;	     /* generic: what every bank is a private mapping of; else -1 */
	struct kvm_cpuid2 *cpuid;
	uint64_t cr4;
	uint64_t xcr0;
	pthread_mutex_t prime_lock;
};

int kvm_image_make(const struct kvm_device *device, const struct thaw_guest_memory *memory,
		   const struct thaw_vcpu *vcpu, const struct thaw_dispatch *dispatch,
		   const struct thaw_cpu_features *features, uint32_t mode, struct kvm_image *image,
		   struct thaw_error *err);
#define KVM_IMAGE_NONE ((struct kvm_image){.bank_fd = -1})
/* No machine of it may be left. */
void kvm_image_finish(struct kvm_image *image);
/* LENGTH bytes of private address space that begin where 2 MiB do, so that huge pages fit both
 * sides; or NULL. */
uint8_t *kvm_reserve(uint64_t length, int prot);
/* New clones will touch PAGE before they are fresh, for writing. */
void kvm_image_learn(struct kvm_image *image, uint64_t page);
/* Before the first clone: they will touch what META says that invocations touch, as far as it fits.
 */
void kvm_image_prime(struct kvm_image *image, const struct thaw_image_meta *meta);

/* ---- A machine ---- */

struct kvm_machine {
	int vm_fd, vcpu_fd; /* -1 when there is none */
	struct kvm_run *run;
	size_t run_size;
	uint8_t *bank;
	uint64_t bank_size;
	/* Views into the bank. */
	struct kvm_control *control;
	struct thaw_mailbox *mailbox;
};

int kvm_machine_make(const struct kvm_device *device, const struct kvm_image *image,
		     struct kvm_machine *machine, struct thaw_error *err);
void kvm_machine_finish(struct kvm_machine *machine);
#define KVM_MACHINE_NONE ((struct kvm_machine){.vm_fd = -1, .vcpu_fd = -1})

/* bank.c */
void kvm_bank_size(struct kvm_image *image);
void kvm_bank_fill(const struct kvm_image *image, uint8_t *bank);
/* Bytes of the bank that there are; -1 with errno. */
int kvm_bank_resident(const struct kvm_machine *machine, uint64_t *bytes);
/* The page of the bank that ENTRY points to, if it is one and is not below the pages that are
 * fixed. */
bool kvm_bank_page_of(const struct kvm_image *image, uint64_t entry, uint64_t *page);
/* The lowest entry of ADDRESS in the guest's page tables, or NULL. The tables are the guest's
 * side's: a walk never leaves the bank. *NEXT is the first address that the same table, or a
 * missing one, does not cover. */
uint64_t *kvm_bank_entry(const struct kvm_image *image, uint8_t *bank, uint64_t address,
			 uint64_t *next);
/* The entry that points to the table in which kvm_bank_entry() finds one; the same otherwise. */
uint64_t *kvm_bank_table_entry(const struct kvm_image *image, uint8_t *bank, uint64_t address,
			       uint64_t *next);

/* ---- Instances ---- */

/* A page that stays private from one invocation to the next, since it is written each time. */
struct kvm_kept {
	uint64_t *entry;
	uint64_t address;      /* guest-virtual */
	uint32_t page;	       /* of the bank */
	uint32_t unused;       /* invocations in a row that did not write it */
	const uint8_t *source; /* where its content comes from; NULL: zeroes */
};

#define KVM_KEPT_MAX 4096u

enum kvm_kick { KVM_KICK_NONE, KVM_KICK_DEADLINE, KVM_KICK_KILL };

struct kvm_instance {
	struct thaw_instance base;
	struct thaw_backend_state *state;
	struct kvm_machine machine;
	struct kvm_instance *next; /* in a list of the maker's */
	/* Whose machine it is: written with the state's lock by the maker, then the caller's. */
	_Atomic bool made;
	bool abandoned;	 /* destroyed before it was made; under the state's lock */
	int make_failed; /* errno, when it could not be made */
	bool primed;
	bool prime_failed; /* then its run says so */
	_Atomic pid_t
		runner; /* the thread that ran it last: another would wait for a grace period */
	bool clean;	/* the last run ended with a `next` */
	uint64_t request_length;

	/* Kicks; see kick.c. */
	pthread_mutex_t kick_lock;
	pid_t running; /* thread in the run, or 0 */
	bool killed;
	enum kvm_kick kicked;
	_Atomic uint64_t deadline_ns;

	struct kvm_kept *kept;
	unsigned kept_count;
};

struct thaw_backend_state {
	struct kvm_device device;
	struct kvm_image image;
	bool generic;
	bool no_working_set; /* what the image says that invocations touch is not used */
	unsigned slots;
	struct kvm_instance *instances;

	/* shells.c; under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t work, made, failure_known;
	struct kvm_instance *free, *ordered, **ordered_tail;
	struct kvm_machine *shells; /* made ahead, shell_count of KVM_SHELLS */
	unsigned shell_count;
	struct kvm_machine *dead; /* to be taken down */
	unsigned dead_count;
	bool maker_started, closing, stock_failed;
	pthread_t maker;

	/* kick.c */
	bool watch_started;
	_Atomic bool watch_ends;
	_Atomic uint64_t watch_at_ns;	  /* when it looks next */
	_Atomic uint64_t watch_wanted_ns; /* the deadline it was last woken for */
	uint32_t watch_word;
	pthread_t watch;

	struct kvm_snapshot *snapshot; /* generic: what each invocation begins with */
};

#define KVM_SHELLS   4u	 /* for a burst beyond the pool */
#define KVM_DEAD_MAX 32u /* that wait to be taken down while orders come first */

/* Every machine that there can be: of an instance each, the stock, one being made, and the dead. */
static inline size_t kvm_dead_room(const struct thaw_backend_state *state)
{
	return state->slots + KVM_SHELLS + KVM_DEAD_MAX + 2;
}

/* shells.c */
int kvm_maker_start(struct thaw_backend_state *state, struct thaw_error *err);
void kvm_maker_stop(struct thaw_backend_state *state);
int kvm_create(struct thaw_backend_state *state, struct thaw_instance **out,
	       struct thaw_error *err);
void kvm_destroy(struct thaw_instance *instance);
/* Waits until the instance has a machine; false when it could not be made. */
bool kvm_wait_made(struct kvm_instance *instance);

/* run.c */
void kvm_run(struct thaw_instance *instance, const struct thaw_run *run,
	     const struct thaw_request_header *header, struct thaw_outcome *outcome);
/* First steps of a clone. 0, or -1 with errno. */
int kvm_prime(struct kvm_instance *instance);
/* The next entry is a new invocation. */
void kvm_begin(struct kvm_instance *instance);
/* One KVM_RUN, until there is something to do for the host. */
enum kvm_exit { KVM_EXITED_CALL, KVM_EXITED_KICKED, KVM_EXITED_BROKEN };
enum kvm_exit kvm_enter(struct kvm_machine *machine);
/* Says what is the matter with a machine that left in an unforeseen way. */
void kvm_outcome_broken(struct kvm_machine *machine, struct thaw_outcome *outcome);

/* kick.c */
int kvm_kicks_init(struct thaw_error *err);
int kvm_watch_start(struct thaw_backend_state *state, struct thaw_error *err);
void kvm_watch_stop(struct thaw_backend_state *state);
/* From here kicks reach the calling thread; false when the instance was killed before. */
bool kvm_kick_begin(struct kvm_instance *instance, uint64_t deadline_ns);
/* What has been kicked for, if anything. */
enum kvm_kick kvm_kick_end(struct kvm_instance *instance);
void kvm_kill(struct thaw_instance *instance);

/* recycle.c: false when it cannot be done completely. */
bool kvm_recycle(struct thaw_instance *instance);

/* generic.c */
int kvm_snapshot_take(struct thaw_backend_state *state, struct thaw_error *err);
void kvm_snapshot_free(struct kvm_snapshot *snapshot);
int kvm_snapshot_restore(const struct kvm_snapshot *snapshot, struct kvm_machine *machine);

/* kvm.c */
int kvm_start(struct thaw_backend_state *state, const struct thaw_source *source,
	      struct thaw_error *err);

/* working_set.c */
int kvm_learn(struct thaw_backend_state *state, const struct thaw_source *source,
	      const struct thaw_run *run, struct thaw_recording *touches,
	      struct thaw_outcome *outcome, struct thaw_error *err);

/* boot.c */
int kvm_boot(struct thaw_backend_state *state, const struct thaw_source *source,
	     const struct thaw_boot_config *config, struct thaw_ready_state *ready,
	     struct thaw_error *err);

/* Whole words, which the processor moves fast. */
static inline void kvm_copy_page(void *to, const void *from)
{
	uint64_t count = THAW_PAGE_SIZE / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static inline void kvm_clear(void *at, uint64_t length)
{
	uint64_t count = length / 8;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(UINT64_C(0)) : "memory");
}

#endif
