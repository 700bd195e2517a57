/* SPDX-License-Identifier: Apache-2.0 */
/* Where the peers, and what they need, are found. */
#ifndef THAW_BENCH_PEER_FILES_H
#define THAW_BENCH_PEER_FILES_H

#include <stddef.h>

/* Writes to OUT the path of a peer's file, in the folder of peers of the build or of the
 * installation, relative to EXECUTABLE_DIR; access() must allow MODE. -1: there is none. */
int thaw_peer_file(const char *executable_dir, const char *name, int mode, char *out, size_t size);

/* The same for a program of the host, found in PATH. */
int thaw_peer_program(const char *name, char *out, size_t size);

#endif
