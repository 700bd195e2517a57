/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libthaw's frames. A send never blocks: otherwise a worker that waits for the client to read would
 * make both wait for ever. A frame is received whole into the connection's buffer, its fields are
 * copied out and checked, and only then does it change a request. The first bad frame ends the
 * connection.
 */
#include "pool/libthaw/libthaw.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pool/wire/names.h"

#define MESSAGE_MAX 4096u /* bytes of an answer's text on the wire; fewer are kept */

static int send_frame(const struct thaw_connection *connection, struct thaw_frame *header,
		      const struct iovec *payload, size_t count)
{
	switch (thaw_frame_send(connection->fd, header, payload, count)) {
	case THAW_FRAME_SENT:
		return THAW_WIRE_DONE;
	case THAW_FRAME_NO_ROOM:
		return THAW_WIRE_BLOCKED;
	case THAW_FRAME_NO_RECEIVER:
		break;
	}
	return THAW_WIRE_ENDED;
}

int thaw_wire_send_request(struct thaw_connection *connection, struct thaw_pending *pending)
{
	struct thaw_frame_request request = {.length = pending->length,
					     .timeout_ns = pending->timeout_ns};
	struct thaw_frame header = {.type = pending->begun ? THAW_FRAME_request_data
							   : THAW_FRAME_request,
				    .id = pending->id};
	size_t room = THAW_FRAME_PAYLOAD_MAX - (pending->begun ? 0 : sizeof(request));
	size_t piece = pending->length - pending->sent;
	struct iovec payload[2];
	size_t count = 0;
	int sent;

	if (piece > room) {
		piece = room;
		header.flags = THAW_FRAME_MORE;
	}
	if (!pending->begun)
		payload[count++] = thaw_frame_part(&request, sizeof(request));
	if (piece > 0)
		payload[count++] = thaw_frame_part(pending->body + pending->sent, piece);
	sent = send_frame(connection, &header, payload, count);
	if (sent == THAW_WIRE_DONE) {
		pending->begun = true;
		pending->sent += piece;
	}
	return sent;
}

int thaw_wire_send_control(struct thaw_connection *connection)
{
	struct thaw_control_state *control = &connection->control;
	struct thaw_frame header = {.type = THAW_FRAME_control, .id = control->id};
	struct iovec payload = thaw_frame_part(control->json, strlen(control->json));
	int sent = send_frame(connection, &header, &payload, 1);

	control->sent = sent == THAW_WIRE_DONE;
	return sent;
}

static int bad_frame(const struct thaw_connection *connection, const char *what,
		     struct thaw_error *err)
{
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "the worker of '%s' does not keep to the protocol: %s", connection->name,
			 what);
}

static void copy_text(char *out, size_t size, const uint8_t *text, size_t length)
{
	if (length >= size)
		length = size - 1;
	for (size_t i = 0; i < length; i++)
		out[i] = (char)(text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i]);
	out[length] = '\0';
}

/* Takes the next LENGTH bytes of an answer's body. MORE must agree with the announced length:
 * otherwise the two ends would disagree about where the answer ends. */
static int take_body(struct thaw_connection *connection, struct thaw_pending *pending,
		     const uint8_t *bytes, size_t length, bool more, struct thaw_error *err)
{
	struct thaw_response *response = &pending->response;

	if (length > response->length - pending->received)
		return bad_frame(connection, "an answer is longer than it said", err);
	if (length > 0)
		memcpy((uint8_t *)response->body + pending->received, bytes, length);
	pending->received += length;
	if (more != (pending->received < response->length))
		return bad_frame(connection, "an answer is not as long as it said", err);
	if (more)
		return THAW_WIRE_DONE;
	((char *)response->body)[response->length] = '\0';
	pending->answered = true;
	thaw_pending_settle(connection, pending);
	connection->attempts = 0;
	return THAW_WIRE_DONE;
}

static int reserve_body(struct thaw_connection *connection, struct thaw_pending *pending,
			uint64_t length, struct thaw_error *err)
{
	if (length > THAW_RESPONSE_MAX)
		return bad_frame(connection, "an answer is larger than the limit", err);
	if (length > THAW_CLIENT_RESPONSES_HELD - connection->responses_held)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "answers of more than %u MiB are under way on one connection: "
				 "receive them sooner, or submit fewer requests at a time",
				 THAW_CLIENT_RESPONSES_HELD >> 20);
	pending->response.body = malloc((size_t)length + 1);
	if (!pending->response.body)
		return thaw_fail(err, THAW_ERR_ENGINE, "out of memory for an answer of %llu bytes",
				 (unsigned long long)length);
	pending->response.length = (size_t)length;
	pending->answering = true;
	connection->responses_held += (size_t)length;
	return 0;
}

static int check_response(const struct thaw_connection *connection,
			  const struct thaw_frame_response *wire, size_t length,
			  struct thaw_error *err)
{
	if (!thaw_wire_status_name(wire->status))
		return bad_frame(connection, "an unknown status", err);
	if (wire->status == THAW_STATUS_ran && !thaw_wire_outcome_name(wire->outcome))
		return bad_frame(connection, "an unknown outcome", err);
	if (!thaw_wire_start_name(wire->start))
		return bad_frame(connection, "an unknown way to start", err);
	if (wire->exit_code < 0 || wire->exit_code > 255)
		return bad_frame(connection, "an exit code out of range", err);
	if (wire->message_length > MESSAGE_MAX || wire->message_length > length)
		return bad_frame(connection, "a message longer than its frame", err);
	return 0;
}

static void fill_response(struct thaw_response *response, const struct thaw_frame_response *wire,
			  const uint8_t *message)
{
	response->ran = wire->status == THAW_STATUS_ran;
	response->exit_code = response->ran ? wire->exit_code : thaw_wire_status_code(wire->status);
	response->outcome = response->ran ? thaw_wire_outcome_name(wire->outcome)
					  : thaw_wire_status_name(wire->status);
	response->start = thaw_wire_start_name(wire->start);
	response->queued_ns = wire->queued_ns;
	response->run_ns = wire->run_ns;
	response->total_ns = wire->total_ns;
	copy_text(response->message, sizeof(response->message), message, wire->message_length);
	if (response->message[0] == '\0' && !response->ran)
		copy_text(response->message, sizeof(response->message),
			  (const uint8_t *)thaw_wire_status_text(wire->status),
			  strlen(thaw_wire_status_text(wire->status)));
}

static int take_response(struct thaw_connection *connection, const struct thaw_frame *header,
			 const uint8_t *payload, struct thaw_error *err)
{
	struct thaw_pending *pending = thaw_pending_find(connection, header->id);
	size_t length = header->length;
	struct thaw_frame_response wire;

	if (!pending || !pending->begun || pending->answering || connection->goaway)
		return bad_frame(connection, "an answer to no request", err);
	if (length < sizeof(wire))
		return bad_frame(connection, "a short answer", err);
	memcpy(&wire, payload, sizeof(wire));
	payload += sizeof(wire);
	length -= sizeof(wire);
	if (check_response(connection, &wire, length, err) < 0 ||
	    reserve_body(connection, pending, wire.length, err) < 0)
		return -1;
	pending->response.id = pending->id;
	fill_response(&pending->response, &wire, payload);
	return take_body(connection, pending, payload + wire.message_length,
			 length - wire.message_length, header->flags & THAW_FRAME_MORE, err);
}

static int take_response_data(struct thaw_connection *connection, const struct thaw_frame *header,
			      const uint8_t *payload, struct thaw_error *err)
{
	struct thaw_pending *pending = thaw_pending_find(connection, header->id);

	if (!pending || !pending->answering || header->length == 0)
		return bad_frame(connection, "a piece of no answer", err);
	return take_body(connection, pending, payload, header->length,
			 header->flags & THAW_FRAME_MORE, err);
}

static int grow_reply(struct thaw_control_state *control, size_t more)
{
	size_t room = control->room ? control->room : 4096;
	char *grown;

	while (room <= control->length + more)
		room *= 2;
	if (room == control->room)
		return 0;
	grown = realloc(control->reply, room);
	if (!grown)
		return -1;
	control->reply = grown;
	control->room = room;
	return 0;
}

static int take_control_reply(struct thaw_connection *connection, const struct thaw_frame *header,
			      const uint8_t *payload, struct thaw_error *err)
{
	struct thaw_control_state *control = &connection->control;

	if (control->id == 0 || header->id != control->id || !control->sent || control->complete)
		return bad_frame(connection, "a reply to nothing", err);
	if (header->length > THAW_CLIENT_CONTROL_MAX - control->length)
		return bad_frame(connection, "a reply larger than the limit", err);
	if (grow_reply(control, header->length) < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	memcpy(control->reply + control->length, payload, header->length);
	control->length += header->length;
	control->reply[control->length] = '\0';
	control->complete = !(header->flags & THAW_FRAME_MORE);
	if (control->complete && strlen(control->reply) != control->length)
		return bad_frame(connection, "a reply that is not text", err);
	connection->attempts = 0;
	return THAW_WIRE_DONE;
}

static int take_protocol_error(const struct thaw_connection *connection,
			       const struct thaw_frame *header, const uint8_t *payload,
			       struct thaw_error *err)
{
	char text[256];

	copy_text(text, sizeof(text), payload, header->length);
	return thaw_fail(err, THAW_ERR_ENGINE,
			 "the worker of '%s' refused what it was sent: %s (are the library and the "
			 "daemon of one version?)",
			 connection->name, text);
}

static int take_frame(struct thaw_connection *connection, size_t length, struct thaw_error *err)
{
	const uint8_t *payload = connection->buffer + sizeof(struct thaw_frame);
	struct thaw_frame header;
	const char *wrong = thaw_frame_open(connection->buffer, length, THAW_MESSAGE_MAX, &header);

	if (wrong)
		return bad_frame(connection, wrong, err);
	switch (header.type) {
	case THAW_FRAME_response:
		return take_response(connection, &header, payload, err);
	case THAW_FRAME_response_data:
		return take_response_data(connection, &header, payload, err);
	case THAW_FRAME_control_reply:
		return take_control_reply(connection, &header, payload, err);
	case THAW_FRAME_goaway:
		return THAW_WIRE_GOAWAY;
	case THAW_FRAME_protocol_error:
		return take_protocol_error(connection, &header, connection->buffer + sizeof(header),
					   err);
	default:
		return bad_frame(connection, "a frame of an unknown type", err);
	}
}

int thaw_wire_receive(struct thaw_connection *connection, bool wait, struct thaw_error *err)
{
	const int flags = wait ? 0 : MSG_DONTWAIT;
	enum thaw_frame_received received;
	size_t length;

	received = thaw_frame_receive(connection->fd, connection->buffer, THAW_MESSAGE_MAX, flags,
				      &length);
	/* Frames that the worker sent before the reset can still be read; a GOAWAY may be one. */
	if (received == THAW_FRAME_RESET)
		received = thaw_frame_receive(connection->fd, connection->buffer, THAW_MESSAGE_MAX,
					      flags, &length);
	switch (received) {
	case THAW_FRAME_RECEIVED:
		return take_frame(connection, length, err);
	case THAW_FRAME_NOTHING_YET:
		return THAW_WIRE_BLOCKED;
	case THAW_FRAME_END:
	case THAW_FRAME_RESET:
		break;
	}
	return THAW_WIRE_ENDED;
}
