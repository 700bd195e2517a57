/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process backend's state. One engine has one shim process: a booting guest, or a zygote whose
 * clones are the instances. Clones are children of this process, in the shim's process group, and
 * are reaped by one thread.
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

/* A clone's files in /proc, opened when it is first put back. */
enum { PROCESS_FILE_SYSCALL, PROCESS_FILE_MAPS, PROCESS_FILE_PAGEMAP, PROCESS_FILE_COUNT };

struct process_instance {
	struct thaw_instance base;
	struct thaw_backend_state *state;
	struct thaw_mailbox *mailbox;
	uint32_t slot;
	/* Its home: the one processor where it may run, unless it was slow. The owner moves it
	 * while somebody else may be killing it. */
	_Atomic uint32_t cpu;
	/* The owner's, between create and destroy: */
	bool recycled;		       /* put back since it was made */
	bool early;		       /* made when not all of the image was there */
	bool loose;		       /* may run anywhere, not only at home */
	uint32_t order;		       /* under state->lock: the number of its order */
	int files[PROCESS_FILE_COUNT]; /* 0: not open */
	/* Under state->lock: */
	bool in_use; /* between create and destroy */
	bool dead;   /* reaped, or never made */
	int death;   /* the signal that killed it, 0 when it ended by itself; once dead */
	bool killed; /* by thaw_instance_kill() */
};

/* What is known of clones that never ran; see recycle.c. */
struct process_recycler {
	int proc_fd; /* procfs that has our clones; -1: none, and nothing is recycled */
	bool owns_proc;
	bool by_reading;      /* no PAGEMAP_SCAN here; atomic */
	pthread_mutex_t lock; /* of what follows until it is known; constant from then on */
	bool known, works;
	size_t maps_length; /* of /proc/PID/maps, and what it says */
	struct process_mappings mappings;
	uint64_t shim_start, shim_end; /* the shim's variables */
	uint8_t *shim;
	unsigned shim_own; /* pages of these that every clone has of its own, and not empty */
	bool *shim_is_own;
	const uint8_t *image; /* guest address A is at A; holes are not to be touched */
};

struct thaw_backend_state {
	struct thaw_source source; /* since start() */
	unsigned slots;
	cpu_set_t cpus; /* that we may run on */
	int memory_fd;	/* the engine's; a shim gets it as SHIM_FD_MEMORY */
	int arena_fd;
	int shim_fd;			     /* the shim's program, in memory */
	bool has_dispatch;		     /* the kernel has syscall user dispatch */
	bool records;			     /* its clones note what they touch */
	bool no_working_set;		     /* what the image says of that is not used */
	struct thaw_backend_state *recorder; /* for a booted image; see working_set.c */
	struct shim_control *control;
	struct thaw_mailbox *mailboxes; /* of all slots */
	pid_t shim;			/* and the number of its process group; 0: none */

	pthread_mutex_t lock;
	pthread_cond_t failure_known;
	struct process_instance *instances; /* one for each slot */
	uint32_t *free_slots;
	unsigned free_count;
	unsigned highest; /* slots ever used: how far the reaper looks */
	uint32_t wanted;  /* orders; those above control->ordered wait for the whole image */
	unsigned early;	  /* orders that did not wait */
	bool loaded;	  /* all of the image is there, told by its residency */
	bool reaper_started, closing;
	bool failed;			/* the zygote died, or the image did not come */
	int failure;			/* its wait status */
	struct thaw_error load_failure; /* kind 0: it was the zygote */
	pthread_t reaper;

	/* Until its guests are taken for quick ones again: turns that no slow one comes between. */
	_Atomic unsigned quick_turns_left;
	struct process_recycler recycler;
	/* Held for reading while clones are spoken to by their pids without `lock`, and for writing
	 * while one that died is reaped: until then its pid is nobody else's. */
	pthread_rwlock_t pids;
};

/* spawn.c: starts the shim; it then waits for its orders. */
int process_spawn(struct thaw_backend_state *state, struct thaw_error *err);
/* Gives the order and waits until the shim is sealed. */
int process_go(struct thaw_backend_state *state, uint32_t mode, struct thaw_error *err);
/* Fills the control block with memory, limits, registers and the filter; for a zygote, with what
 * META says of its clones. */
int process_configure(struct thaw_backend_state *state, uint32_t mode,
		      const struct thaw_source *source, struct thaw_error *err);
/* Kills the shim and all of its clones, and reaps those that no reaper thread will. */
void process_end(struct thaw_backend_state *state);

/* boot.c */
int process_boot(struct thaw_backend_state *state, const struct thaw_source *source,
		 const struct thaw_boot_config *config, struct thaw_ready_state *ready,
		 struct thaw_error *err);

/* reap.c */
int process_reaper_start(struct thaw_backend_state *state, struct thaw_error *err);
void process_reaper_join(struct thaw_backend_state *state);
/* With the lock held: gives the slot of an instance that is neither in use nor alive back. */
void process_release_slot(struct thaw_backend_state *state, struct process_instance *instance);
void process_clean_mailbox(struct thaw_backend_state *state, uint32_t slot);

/* working_set.c */
int process_record(struct thaw_backend_state *state, const struct thaw_source *source,
		   const struct thaw_run *run, struct thaw_recording *recording,
		   struct thaw_outcome *outcome, struct thaw_error *err);

/* process.c */
int process_start(struct thaw_backend_state *state, const struct thaw_source *source,
		  struct thaw_error *err);

/* instance.c */
int process_create(struct thaw_backend_state *state, struct thaw_instance **out,
		   struct thaw_error *err);
bool process_ready(const struct thaw_instance *instance);
bool process_prepared(const struct thaw_instance *instance);
bool process_prepare(struct thaw_instance *instance);
bool process_near(const struct thaw_instance *instance);
void process_run(struct thaw_instance *instance, const struct thaw_run *run,
		 const struct thaw_request_header *header, struct thaw_outcome *outcome);
void process_kill(struct thaw_instance *instance);
void process_destroy(struct thaw_instance *instance);

/* Makes the processor where we run the home of the clone, which is process PID: by its owner, who
 * holds state->pids. False: it cannot be. */
bool process_settle(struct process_instance *instance, int pid);

/* Waits until a new instance is ready; its pid, or 0 if it never will be. */
int process_wait_ready(struct thaw_instance *instance);

/* Whether clones that are made now would be early. */
bool process_is_early(const struct thaw_backend_state *state);
/* Why nothing can be thawed any more. Returns -1. */
int process_tell_failure(struct thaw_backend_state *state, struct thaw_error *err);
void process_loaded(struct thaw_backend_state *state, const struct thaw_error *failure);

/* recycle.c */
void process_recycler_open(struct thaw_backend_state *state, const int *proc_fd);
void process_recycler_close(struct thaw_backend_state *state);
bool process_recycle(struct thaw_instance *instance);
void process_close_files(struct process_instance *instance);

/* process_memory.c */
int process_memory(const struct thaw_instance *instance, struct thaw_instance_memory *out,
		   struct thaw_error *err);

#endif
