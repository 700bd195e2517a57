/* SPDX-License-Identifier: Apache-2.0 */
/* The hypercalls; see mailbox.h. Misuse by a guest ends its invocation as a violation and has no
 * other effect. */
#include "engine/mailbox.h"

#include <string.h>
#include <sys/random.h>

#include "snapshot-format/base/clock.h"

static uint32_t put_piece(struct thaw_session *session, struct thaw_mailbox *mailbox)
{
	size_t left = session->run->request_length - session->request_taken;
	size_t piece = left < THAW_WINDOW_SIZE ? left : THAW_WINDOW_SIZE;

	if (piece)
		memcpy(mailbox->request_window,
		       (const uint8_t *)session->run->request + session->request_taken, piece);
	session->request_taken += piece;
	return (uint32_t)piece;
}

void thaw_session_begin(struct thaw_session *session, struct thaw_mailbox *mailbox,
			const struct thaw_run *run, const struct thaw_request_header *header)
{
	*session = (struct thaw_session){.run = run};
	mailbox->request = *header;
	mailbox->request.window_length = put_piece(session, mailbox);
	mailbox->reply = 0;
}

static enum thaw_verdict violation(struct thaw_outcome *outcome, const char *what, uint64_t value)
{
	thaw_outcome_set(outcome, THAW_OUTCOME_violation,
			 "the function broke the guest ABI: %s %#llx", what,
			 (unsigned long long)value);
	return THAW_VERDICT_DONE;
}

/* Takes LENGTH bytes of the response window. Returns 0, or -1 with the outcome set. */
static int take_response(struct thaw_session *session, struct thaw_mailbox *mailbox,
			 uint64_t length, struct thaw_outcome *outcome)
{
	const struct thaw_run *run = session->run;

	if (length > THAW_WINDOW_SIZE) {
		violation(outcome, "a response piece of length", length);
		return -1;
	}
	if (length > run->response_max - session->response_length) {
		thaw_outcome_set(outcome, THAW_OUTCOME_too_much,
				 "the response is larger than the limit of %llu bytes",
				 (unsigned long long)run->response_max);
		return -1;
	}
	session->response_length += length;
	if (length && run->respond)
		run->respond(run->context, mailbox->response_window, length);
	return 0;
}

static enum thaw_verdict finish(struct thaw_session *session, struct thaw_mailbox *mailbox,
				const struct thaw_call *call, struct thaw_outcome *outcome)
{
	enum thaw_outcome_kind kind =
		call->number == THAW_HYPERCALL_exit ? THAW_OUTCOME_exited : THAW_OUTCOME_finished;

	if (call->status > 255)
		return violation(outcome, "an exit status of", call->status);
	if (take_response(session, mailbox, call->length, outcome))
		return THAW_VERDICT_DONE;
	thaw_outcome_set(outcome, kind, NULL);
	outcome->exit_code = (int)call->status;
	return THAW_VERDICT_DONE;
}

static enum thaw_verdict reply(struct thaw_mailbox *mailbox, int64_t value)
{
	mailbox->reply = value;
	return THAW_VERDICT_CONTINUE;
}

static int64_t log_line(const struct thaw_session *session, struct thaw_mailbox *mailbox,
			size_t length)
{
	char line[THAW_LOG_LINE_MAX];

	memcpy(line, mailbox->scratch, length);
	return session->run->log ? session->run->log(session->run->context, line, length) : 0;
}

static enum thaw_verdict aborted(struct thaw_mailbox *mailbox, size_t length,
				 struct thaw_outcome *outcome)
{
	char text[sizeof(outcome->message) - 32];

	if (length > sizeof(text))
		length = sizeof(text);
	memcpy(text, mailbox->scratch, length);
	thaw_outcome_set(outcome, THAW_OUTCOME_aborted, "the function aborted: %.*s", (int)length,
			 text);
	return THAW_VERDICT_DONE;
}

static enum thaw_verdict faulted(struct thaw_mailbox *mailbox, struct thaw_outcome *outcome)
{
	outcome->fault = mailbox->fault;
	if (outcome->fault.signal < 1 || outcome->fault.signal > 64)
		return violation(outcome, "a fault with signal", outcome->fault.signal);
	outcome->has_fault = true;
	thaw_outcome_crashed(outcome, (int)outcome->fault.signal);
	return THAW_VERDICT_DONE;
}

/* For a shim that has no clock of its own. */
static enum thaw_verdict tell_time(struct thaw_mailbox *mailbox)
{
	mailbox->request.clock.wall_ns = thaw_wall_ns();
	mailbox->request.clock.monotonic_ns = thaw_monotonic_ns();
	return reply(mailbox, 0);
}

enum thaw_verdict thaw_session_handle(struct thaw_session *session, struct thaw_mailbox *mailbox,
				      struct thaw_outcome *outcome)
{
	struct thaw_call call = *(volatile struct thaw_call *)&mailbox->call;

	switch (call.number) {
	case THAW_HYPERCALL_next:
	case THAW_HYPERCALL_exit:
		return finish(session, mailbox, &call, outcome);
	case THAW_HYPERCALL_read:
		return reply(mailbox, put_piece(session, mailbox));
	case THAW_HYPERCALL_write:
		if (take_response(session, mailbox, call.length, outcome))
			return THAW_VERDICT_DONE;
		return reply(mailbox, (int64_t)call.length);
	case THAW_HYPERCALL_log:
		if (call.length > THAW_LOG_LINE_MAX)
			return violation(outcome, "a log line of length", call.length);
		return reply(mailbox, log_line(session, mailbox, call.length));
	case THAW_HYPERCALL_random:
		if (call.length > THAW_RANDOM_MAX)
			return violation(outcome, "a request for random bytes of length",
					 call.length);
		/* Up to 256 bytes come whole and without a wait: getrandom(2). */
		return reply(mailbox, getrandom(mailbox->scratch, call.length, 0));
	case THAW_HYPERCALL_call:
		return reply(mailbox, THAW_ENOTGRANTED);
	case THAW_HYPERCALL_abort:
		if (call.length > THAW_SCRATCH_SIZE)
			return violation(outcome, "an abort message of length", call.length);
		return aborted(mailbox, call.length, outcome);
	case THAW_CALL_CLOCK:
		return tell_time(mailbox);
	case THAW_CALL_TICK:
		return reply(mailbox, 0); /* the backend looks at `tick_ns` after each call */
	case THAW_CALL_FAULT:
		return faulted(mailbox, outcome);
	default:
		return violation(outcome, "hypercall", call.number);
	}
}
