/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How cost grows: with the number of clones, with the size of the image, and with the pages
 * written. Adds these series to the result, each with its fit:
 *
 *   instantiate.clones     ns until N clones, ordered at once, are all ready
 *   memory.idle-clone      bytes for each of N idle clones beside others that stand, system-wide;
 *                          from ten on: other activity on the machine is as large as one clone
 *   memory.idle-clone.rss  the same, for its own pages and tables alone
 *   instantiate.image      ns from an order to the response, by the bytes of the image
 *   run.pages              ns of an invocation, by the pages of its image that it writes
 *
 * All points of a series are taken in turns. The last two series use a guest of their own,
 * bench/scale/ballast.c.
 */
#ifndef THAW_BENCH_SCALE_H
#define THAW_BENCH_SCALE_H

#include <stdbool.h>

#include "bench/base/config.h"
#include "bench/base/result.h"
#include "bench/function/measurer.h"

struct thaw_scale {
	const struct thaw_bench_config *config;
	const struct thaw_bench_function *function;
	struct thaw_bench_result *result;
	bool is_kvm; /* fewer and smaller points: a machine costs more than a process */
	int (*progress)(void *context, const char *what, size_t done, size_t total,
			struct thaw_error *err);
	void *context;
};

/* Fails when interrupted. A series that cannot be measured becomes a note. */
int thaw_scale_run(const struct thaw_scale *scale, struct thaw_error *err);

/* Boots PROGRAM with one argument in a jailed child, with a limit of MEMORY bytes, and writes its
 * image to a file without a name. Returns the descriptor, or -1. */
int thaw_scale_freeze(const char *program, const char *argument, uint64_t memory,
		      struct thaw_error *err);

#endif
