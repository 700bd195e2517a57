/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process backend's state, and what its files offer each other. One engine has one shim
 * process: a booting guest, or a zygote whose clones are the instances. Clones are children of this
 * process, in the shim's process group; one thread, the reaper, reaps them.
 *
 * What guards a shared field is written beside it:
 *   constant    set before other threads exist, unchanged from then on
 *   owner       used by the thread that holds the instance, between create and destroy
 *   lock        used with process_backend.lock held
 *   atomic      read without a lock; the comment says who writes it
 * Locks are taken in this order: pids, recycler.lock, lock. None is taken while `lock` is held.
 *
 * The mailboxes and the control block (guest-stub/shim/process/control.h) are shared with guest
 * code, which has no <stdatomic.h>: their words are plain, and both sides use the __atomic builtins
 * on them. Everything else uses <stdatomic.h>.
 */
#ifndef THAW_PROCESS_H
#define THAW_PROCESS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "engine/backend.h"
#include "engine/process/mappings.h"
#include "guest-stub/shim/process/control.h"

/* A clone's files in /proc, opened when it is first recycled. */
enum { PROCESS_FILE_SYSCALL, PROCESS_FILE_MAPS, PROCESS_FILE_PAGEMAP, PROCESS_FILE_COUNT };

struct process_instance {
	struct thaw_instance base;	 /* constant since start() */
	struct process_backend *backend; /* constant */
	struct thaw_mailbox *mailbox;	 /* constant */
	uint32_t slot;			 /* constant */
	/* Its home: the one processor where it may run, unless it is loose. Atomic: the owner
	 * writes it while another thread may be killing the instance. */
	_Atomic uint32_t cpu;
	bool recycled; /* owner: recycled since it was made */
	bool early;    /* owner: made when not all of the image was there */
	bool loose;    /* owner: may run anywhere, not only at home */
	/* Owner, and once the slot is released, under lock. 0: not open. */
	int files[PROCESS_FILE_COUNT];
	uint32_t order; /* lock: the number of its order */
	bool in_use;	/* lock: between create and destroy */
	int death;	/* lock: the signal that killed it, 0 when it ended by itself; once dead */
	/* Both are atomic, and written under lock by any thread: reaped or never made, and told to
	 * end by thaw_instance_kill(). */
	atomic_bool dead, killed;
};

/* What a clone that never ran is like; see sample.c. */
struct process_recycler {
	int proc_fd;	/* constant: procfs that has our clones; -1: none, nothing is recycled */
	bool owns_proc; /* constant */
	atomic_bool by_reading; /* written by any owner: this kernel has no PAGEMAP_SCAN */
	/* Guards what follows until it is known; all of it is constant from then on. */
	pthread_mutex_t lock;
	bool known, works;
	size_t maps_length; /* of /proc/PID/maps, whose content is: */
	struct process_mappings mappings;
	uint64_t shim_start, shim_end; /* the shim's variables */
	uint8_t *shim;
	unsigned shim_own; /* pages of these that every clone has of its own, and not empty */
	bool *shim_is_own;
	const uint8_t *image; /* guest address A is at A; holes are not to be touched */
};

struct process_backend {
	/* Constant from here, unless noted. */
	struct thaw_source source; /* since start() */
	unsigned slots;
	cpu_set_t cpus; /* that we may run on */
	int memory_fd;	/* the engine's; a shim gets it as SHIM_FD_MEMORY */
	int arena_fd;
	int shim_fd;			  /* the shim's program, in memory */
	bool has_dispatch;		  /* the kernel has syscall user dispatch */
	bool records;			  /* its clones record their working set */
	bool no_working_set;		  /* clones do not prefault the image's */
	struct process_backend *recorder; /* for a booted image; see working_set.c */
	struct shim_control *control;
	struct thaw_mailbox *mailboxes;	    /* of all slots */
	struct process_instance *instances; /* one for each slot */
	/* The shim's pid, and the number of its process group; 0: none. Changed only while there is
	 * no reaper. */
	pid_t shim;
	bool reaper_started;
	pthread_t reaper;

	pthread_mutex_t lock;
	pthread_cond_t failure_known; /* `failed`, `closing` or `waiters` changed */
	/* lock: */
	uint32_t *free_slots;
	unsigned free_count;
	unsigned highest; /* slots ever used: how far the reaper looks */
	uint32_t wanted;  /* orders; those above control->ordered wait for the whole image */
	unsigned early;	  /* orders that did not wait */
	bool loaded;	  /* all of the image is there, as its lazy load says */
	bool closing;
	unsigned waiters;		/* threads in wait_failure() */
	bool failed;			/* the zygote died, or the image did not come */
	int failure;			/* the zygote's wait status */
	struct thaw_error load_failure; /* kind 0: it was the zygote */

	/* Atomic, written by owners: turns that must be quick before guests are taken for quick
	 * ones again. */
	_Atomic unsigned quick_turns_left;
	struct process_recycler recycler;
	/* Held for reading while processes are signalled or examined by pid without `lock`, and for
	 * writing while a dead one is reaped: until then its pid is no other process's. */
	pthread_rwlock_t pids;
	bool group_gone; /* under pids: every process of the shim's group was reaped */
};

/* ---- From the bottom up: a file calls those above its own section, and none below ---- */

/* slots.c. With the lock held: takes a free slot (NULL: there is none), and frees the slot of an
 * instance that is neither in use nor alive. */
struct process_instance *process_take_slot(struct process_backend *backend);
void process_release_slot(struct process_instance *instance);
/* Makes a mailbox as if it had never been used. */
void process_clean_mailbox(struct process_backend *backend, uint32_t slot);
void process_close_files(struct process_instance *instance);

/* orders.c: what the zygote is told to make. */
/* Whether clones that are made now would be early. */
bool process_is_early(const struct process_backend *backend);
/* With the lock held: orders the clone of INSTANCE; wake the zygote when the lock is free again. */
void process_order(struct process_instance *instance);
/* With the lock held: takes back an order that waits for the image. False: the zygote has it. */
bool process_withdraw(const struct process_instance *instance);
void process_wake_zygote(struct process_backend *backend);
/* The backend's loaded(). */
void process_loaded(struct process_backend *backend, const struct thaw_error *failure);
/* With the lock held, once `failed`: says why nothing can be thawed any more. Returns -1. */
int process_tell_failure(const struct process_backend *backend, struct thaw_error *err);

/* home.c: the processors that clones are on. */
bool process_near(const struct thaw_instance *instance);
/* Makes the processor where the caller runs the home of the clone, which is process PID. By its
 * owner, which holds `pids`. False: it cannot be. */
bool process_settle(struct process_instance *instance, int pid);
/* By the owner, which does not hold `pids`: makes the caller's processor the clone's home, or lets
 * the clone run anywhere. Failure is harmless: the affinity mask of this process may have
 * shrunk. */
void process_bring_home(struct process_instance *instance);
void process_set_loose(struct process_instance *instance);
/* Before a clone that rests at home, which is process PID, is killed by a thread there. */
void process_send_away(const struct process_instance *instance, int32_t pid);

/* reap.c */
int process_reaper_start(struct process_backend *backend, struct thaw_error *err);
void process_reaper_join(struct process_backend *backend);

/* configure.c: fills the control block with memory, limits, registers and the filter. */
int process_configure(struct process_backend *backend, uint32_t mode,
		      const struct thaw_source *source, struct thaw_error *err);

/* spawn.c: starts the shim, which then waits for its orders. */
int process_spawn(struct process_backend *backend, struct thaw_error *err);
/* Gives the order and waits until the shim is sealed. */
int process_go(struct process_backend *backend, uint32_t mode, struct thaw_error *err);
/* Kills the shim and all of its clones, and reaps those that no reaper thread will. */
void process_end(struct process_backend *backend);
/* Has the shim become the zygote of SOURCE. */
int process_start(struct process_backend *backend, const struct thaw_source *source,
		  struct thaw_error *err);

/* instance.c */
int process_create(struct process_backend *backend, struct thaw_instance **out,
		   struct thaw_error *err);
bool process_ready(const struct thaw_instance *instance);
/* Waits until a new instance is ready; its pid, or 0 if it never will be. */
int process_wait_ready(struct thaw_instance *instance);
bool process_prepared(const struct thaw_instance *instance);
bool process_prepare(struct thaw_instance *instance);
void process_kill(struct thaw_instance *instance);
/* Sends a tick to the clone, which the caller runs. */
void process_tick(struct process_instance *instance);
void process_destroy(struct thaw_instance *instance);

/* run.c */
void process_run(struct thaw_instance *instance, const struct thaw_run *run,
		 const struct thaw_request_header *header, struct thaw_outcome *outcome);

/* proc_files.c: what the kernel tells of a clone. The caller holds `pids`. */
bool process_open_files(struct process_instance *instance, int pid);
/* Reads all of FD, from its beginning, and adds a zero byte; NULL if it has MAX bytes or more. */
char *process_read_all(int fd, char *into, size_t max, size_t *length);
/* Fills RUNS (room for PROCESS_RUNS_MAX), sorted, with the clone's own pages. 0 or not. */
#define PROCESS_RUNS_MAX 1024u
int process_own_pages(struct process_instance *instance, struct thaw_page_run *runs, size_t *count);

/* sample.c: what a clone that never ran is like. */
void process_recycler_open(struct process_backend *backend, const int *proc_fd);
void process_recycler_close(struct process_backend *backend);
/* Whether spent clones can be recycled; the first call examines a new clone. The caller holds
 * `pids`. */
bool process_can_recycle(struct process_backend *backend);

/* restore.c: gives every page of a clone at rest, which is process PID, the content that a new
 * clone has. False: it cannot. The caller holds `pids`. */
bool process_restore_memory(struct process_instance *instance, int pid,
			    const struct process_repair *repair);

/* recycle.c */
bool process_recycle(struct thaw_instance *instance);

/* memory.c */
int process_memory(const struct thaw_instance *instance, struct thaw_instance_memory *out,
		   struct thaw_error *err);

/* boot.c */
int process_boot(struct process_backend *backend, const struct thaw_source *source,
		 const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		 struct thaw_error *err);

/* working_set.c */
int process_record(struct process_backend *backend, const struct thaw_source *source,
		   const struct thaw_run *run, struct thaw_recording *recording,
		   struct thaw_outcome *outcome, struct thaw_error *err);

#endif
