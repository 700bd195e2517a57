/* SPDX-License-Identifier: Apache-2.0 */
/* Each MUST of PROTOCOL.md that a single frame can break. */
#include <criterion/criterion.h>
#include <string.h>

#include "pool/wire/frame_check.h"

static uint8_t message[THAW_MESSAGE_MAX + 1];
static struct thaw_frame_view view;

static size_t make(uint8_t type, uint16_t flags, uint64_t id, const void *payload, size_t length)
{
	struct thaw_frame frame = {.version = THAW_PROTOCOL_VERSION,
				   .type = type,
				   .flags = flags,
				   .length = (uint32_t)length,
				   .id = id};

	memcpy(message, &frame, sizeof(frame));
	if (length)
		memcpy(message + sizeof(frame), payload, length);
	return sizeof(frame) + length;
}

static size_t make_request(uint16_t flags, uint64_t whole, size_t piece)
{
	static uint8_t payload[THAW_FRAME_PAYLOAD_MAX];
	struct thaw_frame_request request = {.length = whole, .timeout_ns = 99};

	memcpy(payload, &request, sizeof(request));
	memset(payload + sizeof(request), 'x', piece);
	return make(THAW_FRAME_request, flags, 5, payload, sizeof(request) + piece);
}

static const char *check(size_t length)
{
	return thaw_frame_check(message, length, sizeof(message), &view);
}

Test(frame_check, a_whole_request)
{
	cr_assert_null(check(make_request(0, 3, 3)));
	cr_assert_eq(view.type, THAW_FRAME_request);
	cr_assert_eq(view.id, 5);
	cr_assert_not(view.more);
	cr_assert_eq(view.request.length, 3);
	cr_assert_eq(view.request.timeout_ns, 99);
	cr_assert_eq(view.length, 3);
	cr_assert_eq(memcmp(view.body, "xxx", 3), 0);
	cr_assert_null(check(make_request(0, 0, 0)));
	cr_assert_eq(view.length, 0);
}

Test(frame_check, a_request_in_pieces)
{
	size_t most = THAW_FRAME_PAYLOAD_MAX - sizeof(struct thaw_frame_request);

	cr_assert_null(check(make_request(THAW_FRAME_MORE, UINT64_MAX, most)));
	cr_assert(view.more);
	cr_assert_eq(view.length, most);
	cr_assert_null(check(make(THAW_FRAME_request_data, 0, 5, "abc", 3)));
	cr_assert_eq(view.length, 3);
}

Test(frame_check, pieces_that_cannot_add_up)
{
	static const uint8_t zeroes[sizeof(struct thaw_frame_request)];
	uint8_t ones[sizeof(zeroes) - 1];

	cr_assert_not_null(check(make_request(0, 4, 3)), "short without MORE");
	cr_assert_not_null(check(make_request(0, 2, 3)), "too long");
	cr_assert_not_null(check(make_request(THAW_FRAME_MORE, 2, 3)), "too long with MORE");
	cr_assert_not_null(check(make(THAW_FRAME_request, 0, 1, "short", 5)));
	/* A length of all ones is as long as what is left of a struct that is cut short. */
	memset(ones, 0xff, sizeof(ones));
	cr_assert_not_null(check(make(THAW_FRAME_request, 0, 1, ones, sizeof(ones))));
	cr_assert_not_null(check(make(THAW_FRAME_request, 0, 1, zeroes, sizeof(zeroes) - 1)));
	cr_assert_null(check(make(THAW_FRAME_request, 0, 1, zeroes, sizeof(zeroes))));
}

Test(frame_check, headers_that_lie)
{
	size_t length = make_request(0, 3, 3);

	for (size_t cut = 0; cut < length; cut++)
		cr_assert_not_null(check(cut), "cut at %zu", cut);
	cr_assert_not_null(check(length + 1));
	for (unsigned version = 0; version < 256; version++) {
		message[0] = (uint8_t)version;
		cr_assert_eq(check(length) == NULL, version == THAW_PROTOCOL_VERSION, "version %u",
			     version);
	}
	length = make_request(2, 3, 3);
	cr_assert_not_null(check(length), "an unknown flag");
}

Test(frame_check, only_what_clients_send)
{
	for (unsigned type = 0; type < 256; type++) {
		bool known = type == THAW_FRAME_request_data || type == THAW_FRAME_cancel ||
			     type == THAW_FRAME_control;

		cr_assert_eq(check(make((uint8_t)type, 0, 1, NULL, 0)) == NULL, known, "%u", type);
	}
	cr_assert_not_null(check(make(THAW_FRAME_cancel, 0, 1, "x", 1)));
	cr_assert_not_null(check(make(THAW_FRAME_cancel, THAW_FRAME_MORE, 1, NULL, 0)));
	cr_assert_not_null(check(make(THAW_FRAME_control, THAW_FRAME_MORE, 1, "{}", 2)));
}

Test(frame_check, a_message_larger_than_was_read_is_refused)
{
	size_t length = make(THAW_FRAME_control, 0, 1, "{}", 2);

	cr_assert_not_null(thaw_frame_check(message, length, length - 1, &view));
	cr_assert_not_null(check(THAW_MESSAGE_MAX + 1));
}
