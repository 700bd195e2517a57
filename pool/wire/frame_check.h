/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first look at a frame from a client: is the message one whole, well-formed frame of a kind
 * that clients send? Pure: it looks at the bytes and at nothing else, so it is tested and fuzzed
 * alone.
 */
#ifndef THAW_FRAME_CHECK_H
#define THAW_FRAME_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/wire/frame.h"

struct thaw_frame_view {
	enum thaw_frame_type type;
	bool more;
	uint64_t id;
	struct thaw_frame_request request; /* of a request frame */
	const uint8_t *body; /* into the message; of a request, what follows its struct */
	size_t length;	     /* of BODY */
};

/*
 * Checks MESSAGE, LENGTH bytes as recvmsg() told them with MSG_TRUNC (so LENGTH may be larger than
 * ROOM, the bytes that are really there). Returns NULL and fills VIEW, or what is wrong with the
 * frame: a static text.
 */
const char *thaw_frame_check(const uint8_t *message, size_t length, size_t room,
			     struct thaw_frame_view *view);

#endif
