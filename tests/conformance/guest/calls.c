/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls, used properly and improperly. Numbers are hexadecimal. */
#include "tests/conformance/guest/conform.h"

static unsigned bits_of(unsigned byte)
{
	unsigned count = 0;

	for (; byte; byte &= byte - 1)
		count++;
	return count;
}

/* Reads the whole request: the command's line, then body_byte() from there on. */
static void take_body(void)
{
	uint64_t length = MAILBOX->request.length, at = 0;
	uint64_t piece = MAILBOX->request.window_length;
	bool in_line = true;

	while (piece) {
		thaw_must(piece ==
			  (length - at < THAW_WINDOW_SIZE ? length - at : THAW_WINDOW_SIZE));
		for (uint64_t i = 0; i < piece; i++) {
			if (!in_line)
				thaw_must(request_window()[i] == body_byte(at + i));
			in_line &= request_window()[i] != '\n';
		}
		at += piece;
		piece = (uint64_t)hypercall(THAW_HYPERCALL_read, 0, 0);
	}
	thaw_must(at == length);
	thaw_must(hypercall(THAW_HYPERCALL_read, 0, 0) == 0); /* still nothing */
}

static void body(const char *rest)
{
	uint64_t out = word(&rest), at = 0;

	take_body();
	for (;;) {
		uint64_t piece = out - at < THAW_WINDOW_SIZE ? out - at : THAW_WINDOW_SIZE;

		for (uint64_t i = 0; i < piece; i++)
			response_window()[i] = body_byte(at + i);
		at += piece;
		if (at == out) {
			said = piece;
			return;
		}
		thaw_must(hypercall(THAW_HYPERCALL_write, 0, piece) == (long)piece);
	}
}

static void header(const char *rest)
{
	volatile struct thaw_request_header *header = &MAILBOX->request;
	unsigned bits = 0;

	(void)rest;
	thaw_must(header->generation != 0);
	thaw_must(header->length == header->window_length);
	thaw_must(header->deadline_ns != 0);
	thaw_must(header->clock.monotonic_ns != 0 && header->clock.wall_ns != 0);
	for (unsigned i = 0; i < THAW_SEED_SIZE; i++)
		bits += bits_of(header->seed[i]);
	thaw_must(bits > 64 && bits < 192); /* fair coins give this with near certainty */
	say("%lu bytes", header->length);
}

/* Answers with the values that must differ in each invocation; the test compares them. */
static void fresh(const char *rest)
{
	(void)rest;
	say("%016lx ", MAILBOX->request.generation);
	for (unsigned i = 0; i < THAW_SEED_SIZE; i++)
		say("%02x", MAILBOX->request.seed[i]);
	thaw_must(hypercall(THAW_HYPERCALL_random, 0, 32) == 32);
	say(" ");
	for (unsigned i = 0; i < 32; i++)
		say("%02x", scratch()[i]);
}

static void end(const char *rest)
{
	uint64_t number = word(&rest), status = word(&rest), length = word(&rest);

	memcpy(response_window(), "farewell", 8);
	say("%s%ld", said ? "" : "back: ", hypercall((long)number, (uint32_t)status, length));
}

/* call NUMBER LENGTH: answers with the reply. */
static void call(const char *rest)
{
	uint64_t number = word(&rest), length = word(&rest);
	long reply;

	for (size_t i = 0; i < THAW_SCRATCH_SIZE; i++)
		scratch()[i] = (uint8_t)('a' + i % 26);
	reply = hypercall((long)number, 0, length);
	say("%ld", reply);
}

/* text NUMBER TEXT: logs or aborts with exactly this text. */
static void text(const char *rest)
{
	uint64_t number = word(&rest);
	size_t length;

	skip_spaces(&rest);
	length = strlen(rest);
	memcpy(scratch(), rest, length);
	say("%ld", hypercall((long)number, 0, length));
}

static void randoms(const char *rest)
{
	uint8_t first[THAW_RANDOM_MAX];

	(void)rest;
	for (unsigned length = 0; length <= THAW_RANDOM_MAX; length++) {
		unsigned set = 0;

		memset(scratch(), 0, THAW_SCRATCH_SIZE);
		thaw_must(hypercall(THAW_HYPERCALL_random, 0, length) == (long)length);
		for (unsigned i = 0; i < THAW_SCRATCH_SIZE; i++)
			set += i >= length && scratch()[i];
		thaw_must(set == 0); /* no byte beyond that */
		for (unsigned i = 0; i < length; i++)
			set += bits_of(scratch()[i]);
		thaw_must(length < 64 || (set > length * 2 && set < length * 6));
	}
	memcpy(first, scratch(), sizeof(first));
	thaw_must(hypercall(THAW_HYPERCALL_random, 0, THAW_RANDOM_MAX) == THAW_RANDOM_MAX);
	thaw_must(memcmp(first, scratch(), sizeof(first)) != 0);
	say("ok");
}

static void times(const char *rest)
{
	struct thaw_shim_clock before, after = {0, 0};
	uint64_t start_ns = MAILBOX->request.clock.monotonic_ns;
	uint64_t hour_ns = 3600000000000ul, first;

	(void)rest;
	thaw_must(gate(THAW_SHIM_CALL_clock, &before) == 0);
	first = before.monotonic_ns;
	for (unsigned i = 0; i < 20; i++) {
		thaw_must(gate(THAW_SHIM_CALL_clock, &after) == 0);
		thaw_must(after.monotonic_ns >= before.monotonic_ns);
		before = after;
	}
	thaw_must(after.monotonic_ns > first && first >= start_ns);
	thaw_must(after.monotonic_ns - start_ns < hour_ns);
	thaw_must(after.wall_ns > 1000000000000000000ul); /* in this century */
	thaw_must(MAILBOX->request.deadline_ns > after.monotonic_ns);
	if (MAILBOX->request.clock.mult) {
		uint64_t tsc = __builtin_ia32_rdtsc() - MAILBOX->request.clock.tsc_base;
		uint64_t now = start_ns +
			       (uint64_t)(((unsigned __int128)tsc * MAILBOX->request.clock.mult) >>
					  MAILBOX->request.clock.shift);

		thaw_must(now + hour_ns > after.monotonic_ns && now < after.monotonic_ns + hour_ns);
	}
	say("ok");
}

static void too_much(const char *rest)
{
	(void)rest;
	for (;;)
		thaw_must(hypercall(THAW_HYPERCALL_write, 0, THAW_WINDOW_SIZE) == THAW_WINDOW_SIZE);
}

static void spin(const char *rest)
{
	(void)rest;
	for (;;)
		__asm__ volatile("pause");
}

static void flood(const char *rest)
{
	uint64_t number = word(&rest);

	for (;;)
		hypercall((long)number, 0, 0);
}

/* forge SIGNAL: a fault record that the guest made up. */
static void forge(const char *rest)
{
	MAILBOX->fault.signal = (uint32_t)word(&rest);
	MAILBOX->fault.vector = 77;
	MAILBOX->fault.address = 0x4711;
	MAILBOX->fault.registers[16] = 0x815;
	say("back: %ld", hypercall(THAW_CALL_FAULT, 0, 0));
}

/* Overwrites the whole mailbox except the turn. */
static void scribble(const char *rest)
{
	uint8_t *mailbox = (uint8_t *)THAW_MAILBOX;

	(void)rest;
	memset(mailbox + 8, 0xff, THAW_MAILBOX_SIZE - 8);
	memcpy(response_window(), "ok", 2);
	said = 2;
}

static void scribble_turn(const char *rest)
{
	MAILBOX->turn = (uint32_t)word(&rest);
	MAILBOX->up = 0;
	say("ok");
}

const struct command call_commands[] = {
	{"body", body},		{"header", header},	 {"fresh", fresh},     {"end", end},
	{"call", call},		{"text", text},		 {"randoms", randoms}, {"times", times},
	{"too-much", too_much}, {"spin", spin},		 {"flood", flood},     {"forge", forge},
	{"scribble", scribble}, {"turn", scribble_turn}, {NULL, NULL},
};
