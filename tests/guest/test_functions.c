/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions as they are built, run in the test's machine: their answers, their ends, and the
 * small cost of an invocation. Tests in tests/engine and tests/blackbox cover what needs the
 * engine's isolation: limits on memory and time, system calls.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/machine.h"

#define WINDOW 65536u

static const char *path_of(const char *function)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", FUNCTIONS, function);
	return path;
}

static struct machine_request text_request(const char *text)
{
	return (struct machine_request){text, strlen(text), 0};
}

static struct machine_outcome *run(const char *function, const char *const *texts, size_t count)
{
	struct machine machine = {.program = path_of(function)};
	struct machine_request requests[64];
	struct machine_outcome *outcomes;

	for (size_t i = 0; i < count; i++)
		requests[i] = text_request(texts[i]);
	outcomes = machine_run(&machine, requests, count);
	cr_assert_eq(outcomes[count].end, MACHINE_FINISHED,
		     "%s did not come to its ready point: %s", function, outcomes[count].log);
	return outcomes;
}

static bool answered(const struct machine_outcome *outcome, const char *text)
{
	return outcome->end == MACHINE_FINISHED && outcome->response_length == strlen(text) &&
	       memcmp(outcome->response, text, strlen(text)) == 0;
}

/* The design's measure for a small function: no exit except the one that ends the invocation, and
 * two written pages, one of stack and one of variables. */
Test(functions, hello_costs_one_exit_and_two_pages)
{
	static const char *const requests[] = {"", "anybody there?"};
	struct machine_outcome *outcomes = run("hello", requests, 2);

	for (size_t i = 0; i < 2; i++) {
		cr_assert(answered(&outcomes[i], "hello, world\n"));
		cr_assert_eq(outcomes[i].status, 0);
		cr_assert_eq(outcomes[i].exits, 1);
		cr_assert_leq(outcomes[i].pages_changed, 2);
	}
	machine_free(outcomes, 2);
}

Test(functions, counter_answers_one_for_ever)
{
	static const char *const requests[] = {"", "", "", ""};
	struct machine_outcome *outcomes = run("counter", requests, 4);

	for (size_t i = 0; i < 4; i++)
		cr_assert(answered(&outcomes[i], "1\n"));
	machine_free(outcomes, 4);
}

Test(functions, entropy_never_repeats)
{
	static const char *const requests[] = {"", "", "", "", "", "", "", ""};
	struct machine_outcome *outcomes = run("entropy", requests, 8);

	for (size_t i = 0; i < 8; i++) {
		unsigned long long wall, monotonic, generation;
		char hex[65];

		cr_assert_eq(sscanf((const char *)outcomes[i].response,
				    "%64[0-9a-f] %llu %llu %llu\n", hex, &wall, &monotonic,
				    &generation),
			     4);
		cr_assert_eq(strlen(hex), 64);
		cr_assert_eq(generation, i + 1);
		cr_assert(wall > 0 && monotonic > 0);
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(memcmp(outcomes[i].response, outcomes[j].response, 64), 0);
	}
	machine_free(outcomes, 8);
}

Test(functions, sha256_of_requests_of_any_size)
{
	/* 'a' repeated: no byte, one window less one, one window, one window and one, many
	 * windows. */
	static const struct {
		size_t length;
		const char *digest;
		unsigned exits;
	} cases[] = {
		{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", 1},
		{WINDOW, "bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a\n", 1},
		{1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0\n", 16},
	};
	struct machine machine = {.program = path_of("sha256")};
	struct machine_request requests[3];
	struct machine_outcome *outcomes;
	char *bytes = malloc(1000000);

	memset(bytes, 'a', 1000000);
	for (size_t i = 0; i < 3; i++)
		requests[i] = (struct machine_request){bytes, cases[i].length, 0};
	outcomes = machine_run(&machine, requests, 3);
	for (size_t i = 0; i < 3; i++) {
		cr_assert(answered(&outcomes[i], cases[i].digest), "%zu: %.64s", cases[i].length,
			  (const char *)outcomes[i].response);
		cr_assert_eq(outcomes[i].exits, cases[i].exits);
	}
	machine_free(outcomes, 3);
	free(bytes);
}

Test(functions, spell_tells_what_is_wrong)
{
	static const struct {
		const char *text, *begins;
		int status;
	} cases[] = {
		{"Teh quick borwn fox\n", "Teh: the, ", 0},
		{"The quick brown fox's tail isn't caf\xc3\xa9-brown in 2024, is it?\n", "", 0},
		{"", "", 0},
		{"borwn BORWN Borwn", "borwn: brown, born, boron\n", 0},
		{"borwn's", "borwn's: brown's, ", 0},
		{"qqqqqqqq", "qqqqqqqq: (no suggestions)\n", 0},
		{"cafe\xcc\x81 caf\xc3\xa8", "caf\xc3\xa8: caf\xc3\xa9", 0},
		{"good\xff", "", 1},
	};
	const char *texts[sizeof(cases) / sizeof(cases[0])];
	size_t count = sizeof(cases) / sizeof(cases[0]);
	struct machine_outcome *outcomes;

	for (size_t i = 0; i < count; i++)
		texts[i] = cases[i].text;
	outcomes = run("spell", texts, count);
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(cases[i].begins);

		cr_assert_eq(outcomes[i].end, MACHINE_FINISHED);
		cr_assert_eq(outcomes[i].status, cases[i].status);
		cr_assert(length == 0 ? outcomes[i].response_length == 0
				      : memcmp(outcomes[i].response, cases[i].begins, length) == 0,
			  "%s: %.100s", cases[i].text, (const char *)outcomes[i].response);
	}
	cr_assert_not_null(strstr((const char *)outcomes[0].response, "\nborwn: brown, "));
	cr_assert_leq(outcomes[0].pages_changed, 2, "a look-up writes to the stack alone");
	/* Each word gets one line, however it is written and however often. */
	cr_assert_eq(outcomes[3].response_length, strlen(cases[3].begins));
	machine_free(outcomes, count);
}

/* More distinct mistakes than the table on the stack can hold, in a text of several windows. */
Test(functions, spell_reports_each_of_many_words_once)
{
	enum { WORDS = 2000, LENGTH = 9, TIMES = 8 };
	struct machine machine = {.program = path_of("spell")};
	char *text = malloc((size_t)WORDS * LENGTH * TIMES + 1), *at = text;
	struct machine_request request;
	struct machine_outcome *outcomes;
	unsigned lines = 0;

	for (unsigned i = 0; i < WORDS * TIMES; i++)
		at += sprintf(at, "qx%c%c%c%cq ", 'a' + i % 10, 'a' + i / 10 % 10,
			      'a' + i / 100 % 10, 'a' + i % WORDS / 1000);
	request = text_request(text);
	cr_assert_gt(request.length, 2 * WINDOW - 10000);
	outcomes = machine_run(&machine, &request, 1);
	cr_assert_eq(outcomes[0].end, MACHINE_FINISHED);
	for (size_t i = 0; i < outcomes[0].response_length; i++)
		lines += outcomes[0].response[i] == '\n';
	cr_assert_eq(lines, WORDS);
	machine_free(outcomes, 1);
	free(text);
}

/* ---- misbehave ---- */

Test(functions, misbehave_ends_as_it_was_told)
{
	static const struct {
		const char *command;
		enum machine_end end;
		int status;
		const char *says; /* the beginning of the response or the log; NULL: any */
	} cases[] = {
		{"crash", MACHINE_KILLED, SIGSEGV, NULL},
		{"crash-exec", MACHINE_KILLED, SIGSEGV, NULL},
		{"crash-stack", MACHINE_KILLED, SIGSEGV, NULL},
		{"illegal", MACHINE_KILLED, SIGILL, NULL},
		{"divide", MACHINE_KILLED, SIGFPE, NULL},
		{"write-text", MACHINE_KILLED, SIGSEGV, NULL},
		{"smash", MACHINE_ABORTED, 0, "stack smashing detected"},
		{"memory-holes", MACHINE_FINISHED, 0, "2048 pages, 0 not zero"},
		{"wx", MACHINE_FINISHED, 0, "refused: -22"},
		{"low", MACHINE_FINISHED, 0, "refused: -22"},
		{"high", MACHINE_FINISHED, 0, "refused: -22"},
		{"shim", MACHINE_KILLED, SIGSEGV, NULL},
		{"log-flood", MACHINE_FINISHED, 0, "100000 lines, 0 dropped"},
		{"answer-too-much", MACHINE_KILLED, SIGXFSZ, NULL},
		{"bad-hypercall", MACHINE_KILLED, SIGSYS, NULL},
		{"bad-length log", MACHINE_KILLED, SIGSYS, NULL},
		{"bad-length", MACHINE_KILLED, SIGXFSZ, NULL},
		{"bad-length read", MACHINE_FINISHED, 0, "not looked at: 0"},
		{"bad-mailbox", MACHINE_FINISHED, 0, "scribbled"},
		{"call other", MACHINE_FINISHED, 0, "refused: -1"},
		{"exit 7", MACHINE_EXITED, 7, "leaving"},
		{"abort no more", MACHINE_ABORTED, 0, "no more"},
		{"status 77", MACHINE_FINISHED, 77, NULL},
		{"status 300", MACHINE_FINISHED, 300 & 255, NULL},
		{"echo one  two", MACHINE_FINISHED, 0, "one  two"},
		{"ok", MACHINE_FINISHED, 0, "\n"},
		{"what?", MACHINE_FINISHED, 2, "crash "},
		{"", MACHINE_FINISHED, 2, "crash "},
	};
	const char *texts[sizeof(cases) / sizeof(cases[0])];
	size_t count = sizeof(cases) / sizeof(cases[0]);
	struct machine_outcome *outcomes;

	for (size_t i = 0; i < count; i++)
		texts[i] = cases[i].command;
	outcomes = run("misbehave", texts, count);
	for (size_t i = 0; i < count; i++) {
		const char *said = cases[i].end == MACHINE_ABORTED
					   ? outcomes[i].log
					   : (const char *)outcomes[i].response;

		cr_assert_eq(outcomes[i].end, cases[i].end, "%s: end %d", cases[i].command,
			     (int)outcomes[i].end);
		cr_assert_eq(outcomes[i].status, cases[i].status, "%s: status %d", cases[i].command,
			     outcomes[i].status);
		if (cases[i].says)
			cr_assert_eq(memcmp(said, cases[i].says, strlen(cases[i].says)), 0,
				     "%s: %.80s", cases[i].command, said);
	}
	machine_free(outcomes, count);
}

Test(functions, misbehave_hangs_until_it_is_killed)
{
	static const struct machine_request requests[] = {
		{"hang", 4, 1}, {"hang-calls", 10, 1}, {"bad-turn", 8, 1}};
	struct machine machine = {.program = path_of("misbehave")};
	struct machine_outcome *outcomes = machine_run(&machine, requests, 3);

	for (size_t i = 0; i < 3; i++)
		cr_assert(outcomes[i].end == MACHINE_KILLED && outcomes[i].status == SIGALRM);
	machine_free(outcomes, 3);
}

Test(functions, misbehave_takes_all_memory_and_no_more)
{
	static const char *const requests[] = {"memory", "memory-remap", "ok"};
	struct machine_outcome *outcomes = run("misbehave", requests, 3);

	for (size_t i = 0; i < 2; i++) {
		unsigned long bytes = strtoul((const char *)outcomes[i].response, NULL, 10);

		cr_assert_eq(outcomes[i].end, MACHINE_FINISHED);
		cr_assert(bytes > (48ul << 20) && bytes <= (64ul << 20), "%lu", bytes);
	}
	cr_assert_eq(outcomes[2].end, MACHINE_FINISHED);
	machine_free(outcomes, 3);
}

Test(functions, misbehave_while_booting)
{
	static const struct {
		const char *argument;
		enum machine_end end;
		int status;
	} cases[] = {
		{"--boot=crash", MACHINE_KILLED, SIGSEGV},
		{"--boot=exit 3", MACHINE_EXITED, 3},
		{"--boot=abort no", MACHINE_ABORTED, 0},
		{"--boot=memory", MACHINE_FINISHED, 0},
		{"--boot=bad-hypercall", MACHINE_KILLED, SIGSYS},
		{"--boot=ok", MACHINE_FINISHED, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const args[] = {cases[i].argument, NULL};
		struct machine machine = {.program = path_of("misbehave"), .args = args};
		struct machine_outcome *outcomes = machine_run(&machine, NULL, 0);

		cr_assert_eq(outcomes[0].end, cases[i].end, "%s", cases[i].argument);
		cr_assert_eq(outcomes[0].status, cases[i].status, "%s", cases[i].argument);
		machine_free(outcomes, 0);
	}
}

/* ---- The guest library ---- */

static struct machine_outcome *probe_with(const struct machine_request *requests, size_t count,
					  bool no_tsc)
{
	static const char *const args[] = {"one", "two words", NULL};
	struct machine machine = {.program = PROBE, .args = args, .no_tsc = no_tsc};
	struct machine_outcome *outcomes = machine_run(&machine, requests, count);

	cr_assert_eq(outcomes[count].end, MACHINE_FINISHED, "%s", outcomes[count].log);
	cr_assert_eq(memcmp(outcomes[count].log, "booted with 3 arguments\n", 24), 0);
	return outcomes;
}

Test(library, does_what_its_header_says)
{
	static const char *const commands[] = {"hooks\n", "heap\n", "clocks\n", "memory\n",
					       "full\n"};
	struct machine_request requests[5];

	for (size_t i = 0; i < 5; i++)
		requests[i] = text_request(commands[i]);
	for (int no_tsc = 0; no_tsc <= 1; no_tsc++) {
		struct machine_outcome *outcomes = probe_with(requests, 5, no_tsc);

		for (size_t i = 0; i < 5; i++)
			cr_assert(answered(&outcomes[i], "ok"), "%s: %s", commands[i],
				  outcomes[i].log);
		machine_free(outcomes, 5);
	}
}

Test(library, random_differs_between_clones)
{
	struct machine_request requests[] = {text_request("entropy\n"), text_request("entropy\n")};
	struct machine_outcome *outcomes = probe_with(requests, 2, false);

	cr_assert(outcomes[0].end == MACHINE_FINISHED && outcomes[1].end == MACHINE_FINISHED, "%s",
		  outcomes[0].log);
	cr_assert_eq(outcomes[0].response_length, 16);
	cr_assert_neq(memcmp(outcomes[0].response, outcomes[1].response, 16), 0);
	machine_free(outcomes, 2);
}

Test(library, requests_of_any_size_arrive_whole)
{
	static const size_t lengths[] = {5, 6, 1000, WINDOW - 1, WINDOW, WINDOW + 1, 200000};
	size_t count = sizeof(lengths) / sizeof(lengths[0]);
	char *bytes = malloc(200000);
	struct machine_request requests[sizeof(lengths) / sizeof(lengths[0])];
	struct machine_outcome *outcomes;

	for (size_t i = 0; i < 200000; i++)
		bytes[i] = (char)('a' + i % 26);
	memcpy(bytes, "read\n", 5);
	for (size_t i = 0; i < count; i++)
		requests[i] = (struct machine_request){bytes, lengths[i], 0};
	outcomes = probe_with(requests, count, false);
	for (size_t i = 0; i < count; i++)
		cr_assert_eq(outcomes[i].end, MACHINE_FINISHED, "%zu: %s", lengths[i],
			     outcomes[i].log);
	/* More than one window of the longest request was left for the body. */
	cr_assert_gt(strtoul((const char *)outcomes[count - 1].response, NULL, 10), WINDOW);
	machine_free(outcomes, count);
	free(bytes);
}

/* A response that fits the window costs no exit; beyond that, each full window costs one. */
Test(library, responses_of_any_size_leave_whole)
{
	static const struct {
		const char *command;
		size_t length;
		unsigned exits;
	} cases[] = {
		{"respond 0\n", 0, 1},		 {"respond 65535\n", 65535, 1},
		{"respond 65536\n", 65536, 1},	 {"respond 65537\n", 65537, 2},
		{"respond 131072\n", 131072, 2}, {"respond 1000000\n", 1000000, 16},
	};
	size_t count = sizeof(cases) / sizeof(cases[0]);
	struct machine_request requests[sizeof(cases) / sizeof(cases[0])];
	struct machine_outcome *outcomes;

	for (size_t i = 0; i < count; i++)
		requests[i] = text_request(cases[i].command);
	outcomes = probe_with(requests, count, false);
	for (size_t i = 0; i < count; i++) {
		cr_assert_eq(outcomes[i].end, MACHINE_FINISHED);
		cr_assert_eq(outcomes[i].response_length, cases[i].length, "%s", cases[i].command);
		cr_assert_eq(outcomes[i].exits, cases[i].exits, "%s: %u", cases[i].command,
			     outcomes[i].exits);
		cr_assert(cases[i].length == 0 ||
			  (outcomes[i].response[0] == 'x' &&
			   outcomes[i].response[cases[i].length - 1] == 'x'));
	}
	machine_free(outcomes, count);
}
