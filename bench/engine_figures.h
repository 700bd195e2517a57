/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures of the engine alone, as they are taken in the jailed child (see bench/measurer.h).
 * What each one times:
 *
 *   cold         opening the backend, loading the ELF file, the boot to the ready point, the
 *                first response: an invocation without an image. Nothing is captured to disk.
 *   thaw.disk    opening the backend, reading the image file (in the page cache after the first
 *                time), the first response.
 *   thaw.memory  a new instance of a loaded image, ordered and run at once, to its response.
 *   thaw.pool    running an instance that stands ready, to its response.
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
};

enum thaw_measurement {
	THAW_MEASURE_COLD,
	THAW_MEASURE_DISK,
	THAW_MEASURE_MEMORY,
	THAW_MEASURE_POOL,
	THAW_MEASURE_CLONES_MAKE, /* argument: how many idle clones to make and wait for */
	THAW_MEASURE_CLONES_DROP  /* all of them */
};

#define THAW_BENCH_RESPONSE_MAX (UINT64_C(64) << 20)
#define THAW_BENCH_CLONES	512u /* idle at one time, at most */

struct thaw_measured {
	uint64_t value; /* ns, or bytes */
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
