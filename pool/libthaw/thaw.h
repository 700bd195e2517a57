/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libthaw: invoke functions that a local thawd serves. Installed as <thaw.h>; its pkg-config name
 * is "thaw".
 *
 * A connection belongs to one function, and one thread at a time may use it; give each thread its
 * own. Strings are UTF-8, times are nanoseconds. Functions return 0, or a negative number after
 * they have described the failure in ERR (which may be NULL).
 *
 * A request runs at most once: the library sends it again only when the worker said that it would
 * not run it, or never had all of it. When a function fails because of the connection (code 125),
 * it has given up every request in flight; only answers that had arrived whole remain. The
 * connection may still be used, and connects anew. It holds at most 256 MiB of requests and 512
 * MiB of answers.
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
	/* The exit code with which the client `thaw` would end: 1, 2, 124, 125, 126 or 127. */
	int code;
	char message[1024]; /* one line */
};

/*
 * Connects to function NAME of the thawd whose run directory is RUN_DIR. NULL: $THAW_RUN, else
 * /run/thaw for root, else $XDG_RUNTIME_DIR/thaw, else /tmp/thaw-UID. The error's code is 127 when
 * NAME is not served, and 125 when no daemon runs. *OUT is ended with thaw_disconnect().
 */
THAW_API int thaw_connect(const char *run_dir, const char *name, struct thaw_connection **out,
			  struct thaw_client_error *err);
/* Frees CONNECTION (which may be NULL) and cancels its requests in flight. */
THAW_API void thaw_disconnect(struct thaw_connection *connection);

struct thaw_response {
	uint64_t id;
	int ran;	     /* 0: refused before any instance saw it (busy, too large, ...) */
	int exit_code;	     /* 0: success; else as of the client `thaw` */
	char message[512];   /* what went wrong; empty when exit_code is the function's own */
	const char *outcome; /* static: "finished", "crashed", "busy", ... */
	const char *start;   /* static: "none", "pool", "made" */
	uint64_t queued_ns;  /* request complete until an instance was claimed */
	uint64_t run_ns;     /* hand-over to the guest until it was done */
	uint64_t total_ns;   /* request complete until its answer was sent */
	void *body;	     /* LENGTH bytes and a NUL after them */
	size_t length;
};

/*
 * Sends a request of LENGTH bytes and waits for its answer. A guest's failure is a response with an
 * exit code; an error is a lost connection or the like. TIMEOUT_NS 0: the function's own deadline.
 * When the worker was replaced and says that it did not run the request, the library connects again
 * and sends it again. RESPONSE is cleared with thaw_response_clear().
 */
THAW_API int thaw_invoke(struct thaw_connection *connection, const void *request, size_t length,
			 uint64_t timeout_ns, struct thaw_response *response,
			 struct thaw_client_error *err);
/* Frees the body of RESPONSE, which may be NULL or zeroed. */
THAW_API void thaw_response_clear(struct thaw_response *response);

/* The two halves of thaw_invoke(), for several requests in flight (at most 256). REQUEST may be
 * freed when thaw_submit() returns. Answers come in any order; response.id says which request's it
 * is. */
THAW_API int thaw_submit(struct thaw_connection *connection, const void *request, size_t length,
			 uint64_t timeout_ns, uint64_t *id, struct thaw_client_error *err);
THAW_API int thaw_receive(struct thaw_connection *connection, struct thaw_response *response,
			  struct thaw_client_error *err);

/* Sends a control operation (a JSON object, see PROTOCOL.md) and waits for its answer. *REPLY is
 * NUL-terminated JSON, and is freed with free(). */
THAW_API int thaw_control(struct thaw_connection *connection, const char *json, char **reply,
			  struct thaw_client_error *err);

/* A descriptor for poll(2): readable when an answer, a part of one, or the connection's end has
 * arrived. It is the same for the connection's whole life. Do not read from it. */
THAW_API int thaw_connection_fd(const struct thaw_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
