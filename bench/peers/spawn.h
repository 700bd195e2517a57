/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.spawn: the same work done the ordinary way, by a new process for each request. The program
 * is the function's own source linked as a static Linux executable (bench/peers/posix_guest.c).
 * The time covers posix_spawn, the request as standard input, the answer on standard output to
 * its end, and the exit status.
 */
#ifndef THAW_BENCH_SPAWN_PEER_H
#define THAW_BENCH_SPAWN_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

struct thaw_spawn;

struct thaw_spawn_config {
	const char *program; /* path */
	char *const *args;   /* NULL-terminated, args[0] first */
	char *const *env;
	const void *request;
	size_t request_length;
	bool discard; /* discards the standard output; the end of the process is the end of the
		         sample */
};

/* Puts the request in place. PROGRAM, ARGS and ENV must outlive the struct thaw_spawn. */
int thaw_spawn_open(const struct thaw_spawn_config *config, struct thaw_spawn **out,
		    struct thaw_error *err);
void thaw_spawn_close(struct thaw_spawn *spawn); /* NULL is fine */

/* One process, from spawn to reaped, as a source of the schedule; SPAWN is a struct thaw_spawn.
 * Death by a signal is an error. */
int thaw_spawn_measure(void *spawn, uint64_t *ns, struct thaw_error *err);

/* The latest process's exit code, and the bytes of its response. */
void thaw_spawn_last(const struct thaw_spawn *spawn, int *exit_code, size_t *length);

/* Finds the peer of the function's program PROGRAM and writes its path to OUT: PROGRAM with
 * "-linux" appended, else a file with the program's base name in the folder of peers of the build
 * or of the installation, relative to EXECUTABLE_DIR. -1: none. */
int thaw_spawn_find(const char *program, const char *executable_dir, char *out, size_t size);

#endif
