/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers that are servers: the same work done behind a socket by programs that are there already. A
 * server finds a listening AF_UNIX socket as its standard input; a message either way is eight
 * bytes of length and so many bytes. Two of them are known:
 *
 *   peer.prefork  bench/peers/posix_guest.c boots once and forks its servers, each connection has
 *                 one to itself; fast, and with no isolation at all: each request finds what the
 *                 one before left
 *   peer.wasm     bench/peers/wasm_server.js makes an instance of a WebAssembly module for each
 *                 request: fresh state within one process that all share
 */
#ifndef THAW_BENCH_SERVER_PEER_H
#define THAW_BENCH_SERVER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "snapshot-format/base/error.h"

struct thaw_server;

struct thaw_server_config {
	const char *program;
	char *const *args; /* NULL-terminated, args[0] first */
	char *const *env;
	bool stream;	     /* its socket is a stream; else SOCK_SEQPACKET, in pieces */
	unsigned programs;   /* 1..THAW_SERVER_PROGRAMS_MAX of it are started, each with a socket of
				its own, and connections go to them in turn */
	const void *request; /* outlives what is started, as all above */
	size_t request_length;
};
#define THAW_SERVER_PROGRAMS_MAX 64u

/* Returns when a first request has been answered. Call from a single-threaded process. */
int thaw_server_start(const struct thaw_server_config *config, struct thaw_server **out,
		      struct thaw_error *err);
/* One that somebody else starts, at ADDRESS, whenever; the first connection finds it. */
int thaw_server_elsewhere(const struct thaw_server_config *config,
			  const struct sockaddr_un *address, struct thaw_server **out,
			  struct thaw_error *err);
void thaw_server_stop(struct thaw_server *server); /* NULL is fine */

/* One request on a connection that stays, as a source of the schedule. */
int thaw_server_measure(void *server, uint64_t *ns, struct thaw_error *err);
/* The bytes of the latest such response. */
uint64_t thaw_server_response_length(const struct thaw_server *server);

/* A connection of one's own, for a client of bench/load/load.h. The stop comes after all closes. */
int thaw_server_open(void *server, unsigned index, void **client, struct thaw_error *err);
int thaw_server_call(void *client, struct thaw_error *err);
void thaw_server_close(void *client);

#endif
