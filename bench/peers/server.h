/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers that are servers: running programs do the same work behind a socket. A server finds a
 * listening AF_UNIX socket as its standard input; a message in either direction is eight bytes of
 * length and that many bytes. There are two of them:
 *
 *   peer.prefork  bench/peers/posix_guest.c boots once and forks its servers, one for each
 *                 connection; fast, and with no isolation at all: each request finds the state
 *                 that the previous one left
 *   peer.wasm     bench/peers/wasm_server.js makes an instance of a WebAssembly module for each
 *                 request: fresh state, within one process that all requests share
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
	unsigned programs;   /* how many to start, 1..THAW_SERVER_PROGRAMS_MAX, each with its own
			        socket; connections go to them in turn */
	const void *request; /* all of the above outlive the struct thaw_server */
	size_t request_length;
};
#define THAW_SERVER_PROGRAMS_MAX 64u

/* Returns after the first answer. Call from a single-threaded process. */
int thaw_server_start(const struct thaw_server_config *config, struct thaw_server **out,
		      struct thaw_error *err);
/* A server at ADDRESS that the caller starts; the first connection finds it. */
int thaw_server_elsewhere(const struct thaw_server_config *config,
			  const struct sockaddr_un *address, struct thaw_server **out,
			  struct thaw_error *err);
void thaw_server_stop(struct thaw_server *server); /* NULL is fine */

/* One request on a connection that stays open, as a source of the schedule. */
int thaw_server_measure(void *server, uint64_t *ns, struct thaw_error *err);
/* The bytes of the latest response to it. */
uint64_t thaw_server_response_length(const struct thaw_server *server);

/* One more connection, for a client of bench/load/load.h. Close all of them before the stop. */
int thaw_server_open(void *server, unsigned index, void **client, struct thaw_error *err);
int thaw_server_call(void *client, struct thaw_error *err);
void thaw_server_close(void *client);

#endif
