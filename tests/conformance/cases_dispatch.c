/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dispatch and segments, on an image that had them armed at its ready point: every clone has them,
 * no state of a program is lost on the way, and hostile code gains nothing. The guest checks
 * registers and vector state itself.
 */
#include "tests/conformance/conform.h"

#define OK(name, request, response)                                                                \
	{                                                                                          \
		name, request, THAW_OUTCOME_finished, 0, response                                  \
	}
#define FATAL(name, request)                                                                       \
	{                                                                                          \
		name, request, THAW_OUTCOME_crashed, 0, NULL                                       \
	}

static const struct conform_case cases[] = {
	OK("dispatch: a program's system call", "program leave 0 0", "1 calls, rsp 0"),
	OK("dispatch: and back to the program", "program call 0 1", "2 calls, rsp 0"),
	FATAL("dispatch: no canonical stack, then a system call",
	      "program call 8000000000000000 0"),
	FATAL("dispatch: no canonical stack, then a fault", "program ud2 dead000000000000 0"),
	OK("dispatch: a supervisor's stack", "program call ffff800000000100 0",
	   "2 calls, rsp ffff800000000100"),
	OK("dispatch: ud2", "program ud2 0 0", "fault 4 6 804000020 at 804000020 rsp 0"),
	OK("dispatch: int3", "program int3 123 0", "fault 5 3 0 at 804000031 rsp 123"),
	OK("dispatch: hlt", "program hlt 0 0", "fault 11 d 0 at 804000040 rsp 0"),
	OK("dispatch: division by zero", "program divide 0 0",
	   "fault 8 0 804000050 at 804000050 rsp 0"),
	OK("dispatch: a read of nothing", "program read 0 4711",
	   "fault 11 e 4711 at 804000060 rsp 0"),
	OK("dispatch: a write to code", "program write 0 804000000",
	   "fault 11 e 804000000 at 804000070 rsp 0"),
	OK("dispatch: a read of a supervisor's page", "program read 0 ffffffff80001000",
	   "fault 11 e ffffffff80001000 at 804000060 rsp 0"),
	OK("dispatch: a jump to nothing", "program jump 0 8", "fault 11 e 8 at 8 rsp 0"),
	OK("dispatch: a jump to a supervisor's page", "program jump 0 ffffffff80001000",
	   "fault 11 e ffffffff80001000 at ffffffff80001000 rsp 0"),
	{"dispatch: int $0x80", "program int80 0 0", THAW_OUTCOME_finished, .flags = DIFFERS,
	 .why = "a kernel that has no 32-bit calls says #GP"},
	OK("dispatch: a push without a stack", "program push 10 0",
	   "fault 11 e 8 at 8040000a0 rsp 10"),
	OK("dispatch: a port", "program out 0 0", "fault 11 d 0 at 8040000b0 rsp 0"),
	OK("dispatch: and then a look", "look", "ok"),

	/* Neither the guest's own code nor the shim is dispatched. */
	FATAL("dispatch: a system call of the guest's own", "syscall 27"),
	FATAL("dispatch: a fault of the guest's own", "insn ud2"),
	FATAL("dispatch: a call with a stack that is none", "stack gate 0 0 e"),
	FATAL("dispatch: turned off", "off"),
	OK("dispatch: and on again in the next", "program leave 0 0", "1 calls, rsp 0"),
	FATAL("dispatch: an entry that faults", "bad-entry"),
	FATAL("dispatch: an entry that is not mapped", "no-entry"),
	OK("dispatch: and as it was in the next", "program ud2 0 0",
	   "fault 4 6 804000020 at 804000020 rsp 0"),

	/* Arguments. */
	OK("dispatch: an end before its start", "dispatch 500000 400000 400000 400000", "-22"),
	OK("dispatch: nothing at all between", "dispatch 400000 400000 400000 400000", "-22"),
	OK("dispatch: no end", "dispatch 400000 0 400000 400000", "-22"),
	OK("dispatch: entries alone", "dispatch 0 0 400000 400000", "-22"),
	OK("dispatch: an entry behind the end", "dispatch 400000 500000 500000 400000", "-22"),
	OK("dispatch: an entry before the start", "dispatch 400000 500000 400000 3fffff", "-22"),
	OK("dispatch: an entry in the shim", "dispatch 400000 1000000000 1000000000 1000000000",
	   "-22"),
	OK("dispatch: the shim as one's own", "dispatch 400000 1000100000 400000 1000000000",
	   "-22"),
	OK("dispatch: a supervisor's code",
	   "dispatch ffffffff80000000 ffffffff80002000 ffffffff80001000 ffffffff80001000", "-22"),
	OK("dispatch: an entry that is not canonical",
	   "dispatch 400000 ffffffffffffffff 400000 8000000000000000", "-22"),
	OK("dispatch: below the region", "dispatch 0 500000 400000 400000", "-22"),
	OK("dispatch: all of the region", "dispatch 10000 1000000000 400000 400000", "0"),
	FATAL("dispatch: an argument at 0", "dispatch-at 0"),
	FATAL("dispatch: an argument in the shim's control page", "dispatch-at ffffffff801ff000"),
	FATAL("dispatch: an argument across the end of a page", "dispatch-at 804000ff0"),
	{"dispatch: an argument that is no canonical address", "dispatch-at 8000000000000000",
	 THAW_OUTCOME_crashed, 139, NULL},

	OK("segments", "segments-used", "1111 2222"),
	{"segments: not those of the invocation before", "segments-fresh", THAW_OUTCOME_crashed,
	 139, ""},
	OK("segments: the last address", "segments 7fffffffefff 0", "0"),
	OK("segments: one further", "segments 7ffffffff000 0", "-22"),
	OK("segments: GS, one further", "segments 0 7ffffffff000", "-22"),
	OK("segments: no canonical address", "segments 8000000000000000 0", "-22"),
	OK("segments: a supervisor's address", "segments 0 ffffffff80000000", "-22"),
	OK("dispatch: a look at the end", "look", "ok"),
};

void conform_each_dispatch(void (*each)(void *context, const struct conform_case *one),
			   void *context)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		each(context, &cases[i]);
}
