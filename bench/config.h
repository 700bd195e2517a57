/* SPDX-License-Identifier: Apache-2.0 */
/* What a run is told; bench/bench.h runs it. */
#ifndef THAW_BENCH_CONFIG_H
#define THAW_BENCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THAW_BENCH_RUNS_DEFAULT	   1000u
#define THAW_BENCH_PACE_NS	   2000000u
#define THAW_BENCH_CLIENTS_DEFAULT 16u /* in invoke.c16 and its like */

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

#endif
