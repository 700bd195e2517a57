/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: boots, freezes, loads, thaws, runs and destroys, in the same way over every backend.
 *
 * An engine serves one image. Its life has an order that a jail needs:
 *
 *   thaw_engine_open()     while descriptors can be opened and programs started: takes from the
 *                          host what the backend needs. The caller may then enter its jail: no
 *                          exec, no file system, no new descriptors but memory files.
 *   thaw_engine_load()     or thaw_engine_boot(): the first to look at hostile input.
 *   thaw_engine_start()    from here on instances can be made.
 *   thaw_instance_*()
 *   thaw_engine_close()
 *
 * Threads: one thread calls, up to and including thaw_engine_start(). Any threads may use
 * instances, each instance one thread at a time, except that thaw_instance_kill() may come from any
 * other.
 *
 * Errors: guest misbehaviour is an outcome, never an error. A function here fails only when the
 * host does, or when it refuses an image or a program. It then returns a negative value and
 * describes the failure in ERR, which may be NULL.
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

enum thaw_backend_kind {
	THAW_BACKEND_AUTO, /* KVM where a trial guest runs, else PROCESS */
	THAW_BACKEND_KVM,
	THAW_BACKEND_PROCESS,
	/* KVM too, but a virtual machine is recycled from a whole snapshot: slowly, and trusting
	 * nothing in the guest. The fast way is tested against it. */
	THAW_BACKEND_KVM_GENERIC
};

/* Sets *OUT for "auto", "kvm", "process" or "kvm-generic"; returns -1 for any other name. */
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

/* Tries a backend for real: boots a trial guest, thaws it and sends it requests, because the
 * presence of a device node proves nothing. Appends a line to CHECKS (room for THAW_CHECKS_MAX) and
 * counts it in *COUNT. Returns 0 if the backend works here, -1 if not. Call from a single-threaded
 * process. */
int thaw_backend_probe(enum thaw_backend_kind kind, struct thaw_check *checks, size_t *count);

/* How many lines thaw_host_checks() appends. */
#define THAW_HOST_CHECKS 18

/* Tries what every backend needs of the host, and appends THAW_HOST_CHECKS lines to CHECKS, counted
 * in *COUNT. Returns 0, or -1 when one of them is THAW_CHECK_MISSING: no guest can run here. WEAKER
 * means that guests run, with less isolation or slower, as the detail says. Forks: call from a
 * single-threaded process. */
int thaw_host_checks(struct thaw_check *checks, size_t *count);

/* The CPU features that a guest sees on this host. A process asks the processor only once. Any
 * thread. */
void thaw_cpu_host(struct thaw_cpu_features *out);
/* Writes to TEXT (SIZE bytes, ended by an ellipsis if it is too small) the names of the features
 * that WANTED has and HAVE lacks, comma-separated. Returns how many there are. */
size_t thaw_cpu_missing(const struct thaw_cpu_features *wanted,
			const struct thaw_cpu_features *have, char *text, size_t size);

/* ---- Opening ---- */

/* Where the memory of a loaded image goes. */
struct thaw_load_target {
	int write_fd; /* to fill: a sparse file of THAW_REGION_END bytes on tmpfs or hugetlbfs */
	int read_fd;  /* the same file, opened read-only */
	bool filled;  /* an earlier load of this image filled the file: do not read the frames */
};

struct thaw_engine_config {
	enum thaw_backend_kind backend;
	unsigned max_instances;	 /* alive at one time; 1..THAW_INSTANCES_MAX */
	unsigned load_threads;	 /* 0: one for each online CPU */
	bool no_uring;		 /* read image files with plain reads */
	bool record_working_set; /* will boot, and record the working set (see thaw_boot_config) */
	bool no_working_set;	 /* instances do not prefault the image's working set */
	/* Copied; the descriptors are not owned and must stay open until thaw_engine_start() has
	 * returned. NULL: a memory file of the engine's own, which is sealed once it is loaded. */
	const struct thaw_load_target *target;
	/* The result of thaw_kvm_device(), for a caller that has since lost sight of the file
	 * system; not owned. NULL: the engine opens the device, if it needs it. */
	const int *kvm_fd;
	/* A procfs of the caller's PID namespace, through which the process backend recycles spent
	 * instances; not owned. -1: there is none, and spent instances are destroyed. NULL: the
	 * engine opens /proc, if there is one. */
	const int *proc_fd;
};

#define THAW_INSTANCES_MAX 16384u

/* Opens the KVM backend's device, for a caller that will open its engine in a jail. Returns the
 * descriptor, which the caller owns, or -errno. */
int thaw_kvm_device(void);

/* Call from a single-threaded process: the backend may fork. */
int thaw_engine_open(const struct thaw_engine_config *config, struct thaw_engine **out,
		     struct thaw_error *err);
/* Every instance must have been destroyed. Ends each thaw_engine_wait_failure() under way and waits
 * until it has returned; no other call may be under way. NULL is fine. */
void thaw_engine_close(struct thaw_engine *engine);
enum thaw_backend_kind thaw_engine_backend(const struct thaw_engine *engine);

/* ---- An image from a file ---- */

/*
 * Reads IMAGE_FD, checks that the image can run here (THAW_ERR_IMAGE with what is missing) and
 * loads its memory: all of it, or, where the backend can run instances without the rest, the
 * working set. Threads of the engine then bring the rest. IMAGE_FD is not owned; close it when
 * thaw_engine_await_loaded() has returned, or the engine is closed.
 */
int thaw_engine_load(struct thaw_engine *engine, int image_fd, struct thaw_error *err);
/* Waits until all of the image's memory is there: for callers that measure, or want to close the
 * image's file. Instances need no such wait. */
int thaw_engine_await_loaded(struct thaw_engine *engine, struct thaw_error *err);
/* Of the loaded or booted image, valid until the engine is closed; NULL while there is none. */
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
	int program_fd;	     /* the ELF file, which is read here; not owned; -1: the Linux core */
	/* NULL: none. With a tree, the memory size grows by what the guest needs beside its
	 * program: the tree, the program file, the first stack and THAW_BOOT_STACK. */
	const struct thaw_boot_tree *tree;
	char *const *args;	  /* NULL-terminated, args[0] first */
	char *const *env;	  /* NULL-terminated "KEY=VALUE" */
	uint64_t memory_size;	  /* bytes, page multiple */
	uint64_t timeout_ns;	  /* the function's default deadline, for the record */
	uint64_t boot_timeout_ns; /* until the ready point; 0: none */
	const char *cpu_level;	  /* "x86-64-v2", "x86-64-v3", "host", or NULL for the default */
	/* Requests to serve before the capture; none with a tree, because a Linux program may end
	 * after one. Either way, where the engine was opened to record the working set, clones run
	 * the first THAW_RECORD_MAX of them afterwards, or an empty request where there is none. */
	const struct thaw_buffer_view *warm;
	size_t warm_count;
	void *context; /* of the callbacks; each may be NULL */
	void (*progress)(void *context, enum thaw_boot_stage stage, uint64_t done, uint64_t total);
	void (*log)(void *context, const char *line, size_t length);
	/* Something that the person who freezes should know. */
	void (*notice)(void *context, const char *text);
};

#define THAW_RECORD_MAX 16u
#define THAW_BOOT_STACK 0x800000u /* a Linux program's stack */

/* Boots the program to its ready point, serves the warm requests and keeps the memory.
 * THAW_ERR_FAILURE with the reason: the program is refused, or it ends, faults or outgrows its
 * memory before its ready point. THAW_ERR_DEADLINE: the boot takes too long. */
int thaw_engine_boot(struct thaw_engine *engine, const struct thaw_boot_config *config,
		     struct thaw_error *err);

/* Writes the booted image (not a loaded one) to FD, an empty regular file; arguments as for
 * thaw_image_write(). A jailed caller has nothing but the descriptor; the process that opened it
 * makes the file durable and names it. */
int thaw_engine_write(struct thaw_engine *engine, int fd, unsigned threads,
		      void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		      struct thaw_image_sizes *sizes, struct thaw_error *err);

/* ---- Instances ---- */

/* Makes the engine ready to make instances of its image. After a boot this starts a program anew,
 * so a caller that boots and then starts does both before it seals its jail. */
int thaw_engine_start(struct thaw_engine *engine, struct thaw_error *err);

/* Blocks until the engine can make no more instances, because a part of it died or because another
 * thread closes the engine. Says why; always negative. For a supervising thread. */
int thaw_engine_wait_failure(struct thaw_engine *engine, struct thaw_error *err);

/* Orders a fresh instance and returns at once; the backend makes it off the caller's path. The
 * caller may run it before it is ready: the run then waits for it. Fails with THAW_ERR_ENGINE when
 * max_instances are alive. */
int thaw_instance_create(struct thaw_engine *engine, struct thaw_instance **out,
			 struct thaw_error *err);
bool thaw_instance_ready(const struct thaw_instance *instance);
/* Whether this instance is cheapest to run on the processor of the calling thread: a hint, right
 * only at this moment. */
bool thaw_instance_near(const struct thaw_instance *instance);

/* THAW_OUTCOMES(X): X(name, exit code for the caller's program, text). Exit code -1: it depends on
 * the guest; for crashed it is 128 + the signal, for finished and exited the guest's own. */
/* clang-format off */
#define THAW_OUTCOMES(X)                                                                           \
	X(finished,   -1, "finished")                                                              \
	X(exited,     -1, "the function ended its instance with exit()")                           \
	X(crashed,    -1, "the function crashed")                                                  \
	X(aborted,   134, "the function aborted")                   /* 128 + SIGABRT */            \
	X(violation, 159, "the function broke the guest ABI")       /* 128 + SIGSYS */             \
	X(too_much,  153, "the response is larger than the limit")  /* 128 + SIGXFSZ */            \
	X(deadline,  124, "the deadline passed")                                                   \
	X(cancelled, 125, "the invocation was cancelled")                                          \
	X(lost,      125, "the instance could not be made")
/* clang-format on */

#define THAW_ENUM_OUTCOME(name, code, text) THAW_OUTCOME_##name,
enum thaw_outcome_kind { THAW_OUTCOMES(THAW_ENUM_OUTCOME) THAW_OUTCOME_COUNT };

const char *thaw_outcome_name(enum thaw_outcome_kind kind); /* "finished", ... */

struct thaw_outcome {
	enum thaw_outcome_kind kind;
	int exit_code;	   /* what the caller's program should end with */
	uint64_t run_ns;   /* from the hand-over to the guest until it was done */
	char message[256]; /* one clean line; empty when finished with code 0 */
	bool has_fault;
	struct thaw_fault fault; /* only if has_fault; as the guest's shim described it */
};

/* A run is slow after the first, and very slow after the second. */
#define THAW_SLOW_NS	  200000u
#define THAW_VERY_SLOW_NS 1000000u

struct thaw_run {
	const void *request;
	size_t request_length;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; 0: none */
	uint64_t response_max;
	void *context;
	/* The next piece of the response; the bytes are valid during the call. In all, never more
	 * than response_max. May be NULL. */
	void (*respond)(void *context, const void *bytes, size_t length);
	/* A log line of unchecked bytes. Returns 0, or THAW_EAGAIN when the line was dropped
	 * because there were too many. May be NULL. */
	int (*log)(void *context, const char *line, size_t length);
	/* Called once the guest has the request, before the thread waits for it; may be NULL. */
	void (*handed_over)(void *context);
	/* Called once the guest has held the thread for THAW_SLOW_NS or a little more, and again,
	 * with VERY, for THAW_VERY_SLOW_NS; not where the thread itself runs the guest. May be
	 * NULL. */
	void (*slow)(void *context, bool very);
};

/* Runs one invocation to its end on the calling thread. Whatever the outcome, the instance is then
 * spent. */
void thaw_instance_run(struct thaw_instance *instance, const struct thaw_run *run,
		       struct thaw_outcome *outcome);

/* Does now what a fresh instance's first run would have to do before it gets to the request.
 * Returns false when the instance is not made yet, so that there is more to do later. */
bool thaw_instance_prepare(struct thaw_instance *instance);
/* Whether thaw_instance_prepare() has nothing left to do. */
bool thaw_instance_prepared(const struct thaw_instance *instance);

/* Recycles a spent instance: makes it fresh again, indistinguishable from a new one. To be called
 * off the path of the answer, and not on an instance that was killed. Returns false when this
 * backend cannot, or cannot after such an outcome: destroy the instance then. */
bool thaw_instance_recycle(struct thaw_instance *instance);

/* Ends a run under way in another thread, or one yet to come, with the outcome `cancelled`. Any
 * thread, until the instance is destroyed. */
void thaw_instance_kill(struct thaw_instance *instance);

/* Gives up an instance, fresh or spent; its memory is freed before this returns or soon after.
 * Cheap. NULL is fine. */
void thaw_instance_destroy(struct thaw_instance *instance);

/* The memory of one instance, for measuring. */
struct thaw_instance_memory {
	uint64_t private_bytes;	   /* its own pages */
	uint64_t page_table_bytes; /* its own page tables */
	int pid; /* process backend: its process, in the caller's PID namespace; else 0 */
};
int thaw_instance_get_memory(const struct thaw_instance *instance, struct thaw_instance_memory *out,
			     struct thaw_error *err);

#endif
