/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first check of a message from a client: is it one whole, well-formed frame of a type that
 * clients send? It looks at the bytes and at nothing else, so it is tested and fuzzed alone, and
 * any thread may call it.
 */
#ifndef THAW_FRAME_CHECK_H
#define THAW_FRAME_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/wire/frame.h"

struct thaw_frame_view {
	enum thaw_frame_type type;
	bool more; /* THAW_FRAME_MORE is set */
	uint64_t id;
	struct thaw_frame_request request; /* only of a request frame */
	const uint8_t *body; /* in the message: the payload, after the struct of a request */
	size_t length;	     /* of BODY */
};

/*
 * Checks a message of LENGTH bytes, of which at most ROOM are at MESSAGE, as thaw_frame_receive()
 * tells them. Returns NULL and fills VIEW, which points into MESSAGE; or returns a static text that
 * says what is wrong, and leaves VIEW undefined.
 */
const char *thaw_frame_check(const uint8_t *message, size_t length, size_t room,
			     struct thaw_frame_view *view);

#endif
