/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: boot, freeze, load, thaw, run, destroy, the same over every backend.
 *
 * An engine serves one image. Its life has an order that a jail needs:
 *   thaw_engine_open()   while descriptors can be opened and programs started: takes what the
 * backend needs of the host (the caller may now close its jail: no exec, no file system, no new
 * descriptors but memory files) thaw_engine_load()   or thaw_engine_boot(): hostile input is first
 * looked at here thaw_engine_start()  from here instances can be made thaw_instance_*()
 *   thaw_engine_close()
 * Up to and including thaw_engine_start() one thread calls; instances may be used by any threads,
 * each instance by one at a time, but for thaw_instance_kill(). Guest misbehaviour is an outcome,
 * never an error: a function here fails only when the host does, or when an image or a program is
 * refused.
 */
#ifndef THAW_ENGINE_H
#define THAW_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/error.h"
#include "snapshot-format/image.h"

struct thaw_engine;
struct thaw_instance;

/* KVM_GENERIC: virtual machines that are put back from a whole snapshot, slowly, trusting nothing
 * in the guest: what the fast way is tested against. AUTO: KVM where a trial guest runs, else
 * PROCESS.
 */
enum thaw_backend_kind {
	THAW_BACKEND_AUTO,
	THAW_BACKEND_KVM,
	THAW_BACKEND_PROCESS,
	THAW_BACKEND_KVM_GENERIC
};

/* "auto", "kvm", "process", "kvm-generic"; -1 for anything else. */
int thaw_backend_from_name(const char *name, enum thaw_backend_kind *out);
const char *thaw_backend_name(enum thaw_backend_kind kind);

/* ---- The host ---- */

/* One line of `thaw doctor`. */
struct thaw_check {
	const char *name; /* static: "seccomp", "user namespaces", ... */
	enum { THAW_CHECK_OK, THAW_CHECK_WEAKER, THAW_CHECK_MISSING } state;
	char detail[256]; /* what was found, and what to do when it is missing */
};
#define THAW_CHECKS_MAX 24

/* Tries a backend for real: a trial guest is booted, thawed and asked; the presence of a device
 * node would tell nothing. Appends a line to CHECKS (room for THAW_CHECKS_MAX) and counts it in
 * *COUNT. Returns 0 if the backend works here, -1 if not. Call from a single-threaded process. */
int thaw_backend_probe(enum thaw_backend_kind kind, struct thaw_check *checks, size_t *count);

/* How many lines thaw_host_checks() appends. */
#define THAW_HOST_CHECKS 18

/* Tries what every backend needs of the host, and appends THAW_HOST_CHECKS lines to CHECKS, counted
 * in *COUNT. Returns 0, or -1 when one of them is THAW_CHECK_MISSING: no guest can run here. WEAKER
 * means that guests run, with less isolation or slower, as the detail says. Forks: call from a
 * single-threaded process. */
int thaw_host_checks(struct thaw_check *checks, size_t *count);

/* CPU features as a guest sees them on this host. Asked of the processor once in a process. */
void thaw_cpu_host(struct thaw_cpu_features *out);
/* Writes the names of the features that WANTED has and HAVE lacks to TEXT, comma-separated; returns
 * how many. */
size_t thaw_cpu_missing(const struct thaw_cpu_features *wanted,
			const struct thaw_cpu_features *have, char *text, size_t size);

/* ---- Opening ---- */

/* Where the memory of a loaded image goes. */
struct thaw_load_target {
	int write_fd; /* a file to fill: on tmpfs or hugetlbfs, THAW_REGION_END bytes long, sparse
		       */
	int read_fd;  /* the same file, opened read-only */
	bool filled;  /* the file was filled by an earlier load of this same image: do not read the
			 frames */
};

struct thaw_engine_config {
	enum thaw_backend_kind backend;
	unsigned max_instances;	 /* alive at one time; 1..THAW_INSTANCES_MAX */
	unsigned load_threads;	 /* 0: one for each online CPU */
	bool no_uring;		 /* read image files with plain reads */
	bool record_working_set; /* will boot, and record the working set (see thaw_boot_config) */
	bool no_working_set;	 /* instances do not prefault the image's working set */
	/* NULL: a memory file of the engine's own, sealed once loaded. Else copied; the descriptors
	 * are not owned and must stay open until thaw_engine_start() returned. */
	const struct thaw_load_target *target;
	/* What thaw_kvm_device() gave before the caller lost sight of the file system; not owned.
	 * NULL: the engine opens it, if it wants it. */
	const int *kvm_fd;
	/* A procfs of the caller's PID namespace, for the process backend to put spent instances
	 * back; -1: there is none, and they are destroyed. Not owned. NULL: the engine opens /proc,
	 * if it finds it. */
	const int *proc_fd;
};

/* The KVM backend's device, for a caller that will open its engine in a jail; or -errno. */
int thaw_kvm_device(void);
#define THAW_INSTANCES_MAX 16384u

/* Call from a single-threaded process: the backend may fork. */
int thaw_engine_open(const struct thaw_engine_config *config, struct thaw_engine **out,
		     struct thaw_error *err);
void thaw_engine_close(
	struct thaw_engine *engine); /* NULL is fine; every instance must have been destroyed */
enum thaw_backend_kind thaw_engine_backend(const struct thaw_engine *engine);

/* ---- An image from a file ---- */

/*
 * Reads IMAGE_FD (not owned; to be closed when thaw_engine_await_loaded() has returned, or the
 * engine is closed), checks that it can run here (THAW_ERR_IMAGE with what is missing) and loads
 * its memory: all of it, or, where instances can do with that, what an invocation is known to
 * touch; the rest follows on threads of the engine.
 */
int thaw_engine_load(struct thaw_engine *engine, int image_fd, struct thaw_error *err);
/* Waits until all of the image's memory is there: for who measures, or wants to close the file.
 * Instances need no such wait. */
int thaw_engine_await_loaded(struct thaw_engine *engine, struct thaw_error *err);
/* Of the loaded or booted image; valid until the engine is closed. */
const struct thaw_image_meta *thaw_engine_meta(const struct thaw_engine *engine);
void thaw_engine_sizes(const struct thaw_engine *engine, struct thaw_image_sizes *out);

/* ---- An image from a boot ---- */

enum thaw_boot_stage { THAW_BOOT_LOAD, THAW_BOOT_RUN, THAW_BOOT_WARM, THAW_BOOT_CAPTURE };

struct thaw_buffer_view {
	const void *bytes;
	size_t length;
};

/* Files for the guest: mapped read-only at THAW_TREE_BASE, and part of the image. */
struct thaw_boot_tree {
	int fd; /* a memory file, not owned; read while booting */
	uint64_t size;
};

struct thaw_boot_config {
	const char *name;    /* the function's name, checked by the caller */
	const char *program; /* its path, for the record and for messages */
	int program_fd;	     /* the ELF file, read here; not owned; -1: the Linux core */
	/* NULL: none. With one, what the guest needs beside its program (tree, program file, first
	 * stack, THAW_BOOT_STACK) is added to the memory size. */
	const struct thaw_boot_tree *tree;
	char *const *args;	  /* NULL-terminated, args[0] first */
	char *const *env;	  /* NULL-terminated "KEY=VALUE" */
	uint64_t memory_size;	  /* bytes, page multiple */
	uint64_t timeout_ns;	  /* the function's default deadline, for the record */
	uint64_t boot_timeout_ns; /* until the ready point; 0: none */
	const char *cpu_level;	  /* "x86-64-v2", "x86-64-v3", "host", or NULL for the default */
	/* Requests to serve before the capture. With a tree none is: a Linux program may end after
	 * one. Either way, where the engine was opened to record the working set, clones run the
	 * first THAW_RECORD_MAX of them afterwards, or an empty request where there is none. */
	const struct thaw_buffer_view *warm;
	size_t warm_count;
	void *context; /* of the callbacks; each may be NULL */
	void (*progress)(void *context, enum thaw_boot_stage stage, uint64_t done, uint64_t total);
	void (*log)(void *context, const char *line, size_t length);
	void (*notice)(void *context,
		       const char *text); /* something the person who freezes should know */
};

#define THAW_RECORD_MAX 16u
#define THAW_BOOT_STACK 0x800000u /* a Linux program's stack */

/* Boots the program to its ready point, serves the warm requests and keeps the memory. A program
 * that is refused, that ends or faults before its ready point, or outgrows its memory is
 * THAW_ERR_FAILURE with the reason; a boot that takes too long is THAW_ERR_DEADLINE. */
int thaw_engine_boot(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     struct thaw_error *err);

/* Writes the booted image (not one that was loaded) to FD, an empty regular file; arguments as
 * thaw_image_write(). A jailed caller has the descriptor alone; who gave it makes the file durable
 * and gives it its name. */
int thaw_engine_write(struct thaw_engine *engine, int fd, unsigned threads,
		      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		      struct thaw_image_sizes *sizes, struct thaw_error *err);

/* ---- Instances ---- */

/* Makes the engine ready to instantiate its image. After a boot this starts a program anew, so a
 * caller that boots and then starts does both outside its jail's seal. */
int thaw_engine_start(struct thaw_engine *engine, struct thaw_error *err);

/* Blocks until the engine can make no more instances (a part of it died, or thaw_engine_close() in
 * another thread is not allowed: close after this returned), and says why; always negative. For a
 * supervising thread. */
int thaw_engine_wait_failure(struct thaw_engine *engine, struct thaw_error *err);

/* Orders a fresh instance and returns at once; it is made off the caller's path. Fails with
 * THAW_ERR_ENGINE when max_instances are alive. It may be run before it is ready: the run then
 * waits for it. */
int thaw_instance_create(struct thaw_engine *engine, struct thaw_instance **out,
			 struct thaw_error *err);
bool thaw_instance_ready(const struct thaw_instance *instance);
/* True when the calling thread is where this instance is cheapest to run: a hint, right only at
 * this moment. */
bool thaw_instance_near(const struct thaw_instance *instance);

/* THAW_OUTCOMES(X): X(name, exit code for the caller, what is said). An exit code of -1: the
 * guest's own. */
#define THAW_OUTCOMES(X)                                                                           \
	X(finished, -1, "finished")                                                                \
	X(exited, -1, "the function ended its instance with exit()")                               \
	X(crashed, -1, "the function crashed")			  /* 128 + signal */               \
	X(aborted, 134, "the function aborted")			  /* 128 + SIGABRT */              \
	X(violation, 159, "the function broke the guest ABI")	  /* 128 + SIGSYS */               \
	X(too_much, 153, "the response is larger than the limit") /* 128 + SIGXFSZ */              \
	X(deadline, 124, "the deadline passed")                                                    \
	X(cancelled, 125, "the invocation was cancelled")                                          \
	X(lost, 125, "the instance could not be made")

#define THAW_ENUM_OUTCOME(name, code, text) THAW_OUTCOME_##name,
enum thaw_outcome_kind { THAW_OUTCOMES(THAW_ENUM_OUTCOME) THAW_OUTCOME_COUNT };

const char *thaw_outcome_name(enum thaw_outcome_kind kind); /* "finished", ... */

struct thaw_outcome {
	enum thaw_outcome_kind kind;
	int exit_code;	   /* what the caller's program should end with */
	uint64_t run_ns;   /* from the hand-over to the guest until it was done */
	char message[256]; /* one clean line; empty when finished with code 0 */
	bool has_fault;
	struct thaw_fault fault; /* as the guest's shim told it */
};

/* After the first a guest takes its time, after the second a long time. */
#define THAW_SLOW_NS	  200000u
#define THAW_VERY_SLOW_NS 1000000u

struct thaw_run {
	const void *request;
	size_t request_length;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; 0: none */
	uint64_t response_max;
	void *context;
	/* The next piece of the response; the bytes are valid during the call. Never more than
	 * response_max in all. */
	void (*respond)(void *context, const void *bytes, size_t length);
	/* A log line, unchecked bytes. Returns 0, or THAW_EAGAIN when it was dropped for its rate.
	 */
	int (*log)(void *context, const char *line, size_t length);
	/* Called once the guest has the request and before the thread waits for it; may be NULL. */
	void (*handed_over)(void *context);
	/* Called once if the guest has held the thread for THAW_SLOW_NS or a little more, and once,
	 * with VERY, for THAW_VERY_SLOW_NS, where the thread is not in the guest itself; may be
	 * NULL. */
	void (*slow)(void *context, bool very);
};

/* Runs one invocation to its end on the calling thread. The instance is then spent, whatever the
 * outcome. */
void thaw_instance_run(struct thaw_instance *instance, const struct thaw_run *run,
		       struct thaw_outcome *outcome);

/* Whether nothing is left for thaw_instance_prepare() to do. */
bool thaw_instance_prepared(const struct thaw_instance *instance);
/* Does now, on the calling thread, what a fresh instance's first run would have to do before it
 * gets to the request. False: it is not made yet, and there is more to do later. */
bool thaw_instance_prepare(struct thaw_instance *instance);

/* Makes a spent instance fresh again, indistinguishable from a new one; off the path of the answer.
 * False: it cannot be, for this backend or after such an outcome, and is to be destroyed. Not on an
 * instance that was killed. */
bool thaw_instance_recycle(struct thaw_instance *instance);

/* Ends a run under way in another thread (outcome `cancelled`), or one yet to come. Any thread,
 * until destroy. */
void thaw_instance_kill(struct thaw_instance *instance);

/* Gives the instance up, fresh or spent; its memory is gone when this returns or soon after. NULL
 * is fine. Cheap. */
void thaw_instance_destroy(struct thaw_instance *instance);

/* What an instance holds, for measuring: private bytes with page tables, and the process or 0. */
struct thaw_instance_memory {
	uint64_t private_bytes;	   /* its own pages */
	uint64_t page_table_bytes; /* its own page tables */
	int pid;		   /* process backend: in the caller's PID namespace */
};
int thaw_instance_get_memory(const struct thaw_instance *instance, struct thaw_instance_memory *out,
			     struct thaw_error *err);

#endif
