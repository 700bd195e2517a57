/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire of `fn/NAME.sock`, version 1, as PROTOCOL.md describes it. AF_UNIX SOCK_SEQPACKET: one
 * message is one frame, a header and up to THAW_FRAME_PAYLOAD_MAX bytes. Fields are in the host's
 * byte order, because both ends share a kernel.
 */
#ifndef THAW_PROTOCOL_H
#define THAW_PROTOCOL_H

#include <stdint.h>

#define THAW_PROTOCOL_VERSION 1u
/* Bytes. The default socket buffer has room for four such frames. */
#define THAW_FRAME_PAYLOAD_MAX 61440u
#define THAW_REQUEST_MAX       (64u << 20) /* bytes of a whole request */
#define THAW_RESPONSE_MAX      (64u << 20) /* bytes of a whole response */
#define THAW_IN_FLIGHT_MAX     256u	   /* unanswered requests of one connection */

/* THAW_FRAMES(X): X(name, number, direction, meaning) */
#define THAW_FRAMES(X)                                                                             \
	X(request, 1, "client", "struct thaw_frame_request, then the first piece of the body")     \
	X(request_data, 2, "client", "the next piece of the body of request `id`")                 \
	X(cancel, 3, "client", "end invocation `id`; it is still answered")                        \
	X(control, 4, "client", "a JSON object {\"op\": ...}: stats, prewarm, logs")               \
	X(response, 65, "worker", "struct thaw_frame_response, its message, then the first piece") \
	X(response_data, 66, "worker", "the next piece of the response to `id`")                   \
	X(control_reply, 67, "worker",                                                             \
	  "JSON, in pieces: `flags` has THAW_FRAME_MORE on all but the last")                      \
	X(goaway, 68, "worker", "no unanswered request was or will be run here; connect again")    \
	X(protocol_error, 69, "worker",                                                            \
	  "text: what is wrong with a frame; the connection then closes")

#define THAW_ENUM_FRAME(name, number, direction, meaning) THAW_FRAME_##name = (number),
enum thaw_frame_type { THAW_FRAMES(THAW_ENUM_FRAME) };

#define THAW_FRAME_MORE 1u /* flag: another piece of the same body follows */

struct thaw_frame {
	uint8_t version; /* THAW_PROTOCOL_VERSION */
	uint8_t type;	 /* enum thaw_frame_type */
	uint16_t flags;
	uint32_t length; /* of the payload: the message's length less the header's */
	uint64_t id;	 /* the client's choice; unique among its unanswered requests */
};

struct thaw_frame_request {
	uint64_t length; /* of the whole body */
	/* From when the request is complete. 0: the function's own limit, which also bounds it. */
	uint64_t timeout_ns;
};

/* THAW_STATUSES(X): X(name, exit code, text). How an answer came to be. Where an instance ran the
 * request, `outcome` has the engine's result. */
#define THAW_STATUSES(X)                                                                           \
	X(ran, -1, "an instance ran it")                                                           \
	X(busy, 125, "too many requests wait already; try again")                                  \
	X(too_large, 1, "the request is larger than the limit")                                    \
	X(unavailable, 125, "the function is not being served at the moment")                      \
	X(refused, 126, "the image cannot be run here")                                            \
	X(failed, 125, "the worker could not run it")

#define THAW_ENUM_STATUS(name, code, text) THAW_STATUS_##name,
enum thaw_status { THAW_STATUSES(THAW_ENUM_STATUS) };

/* THAW_STARTS(X): how the instance was started. */
#define THAW_STARTS(X)                                                                             \
	X(none, "no instance ran")                                                                 \
	X(pool, "a fresh instance stood ready")                                                    \
	X(made, "it was made for this request")

#define THAW_ENUM_START(name, text) THAW_START_##name,
enum thaw_start { THAW_STARTS(THAW_ENUM_START) };

struct thaw_frame_response {
	uint32_t status;	 /* enum thaw_status */
	uint32_t outcome;	 /* enum thaw_outcome_kind, when status is `ran` */
	int32_t exit_code;	 /* with which a command-line caller should end */
	uint32_t start;		 /* enum thaw_start */
	uint64_t length;	 /* of the whole response body */
	uint64_t queued_ns;	 /* request complete until an instance was claimed */
	uint64_t run_ns;	 /* hand-over to the guest until it was done */
	uint64_t total_ns;	 /* request complete until this frame was made */
	uint32_t message_length; /* of the text after this struct, which says what went wrong */
	uint32_t reserved;
};

_Static_assert(sizeof(struct thaw_frame) == 16, "wire layout");
_Static_assert(sizeof(struct thaw_frame_request) == 16, "wire layout");
_Static_assert(sizeof(struct thaw_frame_response) == 56, "wire layout");

#endif
