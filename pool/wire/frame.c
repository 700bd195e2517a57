/* SPDX-License-Identifier: Apache-2.0 */
/* Sending, receiving and opening frames; see frame.h. */
#include "pool/wire/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "snapshot-format/base/error.h"

struct iovec thaw_frame_part(const void *bytes, size_t length)
{
	/* struct iovec has no const, although sendmsg() only reads. */
	union {
		const void *in;
		void *out;
	} pointer = {.in = bytes};

	return (struct iovec){.iov_base = pointer.out, .iov_len = length};
}

enum thaw_frame_sent thaw_frame_send(int fd, struct thaw_frame *frame, const struct iovec *parts,
				     size_t count)
{
	struct iovec all[1 + THAW_FRAME_PARTS_MAX] = {{frame, sizeof(*frame)}};
	struct msghdr message = {.msg_iov = all, .msg_iovlen = 1 + count};

	thaw_assert(count <= THAW_FRAME_PARTS_MAX);
	frame->version = THAW_PROTOCOL_VERSION;
	frame->length = 0;
	for (size_t i = 0; i < count; i++) {
		all[1 + i] = parts[i];
		frame->length += (uint32_t)parts[i].iov_len;
	}
	while (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN || errno == ENOBUFS)
			return THAW_FRAME_NO_ROOM;
		if (errno != EINTR)
			return THAW_FRAME_NO_RECEIVER;
	}
	return THAW_FRAME_SENT;
}

enum thaw_frame_received thaw_frame_receive(int fd, uint8_t *buffer, size_t room, int flags,
					    size_t *length)
{
	ssize_t got;

	do
		got = recv(fd, buffer, room, flags | MSG_TRUNC);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		*length = (size_t)got;
		return THAW_FRAME_RECEIVED;
	}
	if (got < 0 && errno == EAGAIN)
		return THAW_FRAME_NOTHING_YET;
	return got < 0 && errno == ECONNRESET ? THAW_FRAME_RESET : THAW_FRAME_END;
}

const char *thaw_frame_open(const uint8_t *message, size_t length, size_t room,
			    struct thaw_frame *frame)
{
	if (length < sizeof(*frame))
		return "the message is shorter than a frame's header";
	if (length > room || length > THAW_MESSAGE_MAX)
		return "the message is larger than a frame may be";
	memcpy(frame, message, sizeof(*frame));
	if (frame->version != THAW_PROTOCOL_VERSION)
		return "the frame is not of version 1 of the protocol";
	if (frame->length != length - sizeof(*frame))
		return "the frame's length field is not the message's";
	if (frame->flags & ~THAW_FRAME_MORE)
		return "the frame has flags that version 1 does not know";
	return NULL;
}
