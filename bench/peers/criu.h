/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.criu-restore: an ordinary server process that was dumped when it had started is restored by
 * `criu restore` for each request, and asked: exec of criu, the processes back, a connection, the
 * answer. Wants a kernel that criu supports, and its rights.
 */
#ifndef THAW_BENCH_CRIU_PEER_H
#define THAW_BENCH_CRIU_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

struct thaw_criu;

struct thaw_criu_config {
	const char *criu;    /* path */
	const char *program; /* of the peer, bench/peers/posix_guest.c */
	char *const *args;
	const void *request; /* outlives what is opened, as all above */
	size_t request_length;
};

/* Starts the server and dumps it. Errors are criu's first. Makes this process a reaper of orphans,
 * for the restored are nobody's children. */
int thaw_criu_open(const struct thaw_criu_config *config, struct thaw_criu **out,
		   struct thaw_error *err);
void thaw_criu_close(struct thaw_criu *criu); /* NULL is fine */

/* One restore to the last byte of the response, as a source of the schedule; what was restored is
 * then killed. */
int thaw_criu_measure(void *criu, uint64_t *ns, struct thaw_error *err);

#endif
