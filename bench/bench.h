/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One benchmark of one function: every figure in one run, interleaved (bench/schedule.h).
 * docs/benchmarks.md says what each figure is; bench/report.h prints the result.
 */
#ifndef THAW_BENCH_BENCH_H
#define THAW_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/host.h"
#include "bench/samples.h"
#include "snapshot-format/error.h"

#define THAW_BENCH_RUNS_DEFAULT 1000u
#define THAW_BENCH_PACE_NS	2000000u

/* THAW_BENCH_FIGURES(X): X(identifier, name, unit, what it is). In the order of every report. */
#define THAW_BENCH_FIGURES(X)                                                                      \
	X(cold, "cold", "ns", "start, load, boot, first response")                                 \
	X(disk, "thaw.disk", "ns", "image file to first response")                                 \
	X(memory, "thaw.memory", "ns", "loaded image to first response")                           \
	X(pool, "thaw.pool", "ns", "ready instance to response")                                   \
	X(invoke, "invoke", "ns", "whole invocation, by name")                                     \
	X(worker, "invoke.worker", "ns", "of that, in the worker")                                 \
	X(run, "invoke.run", "ns", "of that, in the guest and to it")                              \
	X(echo, "limit.unix-echo", "ns", "bare AF_UNIX echo")                                      \
	X(spawn, "peer.spawn", "ns", "the same program, a process each")                           \
	X(idle, "memory.idle-clone", "bytes", "an idle clone, system-wide")                        \
	X(idle_rss, "memory.idle-clone.rss", "bytes", "an idle clone, pages and tables")

#define THAW_ENUM_FIGURE(identifier, name, unit, what) THAW_FIGURE_##identifier,
enum thaw_figure { THAW_BENCH_FIGURES(THAW_ENUM_FIGURE) THAW_FIGURE_COUNT };

const char *thaw_figure_name(enum thaw_figure figure);
const char *thaw_figure_unit(enum thaw_figure figure);
const char *thaw_figure_text(enum thaw_figure figure);

struct thaw_bench_config {
	const char *name;	    /* of the function */
	int image_fd;		    /* its image; not owned */
	const char *run_dir;	    /* where a daemon may serve it */
	const char *executable_dir; /* of the running program: thawd and the peers are looked for
				       near it */
	size_t runs;		    /* 1..THAW_BENCH_RUNS_MAX samples of each light figure */
	bool closed_loop;	    /* back to back instead of paced */
	const void *request;
	size_t request_length;
	void *context; /* of the callbacks; each may be NULL */
	/* What is going on; a negative return ends the run. */
	int (*progress)(void *context, const char *stage, size_t done, size_t total);
	/* Why a figure is missing, and what else a reader of the figures should know: one line. */
	void (*note)(void *context, const char *text);
};

struct thaw_bench_result {
	struct thaw_bench_host host;
	char function[64];
	size_t runs;
	bool closed_loop;
	uint64_t pace_ns;
	uint64_t request_bytes, response_bytes;
	struct thaw_percentiles figures[THAW_FIGURE_COUNT]; /* a count of 0: absent */
};

/* Call from a single-threaded process, with SIGCHLD at its default. */
int thaw_bench_run(const struct thaw_bench_config *config, struct thaw_bench_result *out,
		   struct thaw_error *err);

#endif
