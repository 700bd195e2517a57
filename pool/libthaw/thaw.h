/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libthaw: invoke functions that a local thawd serves. Installed as <thaw.h>; pkg-config name
 * "thaw".
 *
 * A connection belongs to one function and may be used by one thread at a time; use one for each
 * thread. Strings are UTF-8, times nanoseconds. Functions return 0 or a negative number and then
 * describe the failure in ERR (may be NULL).
 *
 * A request is run at most once: it is sent again only when the worker said that it would not run
 * it, or never had all of it. A function that fails for the connection's sake (code 125) has given
 * up every request in flight, but for answers that are whole already; the connection may be used on
 * and connects anew. What a connection holds is bounded: 256 MiB of requests, 512 MiB of answers.
 */
#ifndef THAW_H
#define THAW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define THAW_API __attribute__((visibility("default")))

struct thaw_connection;

struct thaw_client_error {
	int code; /* the exit code that the `thaw` client would end with: 1, 2, 124, 125, 126, 127
		   */
	char message[1024]; /* one line */
};

/*
 * Connects to function NAME of the thawd whose run directory is RUN_DIR; NULL: $THAW_RUN, else
 * /run/thaw for root, else $XDG_RUNTIME_DIR/thaw. A name that is not served is code 127, a daemon
 * that is not there 125.
 */
THAW_API int thaw_connect(const char *run_dir, const char *name, struct thaw_connection **out,
			  struct thaw_client_error *err);
THAW_API void
thaw_disconnect(struct thaw_connection *connection); /* NULL is fine; cancels what is in flight */

struct thaw_response {
	uint64_t id;
	int ran;	     /* 0: refused before any instance saw it (busy, too large, ...) */
	int exit_code;	     /* 0 when all is well; else as for the `thaw` client */
	char message[512];   /* what went wrong; empty when exit_code is the function's own */
	const char *outcome; /* static: "finished", "crashed", "busy", ... */
	const char *start;   /* static: "none", "pool", "made" */
	uint64_t queued_ns, run_ns, total_ns;
	void *body; /* LENGTH bytes and a NUL after them */
	size_t length;
};

/* Sends a request and waits for its answer. A guest's failure is a response with an exit code, not
 * an error: errors are lost connections and the like. TIMEOUT_NS 0: the function's own deadline.
 * Reconnects by itself when the worker was replaced and says that it did not run the request. */
THAW_API int thaw_invoke(struct thaw_connection *connection, const void *request, size_t length,
			 uint64_t timeout_ns, struct thaw_response *response,
			 struct thaw_client_error *err);
THAW_API void
thaw_response_clear(struct thaw_response *response); /* frees the body; NULL or zeroed is fine */

/* The two halves of thaw_invoke(), for several requests in flight (256 at most). Answers come in
 * any order. */
THAW_API int thaw_submit(struct thaw_connection *connection, const void *request, size_t length,
			 uint64_t timeout_ns, uint64_t *id, struct thaw_client_error *err);
THAW_API int thaw_receive(struct thaw_connection *connection, struct thaw_response *response,
			  struct thaw_client_error *err);

/* Sends a control operation (a JSON object, see PROTOCOL.md) and returns the JSON answer,
 * NUL-terminated, to be freed. */
THAW_API int thaw_control(struct thaw_connection *connection, const char *json, char **reply,
			  struct thaw_client_error *err);

/* For poll(2): readable when an answer, a part of one, or the connection's end is there. It is the
 * same descriptor for the connection's whole life, and not to be read. */
THAW_API int thaw_connection_fd(const struct thaw_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
