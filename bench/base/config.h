/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller asks of a run. bench/bench.h runs it. */
#ifndef THAW_BENCH_CONFIG_H
#define THAW_BENCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THAW_BENCH_RUNS_DEFAULT	   1000u
#define THAW_BENCH_RUNS_MAX	   10000000u /* samples of one figure */
#define THAW_BENCH_PACE_NS	   2000000u
#define THAW_BENCH_CLIENTS_DEFAULT 16u /* in invoke.c16 and the like */
#define THAW_BENCH_CLIENTS_MAX	   256u
#define THAW_BENCH_SWEEP_CLIENTS   32u /* the most in the series of throughput by clients */
#define THAW_BENCH_PEERS_MAX	   16u /* given with --peer */

/* `--peer NAME=COMMAND`: the shell runs COMMAND for each request, which is its standard input. */
struct thaw_bench_peer {
	const char *name, *command;
};

struct thaw_bench_config {
	const char *name;	    /* of the function */
	int image_fd;		    /* its image; not owned */
	const char *run_dir;	    /* where a daemon may serve the function */
	const char *executable_dir; /* of the running program: thawd and the peers are near it */
	size_t runs;		    /* 1..THAW_BENCH_RUNS_MAX samples of each light figure */
	bool closed_loop;	    /* back to back instead of paced */
	unsigned clients;	    /* 1..THAW_BENCH_CLIENTS_MAX, in the figures of many clients */
	uint64_t rate;	/* arrivals a second of the open loop; 0: half of the sustained rate */
	bool scale;	/* also measure how costs grow (bench/scale/scale.h) */
	bool all_peers; /* also the peers that need node, QEMU or criu, and start slowly */
	const struct thaw_bench_peer *peers;
	size_t peer_count;	  /* at most THAW_BENCH_PEERS_MAX */
	const char *const *notes; /* the caller's own, for the report */
	size_t note_count;
	const void *request;
	size_t request_length;
	void *context; /* of the callbacks, each of which may be NULL */
	/* Reports the stage of the run and its progress; a negative return ends the run. */
	int (*progress)(void *context, const char *stage, size_t done, size_t total);
	/* Takes one line: why a figure is absent, or what a reader of the figures should know. */
	void (*note)(void *context, const char *text);
};

/* Formats a line and hands it to CONFIG's note callback. */
void thaw_bench_note(const struct thaw_bench_config *config, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The most clients that any load of the run has. */
unsigned thaw_bench_clients_most(const struct thaw_bench_config *config);

#endif
