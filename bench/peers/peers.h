/* SPDX-License-Identifier: Apache-2.0 */
/* The peers of one run: the same work done by other means, started and answering. */
#ifndef THAW_BENCH_PEERS_H
#define THAW_BENCH_PEERS_H

#include "bench/base/config.h"
#include "bench/function/engine_figures.h"

struct thaw_spawn;
struct thaw_server;
struct thaw_qemu;
struct thaw_criu;

/* What a peer is compared with. */
struct thaw_peers_function {
	struct thaw_bench_program *program;   /* outlives the peers; an empty path: not known */
	const struct thaw_measured *measured; /* the function's answer to the run's request */
};

/* Zeroed by the caller, who must not move it while peers run. An absent peer is NULL. */
struct thaw_peers {
	struct thaw_spawn *spawn;
	struct thaw_server *prefork, *wasm;
	struct thaw_qemu *qemu;
	struct thaw_criu *criu;
	struct thaw_spawn *named[THAW_BENCH_PEERS_MAX]; /* by index of the config's peers */

	/* The rest is what their configurations point to. */
	char *named_args[THAW_BENCH_PEERS_MAX][4];
	char *spawn_args[THAW_BENCH_ARGS_MAX + 1]; /* into the program's arguments */
	char spawn_program[4096], node[4096], wasm_script[4096], wasm_module[4096];
	char qemu_program[4096], qemu_firmware[4096], criu_program[4096];
};

/* Starts the peers that this machine offers; a note tells why each other one is absent. Call from a
 * single-threaded process. */
void thaw_peers_start(const struct thaw_bench_config *config,
		      const struct thaw_peers_function *function, struct thaw_peers *peers);
void thaw_peers_stop(struct thaw_peers *peers); /* a zeroed one is fine */

#endif
