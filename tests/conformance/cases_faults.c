/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and hostile code. The guest announces each fault, so the cases check how the host
 * reports it. A fault ends at most its own invocation: all cases of a pair run on one engine.
 */
#include <string.h>

#include "tests/conformance/conform.h"
#include "tests/conformance/instructions.h"

/* The instructions whose effect depends on the backend, and why. */
static const struct {
	const char *name, *why;
} differences[] = {
	{"int_80", "Linux makes a 32-bit system call of it, for which the filter kills at once and "
		   "without a word of the shim's; KVM's shim says what it was"},
	{"sysenter", "likewise, on processors that have it in 64-bit mode; others raise #UD"},
	{"vsyscall", "Linux has a page there that it emulates, and the filter sees the call"},
	{"wrfsbase_wild", "without FSGSBASE in the image it is #UD under KVM, but a process "
			  "cannot hide it"},
	{"wrgsbase_wild", "the same"},
	{"wrgsbase_high", "the same"},
	{"avx512", "KVM shows no more than the image has, a process all that the processor has"},
	{"sgdt", "Linux emulates it where UMIP is on; KVM's shim calls it #GP"},
	{"sidt", "the same"},
	{"sldt", "the same"},
	{"str", "the same"},
	{"smsw", "the same"},
	{"vmcall", "in a virtual machine it reaches the hypervisor, which refuses it to user code"},
	{"vmmcall", "the same"},
	{"vmxon", "#UD or #GP, by whether the hypervisor has its extensions on"},
	{"vmread", "the same"},
	{"vmrun", "the same"},
	{"vmload", "the same"},
	{"stgi", "the same"},
	{"clgi", "the same"},
	{"skinit", "the same"},
	{"invlpga", "the same"},
	{"invpcid", "#UD where the guest's CPUID lacks it, #GP where it has it"},
	{"getsec", "#UD or #GP, by CR4.SMXE"},
	{"enclu", "#UD or #GP, by what the processor has"},
	{"rdpkru", "protection keys are no part of a guest under KVM; Linux has them on"},
	{"wrpkru", "the same"},
	{"xrstors", "#UD or #GP, by what the guest's CPUID has"},
};

static const char *why_differs(const char *name)
{
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		if (strcmp(differences[i].name, name) == 0)
			return differences[i].why;
	return NULL;
}

#define FAULT THAW_OUTCOME_crashed, 0, ""
#define RUNS  THAW_OUTCOME_finished, 0, "ran"
#define ANY   THAW_OUTCOME_finished, 0, NULL, 0, 0

/* A prefix for each outcome of the table, because some of the names are flags here. */
#define ROW_ALIKE			   ANY, ALIKE
#define ROW_DIFFERS			   ANY, DIFFERS
#define ROW_RUNS			   RUNS
#define ROW_GP				   FAULT
#define ROW_UD				   FAULT
#define ROW_PF				   FAULT
#define ROW_FETCH			   FAULT
#define ROW_SS				   FAULT
#define ROW_BP(n)			   FAULT
#define ROW_ICEBP			   FAULT, .flags = REAL | AFTER_ICEBP
#define ROW_OF(n)			   FAULT
#define ROW_SYS				   FAULT
#define ROW(name, text, argument, outcome) {"instruction " #name, "insn " #name, ROW_##outcome},
static const struct conform_case instructions[] = {CONFORM_INSTRUCTIONS(ROW)};

#define STACK(name, steps, ...)                                                                    \
	{                                                                                          \
		"a stack pointer of " name, "stack " steps, THAW_OUTCOME_crashed, 0, "",           \
			__VA_ARGS__                                                                \
	}
/* QEMU 7.2 raises #GP where a processor raises #SS, #UD for ICEBP, and accepts any base. */
#define QEMU_ERRS .flags = REAL
/* It also reads IRET's frame with the kernel's rights, which SMAP turns into a fault of the
 * kernel. */
#define QEMU_DIES .flags = NOT_IN_LAB
#define SEQUENCE(what, name, ...)                                                                  \
	{                                                                                          \
		what, "sequence " name, THAW_OUTCOME_crashed, 0, "", __VA_ARGS__                   \
	}
#define PROCESS_CALL "the filter lets the shim's own system calls pass; KVM's shim makes none"

static const struct conform_case cases[] = {
	{"division by zero", "divide", THAW_OUTCOME_crashed, 136, ""},

	STACK("0, then a call", "gate 0 0 e"),
	STACK("a supervisor's address, then a call", "gate ffffffff80001000 ffffffff80001000 e"),
	STACK("the KVM shim's control page, then a call",
	      "gate ffffffff801ff800 ffffffff801ff800 e"),
	STACK("no canonical address, then a call", "gate 8000000000000000 0 c", QEMU_ERRS),
	STACK("0, then a push", "push 0 fffffffffffffff8 e"),
	STACK("no canonical address, then a push", "push 800000000008 0 c", QEMU_ERRS),
	STACK("0, then ud2", "ud2 0"),
	STACK("a supervisor's address, then ud2", "ud2 ffff800000000000"),
	STACK("no canonical address, then ud2", "ud2 dead000000000000"),
	STACK("0, then int3", "int3 0"),
	STACK("a supervisor's address, then int3", "int3 ffffffff801ff800"),
	STACK("no canonical address, then hlt", "hlt dead000000000000"),
	STACK("0, then a system call", "syscall 0"),
	STACK("a supervisor's address, then a system call", "syscall ffffffff801fe000"),
	STACK("no canonical address, then a system call", "syscall dead000000000000"),
	STACK("the mailbox's, then ud2", "ud2 1000101000"),

	SEQUENCE("single step", "step"),
	SEQUENCE("single step into the gate", "step-gate"),
	SEQUENCE("single step over a system call", "step-syscall"),
	SEQUENCE("single step over a load of SS", "step-ss"),
	SEQUENCE("int3 in the shadow of a load of SS", "ss-int3"),
	SEQUENCE("icebp in the shadow of a load of SS", "ss-icebp", .flags = REAL | AFTER_ICEBP),
	SEQUENCE("a system call in the shadow of a load of SS", "ss-syscall"),
	SEQUENCE("pop ss", "pop-ss"),
	{"an unaligned access with AC set", "sequence align", THAW_OUTCOME_crashed, 135, "",
	 .flags = MAY_RUN},
	{"an SSE exception", "sequence simd", THAW_OUTCOME_crashed, 136, "", .flags = MAY_RUN},
	{"an x87 exception", "sequence x87", THAW_OUTCOME_crashed, 136, "", .flags = MAY_RUN},
	{"a call with AC set", "sequence align-gate", RUNS},
	{"iret", "sequence iret", THAW_OUTCOME_finished, 0, "ran", QEMU_DIES},
	SEQUENCE("iret to a kernel's segment", "iret-kernel", QEMU_DIES),
	SEQUENCE("iret with NT set", "iret-nested", QEMU_DIES),
	{"iret to no canonical address", "sequence iret-wild", ANY, ALIKE | NOT_IN_LAB},
	{"iret to 32-bit code", "sequence iret-compat", ANY, DIFFERS | NOT_IN_LAB,
	 .why = "Linux has a segment for it, KVM's shim has not"},

	{"IOPL and IF are not the guest's", "own-flags", THAW_OUTCOME_finished, 0, "200"},
	{"flags that a call keeps: none but IF", "gate-flags 0", THAW_OUTCOME_finished, 0, "200"},
	{"flags that a call keeps: AC", "gate-flags 40000", THAW_OUTCOME_finished, 0, "40200"},
	{"flags that a call keeps: ID", "gate-flags 200000", THAW_OUTCOME_finished, 0, "200200"},
	{"a call with NT set", "gate-flags 4000", ANY, DIFFERS,
	 .why = "a call keeps no flags, by the System V ABI; Linux loses this one"},
	{"a call with DF set", "gate-flags 400", ANY, DIFFERS,
	 .why = "DF is clear at a call, by the System V ABI; in a process it is clear after one "
		"too"},

	{"system call 39", "syscall 27", THAW_OUTCOME_crashed, 159, ""},
	{"system call 59", "syscall 3b", THAW_OUTCOME_crashed, 159, ""},
	{"system call 60", "syscall 3c", THAW_OUTCOME_crashed, 159, ""},
	{"system call -1", "syscall ffffffffffffffff", THAW_OUTCOME_crashed, 159, ""},
	{"system call 39 with more above", "syscall 1200000027", THAW_OUTCOME_crashed, 159, ""},
	{"system call 0xffffffff", "syscall ffffffff", THAW_OUTCOME_crashed, 159, ""},
	{"system call 0x40000027", "syscall 40000027 x", ANY, DIFFERS,
	 .why = "the filter kills for x32 numbers at once"},
	{"system call 110, which the shim needs", "syscall 6e x", ANY, DIFFERS,
	 .why = PROCESS_CALL},
	{"system call 231, which the shim needs", "syscall e7 x", ANY, DIFFERS,
	 .why = PROCESS_CALL},

	{"into the gate, 1 byte further", "gate-middle 1", ANY, DIFFERS,
	 .why = "what is behind the gate is the backend's"},
	{"into the gate, 10 bytes further", "gate-middle a", ANY, DIFFERS, .why = "the same"},
	{"into the gate, 24 bytes further", "gate-middle 18", ANY, DIFFERS, .why = "the same"},
	{"into the gate, 33 bytes further", "gate-middle 21", ANY, DIFFERS, .why = "the same"},
	{"into the gate, 40 bytes further", "gate-middle 28", ANY, DIFFERS, .why = "the same"},
	{"into the gate's end", "gate-middle fff", ANY, DIFFERS, .why = "the same"},

	{"every CPUID leaf", "leaves", THAW_OUTCOME_finished, 0, "ok"},
};

/* A bad base is a fault of the guest where the instructions exist. */
static const struct conform_case bases[] = {
	{"FS base, not canonical, with FSGSBASE", "insn wrfsbase_wild", THAW_OUTCOME_crashed, 139,
	 "", .flags = WITH_FSGSBASE | REAL},
	{"GS base, not canonical, with FSGSBASE", "insn wrgsbase_wild", THAW_OUTCOME_crashed, 139,
	 "", .flags = WITH_FSGSBASE | REAL},
	{"GS base in the upper half, with FSGSBASE", "insn wrgsbase_high", THAW_OUTCOME_finished, 0,
	 "ran", .flags = WITH_FSGSBASE},
	{"and the next one has its own", "look", THAW_OUTCOME_finished, 0, "ok"},
};

void conform_each_fault(void (*each)(void *context, const struct conform_case *one), void *context)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		each(context, &cases[i]);
	for (size_t i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		struct conform_case one = instructions[i];

		if (one.flags & DIFFERS)
			one.why = why_differs(one.name + strlen("instruction "));
		each(context, &one);
	}
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		each(context, &bases[i]);
}
