/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls, and the state that every invocation must find. Numbers in requests are
 * hexadecimal. */
#include "tests/conformance/conform.h"

#define OK(name, request, response)                                                                \
	{                                                                                          \
		name, request, THAW_OUTCOME_finished, 0, response                                  \
	}
#define VIOLATION(name, request, text)                                                             \
	{                                                                                          \
		name, request, THAW_OUTCOME_violation, 159, NULL, .message = text                  \
	}
/* The next invocation must find no leftover: first the guest's usual look, then the deep one. */
#define LEAVES(name, request) OK(name, request, "ok"), OK(name ", then a look", "look", "ok")

static const struct conform_case calls[] = {
	/* Requests and responses of all sizes. */
	OK("an empty request", "", ""),
	OK("the header", "header", "6 bytes"),
	OK("a look", "look", "ok"),
	OK("and another", "look", "ok"),
	{"nothing back", "body 0", THAW_OUTCOME_finished, 0, ""},
	{"one byte back", "body 1", THAW_OUTCOME_finished, .response_size = 1},
	{"a window back", "body 10000", THAW_OUTCOME_finished, .response_size = 0x10000},
	{"a window and a byte back", "body 10001", THAW_OUTCOME_finished, .response_size = 0x10001},
	{"a megabyte back", "body 100001", THAW_OUTCOME_finished, .response_size = 0x100001},
	{"a page in", "body 1", THAW_OUTCOME_finished, .size = 4096, .response_size = 1},
	{"a window less one in", "body 1", THAW_OUTCOME_finished, .size = 0xffff,
	 .response_size = 1},
	{"a window in", "body 1", THAW_OUTCOME_finished, .size = 0x10000, .response_size = 1},
	{"a window and a byte in", "body 1", THAW_OUTCOME_finished, .size = 0x10001,
	 .response_size = 1},
	{"two windows in and back", "body 20000", THAW_OUTCOME_finished, .size = 0x20000,
	 .response_size = 0x20000},
	{"300,000 bytes in", "body 5", THAW_OUTCOME_finished, .size = 300000, .response_size = 5},
	OK("a short request after a long one", "look", "ok"),
	{"more than the response's limit", "too-much", THAW_OUTCOME_too_much, 153, NULL},

	/* next, exit: number, status, length. */
	{"status 1", "end 1 1 0", THAW_OUTCOME_finished, 1, ""},
	{"status 255", "end 1 ff 8", THAW_OUTCOME_finished, 255, "farewell"},
	VIOLATION("status 256", "end 1 100 8", "an exit status of 0x100"),
	VIOLATION("status -1", "end 1 ffffffff 0", "an exit status of 0xffffffff"),
	{"a whole window with next", "end 1 0 10000", THAW_OUTCOME_finished, 0, NULL},
	VIOLATION("more than a window with next", "end 1 0 10001", "length 0x10001"),
	VIOLATION("a length that wraps with next", "end 1 0 ffffffffffffffff",
		  "length 0xffffffffffffffff"),
	{"exit 0", "end 7 0 0", THAW_OUTCOME_exited, 0, ""},
	{"exit 7", "end 7 7 8", THAW_OUTCOME_exited, 7, "farewell"},
	{"exit 255", "end 7 ff 4", THAW_OUTCOME_exited, 255, "fare"},
	VIOLATION("exit 256", "end 7 100 0", "an exit status of 0x100"),
	VIOLATION("more than a window with exit", "end 7 0 10001", "length 0x10001"),
	VIOLATION("next, the number with more above", "end 100000001 3 8", "hypercall 0xffffffff"),
	OK("a look after that", "look", "ok"),

	/* write, log, random, call: number, length. */
	OK("write nothing", "call 3 0", "0"),
	VIOLATION("write too much", "call 3 10001", "length 0x10001"),
	VIOLATION("write a length that wraps", "call 3 8000000000000000", "length 0x8"),
	OK("log an empty line", "call 4 0", "0"),
	OK("log a byte", "call 4 1", "0"),
	OK("log the longest line", "call 4 400", "0"),
	VIOLATION("log too long a line", "call 4 401", "a log line of length 0x401"),
	VIOLATION("log a length that wraps", "call 4 ffffffff00000000", "a log line"),
	OK("log some words", "text 4 some words", "0"),
	OK("log too often", "text 4 too often", "-11"),
	OK("random bytes of all lengths", "randoms", "ok"),
	VIOLATION("too many random bytes", "call 5 101", "random bytes of length 0x101"),
	VIOLATION("random bytes of a length that wraps", "call 5 ffffffffffffffff", "random bytes"),
	OK("call is not granted", "call 6 0", "-1"),
	OK("call is not granted, whatever the length", "call 6 ffffffffffffffff", "-1"),
	{"fresh numbers", "fresh", THAW_OUTCOME_finished, .flags = FRESH, .repeat = 5},
	OK("clocks", "times", "ok"),

	/* abort. */
	{"abort", "text 8 that is why", THAW_OUTCOME_aborted, 134, "",
	 .message = "the function aborted: that is why"},
	{"abort without a word", "call 8 0", THAW_OUTCOME_aborted, 134, "",
	 .message = "the function aborted"},
	{"abort, the longest message", "call 8 800", THAW_OUTCOME_aborted, 134, "",
	 .message = "abcdefghijklmnopqrstuvwxyz"},
	VIOLATION("abort, too long a message", "call 8 801", "an abort message of length 0x801"),
	{"abort with escapes in the message", "text 8 \x1b[31mred\x7f", THAW_OUTCOME_aborted, 134,
	 "", .message = "?[31mred?"},

	/* Numbers that do not exist. */
	VIOLATION("hypercall 0", "call 0 0", "hypercall 0"),
	VIOLATION("hypercall 9", "call 9 0", "hypercall 0x9"),
	VIOLATION("hypercall 63", "call 3f 0", "hypercall 0x3f"),
	VIOLATION("hypercall 71", "call 47 0", "hypercall 0x47"),
	VIOLATION("hypercall 255", "call ff 0", "hypercall 0xff"),
	VIOLATION("hypercall 0x103", "call 103 0", "hypercall 0x103"),
	VIOLATION("hypercall -1", "call ffffffffffffffff 0", "hypercall 0xffffffff"),
	VIOLATION("map, the number with more above", "call 100000040 0", "hypercall 0xffffffff"),
	OK("the shim's own call for the time", "call 101 0", "0"),
	OK("a look at ticks that no one wants", "call 46 0", "0"),
	OK("the shim's own call for ticks", "call 102 0", "0"),
	{"a fault of the guest's making", "forge b", THAW_OUTCOME_crashed, 139, "",
	 .message = "0x4711"},
	VIOLATION("a fault without a signal", "forge 0", "a fault with signal"),
	VIOLATION("a fault with signal 65", "forge 41", "a fault with signal 0x41"),

	/* The guest may spoil the mailbox. */
	LEAVES("scribble over the mailbox", "scribble"),
	{"say whose turn it is: the host's", "turn 2", THAW_OUTCOME_finished, .flags = RACES,
	 .why = "a process waits on the word, and sees it or not; KVM has no use for it"},
	{"say whose turn it is: nobody's", "turn ffffffff", THAW_OUTCOME_finished, .flags = RACES,
	 .why = "the same"},
	{"say that it is dead", "turn 3", THAW_OUTCOME_finished, .flags = RACES, .why = "the same"},

	/* Deadlines. */
	{"run for ever", "spin", THAW_OUTCOME_deadline, 124, "", .flags = ENDLESS},
	{"call for ever", "flood 6", THAW_OUTCOME_deadline, 124, "", .flags = ENDLESS},
	{"ask for the time for ever", "flood 101", THAW_OUTCOME_deadline, 124, "",
	 .flags = ENDLESS},
};

static const struct conform_case state[] = {
	{"what the processor remembers", "registers", THAW_OUTCOME_finished, 0, NULL},
	LEAVES("memory otherwise", "spoil-memory"),
	LEAVES("memory otherwise, again", "spoil-memory"),
	LEAVES("every page written", "write-all"),
	LEAVES("ranges otherwise", "spoil-ranges"),
	LEAVES("every page written after that", "write-all"),
	LEAVES("protections otherwise", "spoil-protections"),
	LEAVES("every page written after those", "write-all"),
	LEAVES("windows otherwise", "spoil-windows"),
	LEAVES("registers otherwise", "spoil-registers 202 0"),
	LEAVES("registers and segments otherwise", "spoil-registers 202 1"),
	LEAVES("registers otherwise, x87 exceptions pending", "spoil-registers 202 2"),
	LEAVES("DF", "spoil-registers 602 1"),
	LEAVES("AC", "spoil-registers 40202 1"),
	LEAVES("NT", "spoil-registers 4202 0"),
	LEAVES("ID", "spoil-registers 200202 0"),
	LEAVES("all the flags that a program has", "spoil-registers 244ed7 3"),
	{"what the processor remembers now", "registers", THAW_OUTCOME_finished, 0, NULL},
};

static void each_of(const struct conform_case *cases, size_t count,
		    void (*each)(void *context, const struct conform_case *one), void *context)
{
	for (size_t i = 0; i < count; i++)
		each(context, &cases[i]);
}

void conform_each_call(void (*each)(void *context, const struct conform_case *one), void *context)
{
	each_of(calls, sizeof(calls) / sizeof(calls[0]), each, context);
	each_of(state, sizeof(state) / sizeof(state[0]), each, context);
}
