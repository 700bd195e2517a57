/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between two sockets: what is sent, what each way to end looks like to the receiver. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/wire/frame.h"

static int ends[2];
static uint8_t buffer[THAW_MESSAGE_MAX];
static size_t length;

static void setup(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

TestSuite(frame, .init = setup, .timeout = 60);

static enum thaw_frame_sent send_text(const char *text)
{
	struct thaw_frame frame = {.type = THAW_FRAME_control, .id = 7};
	struct iovec part = thaw_frame_part(text, strlen(text));

	return thaw_frame_send(ends[0], &frame, &part, 1);
}

static enum thaw_frame_received receive(void)
{
	return thaw_frame_receive(ends[1], buffer, sizeof(buffer), MSG_DONTWAIT, &length);
}

Test(frame, arrives_as_it_was_sent)
{
	struct thaw_frame sent = {.type = THAW_FRAME_request, .flags = THAW_FRAME_MORE, .id = 3};
	const struct iovec parts[] = {thaw_frame_part("ab", 2), thaw_frame_part("cde", 3)};
	struct thaw_frame got;

	cr_assert_eq(thaw_frame_send(ends[0], &sent, parts, 2), THAW_FRAME_SENT);
	cr_assert_eq(receive(), THAW_FRAME_RECEIVED);
	cr_assert_eq(length, sizeof(got) + 5);
	cr_assert_null(thaw_frame_open(buffer, length, sizeof(buffer), &got));
	cr_assert_eq(got.version, THAW_PROTOCOL_VERSION);
	cr_assert_eq(got.type, THAW_FRAME_request);
	cr_assert_eq(got.flags, THAW_FRAME_MORE);
	cr_assert_eq(got.length, 5);
	cr_assert_eq(got.id, 3);
	cr_assert_eq(memcmp(buffer + sizeof(got), "abcde", 5), 0);
}

/* errno is what an earlier call left: it must not decide. */
Test(frame, nothing_yet_is_not_the_end)
{
	errno = 0;
	cr_assert_eq(receive(), THAW_FRAME_NOTHING_YET);
	close(ends[0]);
	errno = EAGAIN;
	cr_assert_eq(receive(), THAW_FRAME_END);
}

Test(frame, a_reset_comes_before_the_last_frames)
{
	cr_assert_eq(send_text("last"), THAW_FRAME_SENT);
	cr_assert_eq(send(ends[1], "unread", 6, 0), 6);
	close(ends[0]);
	cr_assert_eq(receive(), THAW_FRAME_RESET);
	cr_assert_eq(receive(), THAW_FRAME_RECEIVED);
	cr_assert_eq(receive(), THAW_FRAME_END);
}

Test(frame, a_message_that_was_cut_is_refused)
{
	struct thaw_frame frame;

	cr_assert_eq(send_text("0123456789"), THAW_FRAME_SENT);
	cr_assert_eq(thaw_frame_receive(ends[1], buffer, 20, 0, &length), THAW_FRAME_RECEIVED);
	cr_assert_eq(length, sizeof(frame) + 10);
	cr_assert_not_null(thaw_frame_open(buffer, length, 20, &frame));
}

Test(frame, a_sender_never_waits)
{
	enum thaw_frame_sent sent;

	do
		sent = send_text("more");
	while (sent == THAW_FRAME_SENT);
	cr_assert_eq(sent, THAW_FRAME_NO_ROOM);
	close(ends[1]);
	cr_assert_eq(send_text("more"), THAW_FRAME_NO_RECEIVER, "and no SIGPIPE");
}
