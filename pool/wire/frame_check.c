/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a client's frame; each refusal is a MUST of PROTOCOL.md. */
#include "pool/wire/frame_check.h"

#include <string.h>

static const char *check_request(const struct thaw_frame *frame, const uint8_t *payload,
				 struct thaw_frame_view *view)
{
	if (frame->length < sizeof(view->request))
		return "a request frame is too short for its struct";
	memcpy(&view->request, payload, sizeof(view->request));
	view->body = payload + sizeof(view->request);
	view->length = frame->length - sizeof(view->request);
	if (view->length > view->request.length)
		return "a request frame carries more than the request's length";
	if (!view->more && view->length < view->request.length)
		return "the last piece of a request ends before the request's length";
	return NULL;
}

const char *thaw_frame_check(const uint8_t *message, size_t length, size_t room,
			     struct thaw_frame_view *view)
{
	struct thaw_frame frame;
	const char *wrong = thaw_frame_open(message, length, room, &frame);

	if (wrong)
		return wrong;
	*view = (struct thaw_frame_view){.type = (enum thaw_frame_type)frame.type,
					 .more = frame.flags & THAW_FRAME_MORE,
					 .id = frame.id,
					 .body = message + sizeof(frame),
					 .length = frame.length};
	switch (frame.type) {
	case THAW_FRAME_request:
		return check_request(&frame, view->body, view);
	case THAW_FRAME_request_data:
		return NULL;
	case THAW_FRAME_cancel:
		return frame.length || view->more ? "a cancel frame has no payload" : NULL;
	case THAW_FRAME_control:
		return view->more ? "a control operation must fit one frame" : NULL;
	default:
		return "a client may not send frames of this type";
	}
}
