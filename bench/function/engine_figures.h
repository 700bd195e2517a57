/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of the engine alone, taken in the jailed child (bench/function/measurer.h). Each one
 * times:
 *
 *   cold           opening the backend, loading the ELF file, the boot to the ready point, the
 *                  first response: an invocation without an image. Nothing is written to disk.
 *   thaw.disk      opening the backend, reading the image file (in the page cache after the
 *                  first time), the first response.
 *   thaw.memory    a new instance of a loaded image, ordered and run at once, to its response.
 *   thaw.shell     the same, where the backend makes machines ahead (KVM).
 *   thaw.pool      running an instance that stands ready, to its response.
 *   thaw.recycled  running an instance that has run before and was recycled; absent where the
 *                  backend destroys spent instances.
 *
 * Destroying is never in the time: the worker does it off the path too.
 */
#ifndef THAW_BENCH_ENGINE_FIGURES_H
#define THAW_BENCH_ENGINE_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

/* The function under test. Everything it points to outlives the run. */
struct thaw_bench_function {
	const char *name;
	int image_fd;
	int program_fd; /* the program file that the image names; -1: none, and no COLD */
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
	THAW_MEASURE_CLONES_MORE, /* the same, beside the clones that exist already */
	THAW_MEASURE_CLONES_RUN,  /* each of them answers once and stays */
	THAW_MEASURE_CLONES_DROP  /* all of them */
};

/* The stages of COLD and DISK, in this order, and the stage after RECYCLED. */
enum thaw_measured_stage {
	THAW_STAGE_CREATE,  /* the backend */
	THAW_STAGE_LOAD,    /* the program, or the image */
	THAW_STAGE_BOOT,    /* to the ready point; COLD alone */
	THAW_STAGE_ANSWER,  /* the first clone, to the first response */
	THAW_STAGE_RECYCLE, /* RECYCLED alone: recycling the instance, which is not in its time */
	THAW_STAGES
};

#define THAW_BENCH_RESPONSE_MAX (UINT64_C(64) << 20)
#define THAW_BENCH_CLONES	512u  /* idle at one time, in an ordinary run */
#define THAW_BENCH_CLONES_MAX	5000u /* in a run that measures how costs grow, */
#define THAW_BENCH_CLONES_BASE	256u  /* beside this many others */

struct thaw_measured {
	uint64_t value; /* ns, or bytes */
	uint64_t stage_ns[THAW_STAGES];
	uint64_t response_length;
	int32_t exit_code; /* of the function */
	enum thaw_backend_kind backend;
};

/* The image's description of its program. Hostile, like all of an image: text to show, open or
 * pass on with the caller's rights, and nothing more. */
struct thaw_bench_program {
	char path[4096];
	char args[16384]; /* ARG_COUNT strings, contiguous, each with its NUL */
	uint32_t arg_count;
};
#define THAW_BENCH_ARGS_MAX 256u

struct thaw_engine_figures;

/* Parses the image: call in a jail. KVM_FD is the result of thaw_kvm_device(), called outside of
 * it. */
int thaw_engine_figures_open(const struct thaw_bench_function *function, int kvm_fd,
			     struct thaw_engine_figures **out, struct thaw_error *err);
void thaw_engine_figures_close(struct thaw_engine_figures *figures); /* NULL is fine */

/* Fails when the path or the arguments do not fit in OUT. */
int thaw_engine_figures_describe(const struct thaw_engine_figures *figures,
				 struct thaw_bench_program *out, struct thaw_error *err);

/* Takes one measurement. COLD and DISK open an engine of their own, which must be the only one in
 * its process; the others share one that stays open. An invocation that does not finish is an
 * error. */
int thaw_engine_figures_take(struct thaw_engine_figures *figures, enum thaw_measurement what,
			     uint64_t argument, struct thaw_measured *out, struct thaw_error *err);

#endif
