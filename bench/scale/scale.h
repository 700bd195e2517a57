/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How cost grows: with the number of clones, the size of the image, and the pages that are written.
 * Adds these series to the result, each with its fit:
 *
 *   instantiate.clones     ns until N clones that are ordered at once are all ready
 *   memory.idle-clone      bytes for each of N idle clones beside others that stand, system-wide,
 *                          from ten on: of one, what else happens on the machine is as large
 *   memory.idle-clone.rss  the same, its own pages and tables alone
 *   instantiate.image      ns from an order to the response, by the bytes of the image
 *   run.pages              ns of an invocation that writes so many pages of its image
 *
 * All points of a series are taken in turns. The last two are of a guest of their own,
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
	bool is_kvm; /* fewer and smaller: a machine costs more than a process */
	int (*progress)(void *context, const char *what, size_t done, size_t total,
			struct thaw_error *err);
	void *context;
};

/* Fails when interrupted; a series that cannot be had is a note. */
int thaw_scale_run(const struct thaw_scale *scale, struct thaw_error *err);

/* Boots PROGRAM with one argument in a jailed child and writes its image to a file without a name;
 * the descriptor, or -1. MEMORY bytes are its limit. */
int thaw_scale_freeze(const char *program, const char *argument, uint64_t memory,
		      struct thaw_error *err);

#endif
