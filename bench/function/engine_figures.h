/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of the engine alone, as they are taken in the jailed child (see bench/function/measurer.h).
 * What each one times:
 *
 *   cold         opening the backend, loading the ELF file, the boot to the ready point, the
 *                first response: an invocation without an image. Nothing is captured to disk.
 *   thaw.disk    opening the backend, reading the image file (in the page cache after the first
 *                time), the first response.
 *   thaw.memory  a new instance of a loaded image, ordered and run at once, to its response.
 *   thaw.shell   the same, where the backend has machines made ahead (KVM).
 *   thaw.pool    running an instance that stands ready, to its response.
 *   thaw.recycled  running an instance that has run before and was put back; absent where the
 *                backend destroys what is spent.
 *
 * Destroying what was made is never in the time: it happens off the path in the worker too.
 */
#ifndef THAW_BENCH_ENGINE_FIGURES_H
#define THAW_BENCH_ENGINE_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

/* The function under test. Everything outlives the run. */
struct thaw_bench_function {
	const char *name;
	int image_fd;
	int program_fd; /* the program file that the image names; -1: none, and no `cold` */
	const void *request;
	size_t request_length;
	unsigned clones_max; /* 0: THAW_BENCH_CLONES */
};

enum thaw_measurement {
	THAW_MEASURE_COLD,
	THAW_MEASURE_DISK,
	THAW_MEASURE_MEMORY,
	THAW_MEASURE_POOL,
	THAW_MEASURE_RECYCLED,
	THAW_MEASURE_CLONES_MAKE, /* argument: how many idle clones to make and wait for */
	THAW_MEASURE_CLONES_MORE, /* the same beside those that are there already */
	THAW_MEASURE_CLONES_RUN,  /* each of them answers once, and stays */
	THAW_MEASURE_CLONES_DROP  /* all of them */
};

/* What the time of COLD and DISK is made of, in this order; what RECYCLED adds to it. */
enum thaw_measured_stage {
	THAW_STAGE_CREATE,  /* the backend */
	THAW_STAGE_LOAD,    /* the program, or the image */
	THAW_STAGE_BOOT,    /* to the ready point; COLD alone */
	THAW_STAGE_ANSWER,  /* the first clone, to the first response */
	THAW_STAGE_RECYCLE, /* RECYCLED alone: putting the instance back, which is not in its time
			     */
	THAW_STAGES
};

#define THAW_BENCH_RESPONSE_MAX (UINT64_C(64) << 20)
#define THAW_BENCH_CLONES	512u  /* idle at one time, in an ordinary run */
#define THAW_BENCH_CLONES_MAX	5000u /* and in one that looks at how things grow, */
#define THAW_BENCH_CLONES_BASE	256u  /* beside so many */

struct thaw_measured {
	uint64_t value; /* ns, or bytes */
	uint64_t stage_ns[THAW_STAGES];
	uint64_t response_length;
	int32_t exit_code; /* of the function */
	enum thaw_backend_kind backend;
};

/* What the image says of its program. Hostile, like all of it: words to be shown, opened or handed
 * on with the rights of the caller, nothing more. */
struct thaw_bench_program {
	char path[4096];
	char args[16384]; /* ARG_COUNT strings one after the other, each with its NUL */
	uint32_t arg_count;
};
#define THAW_BENCH_ARGS_MAX 256u

struct thaw_engine_figures;

/* Looks inside the image: call in a jail. KVM_FD is what thaw_kvm_device() gave outside of it. */
int thaw_engine_figures_open(const struct thaw_bench_function *function, int kvm_fd,
			     struct thaw_engine_figures **out, struct thaw_error *err);
void thaw_engine_figures_close(struct thaw_engine_figures *figures); /* NULL is fine */

/* Fails when the path or the arguments are longer than OUT has room for. */
int thaw_engine_figures_describe(const struct thaw_engine_figures *figures,
				 struct thaw_bench_program *out, struct thaw_error *err);

/* Takes one measurement. COLD and DISK open an engine of their own, which must be the only one in
 * its process; the others share one that stays. An invocation that does not finish is an error. */
int thaw_engine_figures_take(struct thaw_engine_figures *figures, enum thaw_measurement what,
			     uint64_t argument, struct thaw_measured *out, struct thaw_error *err);

#endif
