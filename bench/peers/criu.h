/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.criu-restore: an ordinary server process, dumped after its start, is restored by `criu
 * restore` for each request and asked: exec of criu, the processes back, a connection, the
 * answer. Needs root, and a kernel that criu supports.
 */
#ifndef THAW_BENCH_CRIU_PEER_H
#define THAW_BENCH_CRIU_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

struct thaw_criu;

struct thaw_criu_config {
	const char *criu;    /* path */
	const char *program; /* path of the peer, bench/peers/posix_guest.c */
	char *const *args;
	const void *request; /* all of the above outlive the struct thaw_criu */
	size_t request_length;
};

/* Starts the server and dumps it. The error is criu's own first one. Makes this process the
 * reaper of orphans, because a restored server is an orphan. */
int thaw_criu_open(const struct thaw_criu_config *config, struct thaw_criu **out,
		   struct thaw_error *err);
void thaw_criu_close(struct thaw_criu *criu); /* NULL is fine */

/* One restore to the last byte of the response, as a source of the schedule; then kills the
 * restored server. */
int thaw_criu_measure(void *criu, uint64_t *ns, struct thaw_error *err);

#endif
