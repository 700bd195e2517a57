/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as both ends send, receive and open them, whoever their sender is. What a frame of one
 * type must hold is its receiver's to check: frame_check.h for the worker and the front, libthaw's
 * wire.c for a client.
 *
 * The functions keep no state: any thread may call them.
 */
#ifndef THAW_FRAME_H
#define THAW_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pool/wire/protocol.h"

/* The largest message: a header and a full payload. */
#define THAW_MESSAGE_MAX (sizeof(struct thaw_frame) + THAW_FRAME_PAYLOAD_MAX)

/* A frame's payload is at most this many pieces of memory. */
#define THAW_FRAME_PARTS_MAX 2u

/* LENGTH bytes at BYTES as a piece of a frame to send; they are only read. */
struct iovec thaw_frame_part(const void *bytes, size_t length);

enum thaw_frame_sent { THAW_FRAME_SENT, THAW_FRAME_NO_ROOM, THAW_FRAME_NO_RECEIVER };

/*
 * Sends FRAME with COUNT pieces of payload as one message, and never waits. Sets FRAME's version
 * and length; type, flags and id are the caller's. NO_ROOM: the socket is full; NO_RECEIVER: the
 * other end is gone, or the socket failed.
 */
enum thaw_frame_sent thaw_frame_send(int fd, struct thaw_frame *frame, const struct iovec *parts,
				     size_t count);

/* RESET: the other end closed with unread data before it. What it had sent may still be received:
 * the kernel reports the reset first. END: an empty message counts as the end too, because it
 * cannot be told from one. */
enum thaw_frame_received {
	THAW_FRAME_RECEIVED,
	THAW_FRAME_NOTHING_YET,
	THAW_FRAME_END,
	THAW_FRAME_RESET
};

/*
 * Receives one message into BUFFER of ROOM bytes. FLAGS is MSG_DONTWAIT, or 0 to wait as long as
 * the socket's receive timeout says; with either, NOTHING_YET says that none came. *LENGTH is set
 * only with RECEIVED, and is the length of the message as it was sent: above ROOM, when it was
 * cut. Descriptors that come with a message are dropped.
 */
enum thaw_frame_received thaw_frame_receive(int fd, uint8_t *buffer, size_t room, int flags,
					    size_t *length);

/*
 * Opens a message of LENGTH bytes, of which at most ROOM are at MESSAGE: checks all that
 * PROTOCOL.md asks of a header, whatever the frame's type, and copies the header to *FRAME. The
 * payload follows it in MESSAGE. Returns NULL, or a static text that says what is wrong.
 */
const char *thaw_frame_open(const uint8_t *message, size_t length, size_t room,
			    struct thaw_frame *frame);

#endif
