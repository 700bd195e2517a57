/* SPDX-License-Identifier: Apache-2.0 */
/* All that a run measures against, started and answering: the function in its engines, the
 * daemon's, the echo, the peer. */
#ifndef THAW_BENCH_SUBJECTS_H
#define THAW_BENCH_SUBJECTS_H

#include "bench/config.h"
#include "bench/figures/figures.h"
#include "bench/figures/measurer.h"

struct thaw_echo;
struct thaw_spawn;
struct thaw_invoke;
struct thaw_server;
struct thaw_qemu;
struct thaw_criu;
struct thaw_lean;
struct bare_exit;

/* Zeroed by the caller. What is absent is NULL. */
struct thaw_subjects {
	struct thaw_bench_program program; /* an empty path: not known */
	int program_fd;			   /* -1: the program is gone */
	struct thaw_bench_function function;
	struct thaw_measurer *standing; /* its engine stays */
	struct thaw_measurer *opener;	/* opens an engine for each sample */
	struct thaw_measured first; /* the function's first answer: how long the echo's has to be */
	struct thaw_echo *echo;	    /* one connection for each client of the largest load */
	struct thaw_echo *hand_over; /* the same */
	struct thaw_spawn *spawn;
	struct thaw_server *prefork, *wasm;
	struct thaw_qemu *qemu;
	struct thaw_criu *criu;
	struct thaw_lean *lean;
	struct thaw_spawn *cat;
	char image_path[64];				/* as `cat` reads it */
	struct thaw_spawn *peers[THAW_BENCH_PEERS_MAX]; /* as the config's; NULL: not to be had */
	char *peer_args[THAW_BENCH_PEERS_MAX][4];
	struct bare_exit *kvm; /* NULL: no KVM here */
	char spawn_program[4096], node[4096], wasm_script[4096], wasm_module[4096];
	char qemu_program[4096], qemu_firmware[4096], criu_program[4096];
	char *cat_args[3];
	char *spawn_args[THAW_BENCH_ARGS_MAX + 1]; /* into PROGRAM */
	struct thaw_invoke *invoke;
};

/* The engine's figures and the echo must work, or there is nothing to compare; the peer and the
 * daemon may be missing, with a note. On failure nothing is left open. */
int thaw_subjects_open(const struct thaw_bench_config *config, struct thaw_subjects *out,
		       struct thaw_error *err);
void thaw_subjects_close(struct thaw_subjects *subjects);

/* The peers' part of both. */
void thaw_subjects_start_peers(const struct thaw_bench_config *config,
			       struct thaw_subjects *subjects);
void thaw_subjects_stop_peers(struct thaw_subjects *subjects);

/* The most clients that any load of the run has. */
unsigned thaw_subjects_clients(const struct thaw_bench_config *config);

/* Hands a line to the config's note callback. */
void thaw_bench_note(const struct thaw_bench_config *config, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
