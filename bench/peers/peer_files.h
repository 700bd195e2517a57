/* SPDX-License-Identifier: Apache-2.0 */
/* Where peers and what they need are found. */
#ifndef THAW_BENCH_PEER_FILES_H
#define THAW_BENCH_PEER_FILES_H

#include <stddef.h>

/* Writes to OUT the path of a file of the build's or the installation's folder of peers, as seen
 * from EXECUTABLE_DIR, that MODE of access() allows. -1: there is none. */
int thaw_peer_file(const char *executable_dir, const char *name, int mode, char *out, size_t size);

/* The same of a program of the machine's, by PATH. */
int thaw_peer_program(const char *name, char *out, size_t size);

#endif
