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

#include "bench/figures.h"
#include "bench/fit.h"
#include "bench/host.h"
#include "bench/samples.h"
#include "snapshot-format/error.h"

#define THAW_BENCH_RUNS_DEFAULT	   1000u
#define THAW_BENCH_PACE_NS	   2000000u

#define THAW_BENCH_CLIENTS_DEFAULT 16u /* in invoke.c16 and its like */
#define THAW_BENCH_NOTES_MAX	   32u
#define THAW_BENCH_SERIES_MAX	   16u

/* `--peer NAME=COMMAND`: run by the shell for each request, which is its standard input. */
struct thaw_bench_peer {
	const char *name, *command;
};

struct thaw_bench_config {
	const char *name;	    /* of the function */
	int image_fd;		    /* its image; not owned */
	const char *run_dir;	    /* where a daemon may serve it */
	const char *executable_dir; /* of the running program: thawd and the peers are looked for
				       near it */
	size_t runs;		    /* 1..THAW_BENCH_RUNS_MAX samples of each light figure */
	bool closed_loop;	    /* back to back instead of paced */
	unsigned clients;	    /* 1..THAW_BENCH_CLIENTS_MAX: how many are many */
	uint64_t rate;	/* arrivals a second of the open loop; 0: half of what is sustained */
	bool scale;	/* looks at how things grow, too */
	bool all_peers; /* those, too, that want node, QEMU, criu, and are slow to start */
	const struct thaw_bench_peer *peers;
	size_t peer_count;	  /* at most THAW_BENCH_PEERS_MAX */
	const char *const *notes; /* the caller's own, for the report */
	size_t note_count;
	const void *request;
	size_t request_length;
	void *context; /* of the callbacks; each may be NULL */
	/* What is going on; a negative return ends the run. */
	int (*progress)(void *context, const char *stage, size_t done, size_t total);
	/* Why a figure is missing, and what else a reader of the figures should know: one line. */
	void (*note)(void *context, const char *text);
};

/* One thing against another, for a plot and a fit. */
struct thaw_bench_series {
	char name[48];
	const char *x, *unit; /* static: "clients", "clones", "bytes", "pages"; "ns", "bytes",
				 "per-second" */
	struct thaw_fit_point points[THAW_FIT_POINTS_MAX];
	size_t count;
	struct thaw_fit fit;
};

struct thaw_bench_result {
	struct thaw_bench_host host;
	double load_after; /* as the host's, when the run had ended */
	double steal;	   /* of the processors' time in the run, 0..1: taken by the hypervisor */
	char function[64];
	size_t runs;
	bool closed_loop;
	uint64_t pace_ns;
	uint64_t request_bytes, response_bytes;
	unsigned clients;
	uint64_t rate; /* of the open loop */
	struct thaw_bench_figure figures[THAW_BENCH_FIGURES_MAX];
	struct thaw_bench_series series[THAW_BENCH_SERIES_MAX];
	size_t series_count;
	char notes[THAW_BENCH_NOTES_MAX][320]; /* as the note callback had them */
	size_t note_count;
};

/* A new series of RESULT, or NULL when it has THAW_BENCH_SERIES_MAX. */
struct thaw_bench_series *thaw_bench_series_add(struct thaw_bench_result *result, const char *name,
						const char *x, const char *unit);
/* Adds a point; beyond THAW_FIT_POINTS_MAX, and for what is not above zero, nothing. */
void thaw_bench_series_point(struct thaw_bench_series *series, double x, double y);

/* Call from a single-threaded process, with SIGCHLD at its default. After a failure OUT has what
 * was measured until then. */
int thaw_bench_run(const struct thaw_bench_config *config, struct thaw_bench_result *out,
		   struct thaw_error *err);

#endif
