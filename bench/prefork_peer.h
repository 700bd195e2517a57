/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.prefork: the same work done by processes that are there already and are kept: fast, and with
 * no isolation at all, for each request finds what the one before left. The peer's program
 * (bench/peers/posix_guest.c) boots once and forks its servers; each connection has one to itself.
 */
#ifndef THAW_BENCH_PREFORK_PEER_H
#define THAW_BENCH_PREFORK_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/error.h"

struct thaw_prefork;

struct thaw_prefork_config {
	const char *program; /* of the peer */
	char *const *args;
	unsigned servers;
	const void *request; /* outlives what is started */
	size_t request_length;
};

/* Returns when a first request has been answered. Call from a single-threaded process. */
int thaw_prefork_start(const struct thaw_prefork_config *config, struct thaw_prefork **out,
		       struct thaw_error *err);
void thaw_prefork_stop(struct thaw_prefork *prefork); /* NULL is fine */

/* One request on a connection that stays, as a source of the schedule. */
int thaw_prefork_measure(void *prefork, uint64_t *ns, struct thaw_error *err);

/* A connection of one's own, for a client of bench/load.h. The stop comes after all closes. */
int thaw_prefork_open(void *prefork, unsigned index, void **client, struct thaw_error *err);
int thaw_prefork_call(void *client, struct thaw_error *err);
void thaw_prefork_close(void *client);

#endif
