/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the hypercalls, with mailboxes that no honest guest would write. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mailbox.h"

static struct thaw_mailbox *mailbox;
static struct thaw_session session;
static char response[1 << 20];
static size_t response_length;
static char logged[THAW_LOG_LINE_MAX];
static size_t logged_length;

static void respond(void *context, const void *bytes, size_t length)
{
	(void)context;
	memcpy(response + response_length, bytes, length);
	response_length += length;
}

static int take_log(void *context, const char *line, size_t length)
{
	(void)context;
	memcpy(logged, line, length);
	logged_length = length;
	return THAW_EAGAIN;
}

static struct thaw_run run = {.response_max = 200000, .respond = respond, .log = take_log};

static void begin(const void *request, size_t length)
{
	struct thaw_request_header header = {.length = length};

	free(mailbox);
	mailbox = aligned_alloc(THAW_PAGE_SIZE, sizeof(*mailbox) + THAW_PAGE_SIZE -
							sizeof(*mailbox) % THAW_PAGE_SIZE);
	memset(mailbox, 0, sizeof(*mailbox));
	run.request = request;
	run.request_length = length;
	response_length = 0;
	thaw_session_begin(&session, mailbox, &run, &header);
}

static enum thaw_verdict call(uint32_t number, uint32_t status, uint64_t length,
			      struct thaw_outcome *outcome)
{
	mailbox->call = (struct thaw_call){number, status, length};
	return thaw_session_handle(&session, mailbox, outcome);
}

Test(mailbox, absurd_lengths_and_numbers_are_violations)
{
	static const struct thaw_call calls[] = {
		{THAW_HYPERCALL_next, 0, THAW_WINDOW_SIZE + 1},
		{THAW_HYPERCALL_next, 256, 0},
		{THAW_HYPERCALL_next, UINT32_MAX, 0},
		{THAW_HYPERCALL_next, 0, UINT64_MAX},
		{THAW_HYPERCALL_exit, 0, UINT64_MAX},
		{THAW_HYPERCALL_exit, 1u << 31, 0},
		{THAW_HYPERCALL_write, 0, THAW_WINDOW_SIZE + 1},
		{THAW_HYPERCALL_write, 0, UINT64_MAX},
		{THAW_HYPERCALL_log, 0, THAW_LOG_LINE_MAX + 1},
		{THAW_HYPERCALL_log, 0, UINT64_MAX},
		{THAW_HYPERCALL_random, 0, THAW_RANDOM_MAX + 1},
		{THAW_HYPERCALL_random, 0, UINT64_MAX},
		{THAW_HYPERCALL_abort, 0, THAW_SCRATCH_SIZE + 1},
		{THAW_HYPERCALL_abort, 0, UINT64_MAX},
		{0, 0, 0},
		{9, 0, 0},
		{63, 0, 0},
		{THAW_SHIM_CALL_map, 0, 0},
		{UINT32_MAX, 0, 0},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct thaw_outcome outcome = {0};

		begin("", 0);
		cr_expect_eq(call(calls[i].number, calls[i].status, calls[i].length, &outcome),
			     THAW_VERDICT_DONE);
		cr_expect_eq(outcome.kind, THAW_OUTCOME_violation, "call %zu", i);
		cr_expect_eq(outcome.exit_code, 159);
		cr_expect_eq(response_length, 0);
	}
}

Test(mailbox, the_largest_of_everything_is_taken)
{
	struct thaw_outcome outcome = {0};

	begin("", 0);
	cr_assert_eq(call(THAW_HYPERCALL_write, 0, THAW_WINDOW_SIZE, &outcome),
		     THAW_VERDICT_CONTINUE);
	cr_assert_eq(mailbox->reply, (int64_t)THAW_WINDOW_SIZE);
	cr_assert_eq(call(THAW_HYPERCALL_log, 0, THAW_LOG_LINE_MAX, &outcome),
		     THAW_VERDICT_CONTINUE);
	cr_assert_eq(logged_length, THAW_LOG_LINE_MAX);
	cr_assert_eq(mailbox->reply, THAW_EAGAIN);
	cr_assert_eq(call(THAW_HYPERCALL_random, 0, THAW_RANDOM_MAX, &outcome),
		     THAW_VERDICT_CONTINUE);
	cr_assert_eq(mailbox->reply, (int64_t)THAW_RANDOM_MAX);
	cr_assert_eq(call(THAW_HYPERCALL_next, 255, THAW_WINDOW_SIZE, &outcome), THAW_VERDICT_DONE);
	cr_assert_eq(outcome.kind, THAW_OUTCOME_finished);
	cr_assert_eq(outcome.exit_code, 255);
	cr_assert_eq(response_length, 2 * THAW_WINDOW_SIZE);
}

Test(mailbox, a_request_arrives_whole_and_in_order)
{
	size_t length = 3 * THAW_WINDOW_SIZE + 17, got;
	uint8_t *request = malloc(length), *seen = malloc(length);
	struct thaw_outcome outcome = {0};

	for (size_t i = 0; i < length; i++)
		request[i] = (uint8_t)(i * 31 + i / 251);
	begin(request, length);
	cr_assert_eq(mailbox->request.window_length, THAW_WINDOW_SIZE);
	memcpy(seen, mailbox->request_window, THAW_WINDOW_SIZE);
	got = THAW_WINDOW_SIZE;
	while (call(THAW_HYPERCALL_read, 0, 0, &outcome) == THAW_VERDICT_CONTINUE &&
	       mailbox->reply > 0) {
		memcpy(seen + got, mailbox->request_window, (size_t)mailbox->reply);
		got += (size_t)mailbox->reply;
	}
	cr_assert_eq(got, length);
	cr_assert_arr_eq(seen, request, length);
	cr_assert_eq(mailbox->reply, 0, "and then nothing more");
	free(request);
	free(seen);
}

Test(mailbox, the_response_limit_holds_to_the_byte)
{
	struct thaw_outcome outcome = {0};

	begin("", 0);
	cr_assert_eq(call(THAW_HYPERCALL_write, 0, 65536, &outcome), THAW_VERDICT_CONTINUE);
	cr_assert_eq(call(THAW_HYPERCALL_write, 0, 65536, &outcome), THAW_VERDICT_CONTINUE);
	cr_assert_eq(call(THAW_HYPERCALL_write, 0, 65536, &outcome), THAW_VERDICT_CONTINUE);
	cr_assert_eq(call(THAW_HYPERCALL_write, 0, 200000 - 3 * 65536, &outcome),
		     THAW_VERDICT_CONTINUE);
	cr_assert_eq(call(THAW_HYPERCALL_next, 0, 1, &outcome), THAW_VERDICT_DONE);
	cr_assert_eq(outcome.kind, THAW_OUTCOME_too_much);
	cr_assert_eq(response_length, 200000);
}

Test(mailbox, calls_to_other_functions_are_not_granted)
{
	struct thaw_outcome outcome = {0};

	begin("", 0);
	cr_assert_eq(call(THAW_HYPERCALL_call, 0, 0, &outcome), THAW_VERDICT_CONTINUE);
	cr_assert_eq(mailbox->reply, THAW_ENOTGRANTED);
}

Test(mailbox, an_abort_keeps_its_words_and_no_control_characters)
{
	struct thaw_outcome outcome = {0};

	begin("", 0);
	memcpy(mailbox->scratch, "bad\033[2J\n", 8);
	cr_assert_eq(call(THAW_HYPERCALL_abort, 0, 8, &outcome), THAW_VERDICT_DONE);
	cr_assert_str_eq(outcome.message, "the function aborted: bad?[2J?");
	memset(mailbox->scratch, 'x', THAW_SCRATCH_SIZE);
	cr_assert_eq(call(THAW_HYPERCALL_abort, 0, THAW_SCRATCH_SIZE, &outcome), THAW_VERDICT_DONE);
	cr_assert_lt(strlen(outcome.message), sizeof(outcome.message));
}

Test(mailbox, faults_with_impossible_signals_are_violations)
{
	struct thaw_outcome outcome = {0};

	begin("", 0);
	mailbox->fault.signal = 11;
	cr_assert_eq(call(THAW_CALL_FAULT, 0, 0, &outcome), THAW_VERDICT_DONE);
	cr_assert_eq(outcome.exit_code, 139);
	cr_assert(outcome.has_fault);
	for (size_t i = 0; i < 2; i++) {
		outcome = (struct thaw_outcome){0};
		mailbox->fault.signal = i ? UINT32_MAX : 0;
		cr_assert_eq(call(THAW_CALL_FAULT, 0, 0, &outcome), THAW_VERDICT_DONE);
		cr_assert_eq(outcome.kind, THAW_OUTCOME_violation);
		cr_assert_not(outcome.has_fault);
	}
}
