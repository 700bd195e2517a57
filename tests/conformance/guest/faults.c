/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions, and attempts of hostile code. expect() announces each to the test. */
#include "tests/conformance/guest/conform.h"
#include "tests/conformance/instructions.h"

enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11, SIGSYS = 31 };

/* ---- Single instructions ---- */

#define EMIT(name, text, argument, outcome)                                                        \
	__asm__(".pushsection .text.insn, \"ax\"\n"                                                \
		"insn_" #name ":\n\t" text "\n\tret\n"                                             \
		".popsection\n");                                                                  \
	void insn_##name(void);
CONFORM_INSTRUCTIONS(EMIT)

enum kind {
	KIND_RUNS,
	KIND_GP,
	KIND_UD,
	KIND_PF,
	KIND_FETCH,
	KIND_BP,
	KIND_DB,
	KIND_OF,
	KIND_SYS,
	KIND_ANY
};

struct instruction {
	const char *name;
	void (*at)(void);
	uint64_t argument;
	enum kind kind;
	unsigned length;
};

#define RUNS				   KIND_RUNS, 0
#define GP				   KIND_GP, 0
#define UD				   KIND_UD, 0
#define PF				   KIND_PF, 0
#define FETCH				   KIND_FETCH, 0
#define BP(n)				   KIND_BP, n
#define ICEBP				   KIND_DB, 1
#define OF(n)				   KIND_OF, n
#define SYS				   KIND_SYS, 2
#define ALIKE				   KIND_ANY, 0
#define DIFFERS				   KIND_ANY, 0
#define ROW(name, text, argument, outcome) {#name, insn_##name, argument, outcome},
static const struct instruction instructions[] = {CONFORM_INSTRUCTIONS(ROW)};

/* The address that faults: a MOV that loads EAX first is five bytes long. */
static uint64_t faulting(const struct instruction *instruction)
{
	uint64_t at = (uint64_t)instruction->at;

	return *(const uint8_t *)at == 0xb8 ? at + 5 : at;
}

static void announce(const struct instruction *instruction)
{
	uint64_t at = faulting(instruction), after = at + instruction->length;

	switch (instruction->kind) {
	case KIND_GP:
		expect(SIGSEGV, 13, 0, at);
		break;
	case KIND_UD:
		expect(SIGILL, 6, at, at);
		break;
	case KIND_PF:
		expect(SIGSEGV, 14, instruction->argument, at);
		break;
	case KIND_FETCH:
		expect(SIGSEGV, 14, instruction->argument, instruction->argument);
		break;
	case KIND_BP:
		expect(SIGTRAP, 3, 0, after);
		break;
	case KIND_DB:
		expect(SIGTRAP, 1, after, after);
		break;
	case KIND_OF:
		expect(SIGSEGV, 4, 0, after);
		break;
	case KIND_SYS:
		expect(SIGSYS, 0xffffffff, 0, after);
		break;
	default:
		break;
	}
}

static void insn(const char *rest)
{
	for (size_t i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		const struct instruction *instruction = &instructions[i];

		if (strcmp(instruction->name, rest) != 0)
			continue;
		announce(instruction);
		entry_call(instruction->at, instruction->argument);
		say("ran");
		return;
	}
	thaw_abort("the conformance guest has no such instruction");
}

/* ---- Bad stacks ---- */

/* stack NAME RSP ADDRESS VECTOR: runs code NAME with RSP as its stack pointer; ADDRESS and VECTOR
 * describe the fault, if there is one. */
static void stack(const char *rest)
{
	static const struct {
		const char *name;
		void (*at)(void);
		unsigned signal, vector;
		uint64_t address, rip; /* from the third byte on */
	} ways[] = {
		{"ud2", entry_stack_ud2, SIGILL, 6, 0, 0},
		{"int3", entry_stack_int3, SIGTRAP, 3, UNCHECKED, 1},
		{"hlt", entry_stack_hlt, SIGSEGV, 13, UNCHECKED, 0},
		{"syscall", entry_stack_syscall, SIGSYS, 0xffffffff, UNCHECKED, 2},
		{"push", entry_stack_push, SIGSEGV, 14, UNCHECKED, 0},
		{"gate", entry_stack_gate, SIGSEGV, 14, UNCHECKED, UNCHECKED},
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		size_t length = strlen(ways[i].name);
		uint64_t rsp, address, at = (uint64_t)ways[i].at + 3;
		unsigned vector = ways[i].vector, signal = ways[i].signal;

		if (strncmp(rest, ways[i].name, length) != 0)
			continue;
		rest += length;
		rsp = word(&rest);
		address = ways[i].address ? 0 : at;
		if (vector == 14) {
			address = word(&rest);
			vector = (unsigned)word(&rest);
			signal = vector == 12 ? SIGBUS : SIGSEGV;
		}
		if (vector == 0xffffffff)
			address = UNCHECKED;
		expect(signal, vector, address,
		       ways[i].rip == UNCHECKED ? THAW_GATE : at + ways[i].rip);
		((void (*)(uint64_t))(uintptr_t)ways[i].at)(rsp);
	}
	thaw_abort("the conformance guest has no such stack");
}

/* ---- Sequences ---- */

struct sequence {
	const char *name;
	void (*run)(void);
	unsigned signal, vector; /* signal 0: it returns, or the processor decides */
	void (*rip)(void);	 /* NULL: unchecked */
	bool address_is_rip;
};

static const struct sequence sequences[] = {
	{"step", entry_step, SIGTRAP, 1, entry_step_at, true},
	{"step-gate", entry_step_gate, SIGTRAP, 1, (void (*)(void))THAW_GATE, true},
	{"step-syscall", entry_step_syscall, SIGSYS, 0xffffffff, entry_step_syscall_at, false},
	{"step-ss", entry_step_ss, SIGTRAP, 1, NULL, false},
	{"ss-int3", entry_ss_int3, SIGTRAP, 3, entry_ss_int3_at, false},
	{"ss-icebp", entry_ss_icebp, SIGTRAP, 1, entry_ss_icebp_at, true},
	{"ss-syscall", entry_ss_syscall, SIGSYS, 0xffffffff, entry_ss_syscall_at, false},
	{"pop-ss", entry_pop_ss, SIGILL, 6, entry_pop_ss_at, true},
	{"align", entry_align, SIGBUS, 17, entry_align_at, false},
	{"align-gate", entry_align_gate, 0, 0, NULL, false},
	{"simd", entry_simd, SIGFPE, 19, entry_simd_at, true},
	{"x87", entry_x87, SIGFPE, 16, entry_x87_at, true},
	{"iret", entry_iret, 0, 0, NULL, false},
	{"iret-kernel", entry_iret_kernel, SIGSEGV, 13, entry_iret_kernel_at, false},
	{"iret-wild", entry_iret_wild, 0, 0, NULL, false},
	{"iret-nested", entry_iret_nested, SIGSEGV, 13, entry_iret_nested_at, false},
	{"iret-compat", entry_iret_compat, 0, 0, NULL, false},
};

static void sequence(const char *rest)
{
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		const struct sequence *sequence = &sequences[i];
		uint64_t rip = sequence->rip ? (uint64_t)sequence->rip : UNCHECKED;

		if (strcmp(sequence->name, rest) != 0)
			continue;
		if (sequence->signal)
			expect(sequence->signal, sequence->vector,
			       sequence->vector == 0xffffffff ? 39
			       : sequence->address_is_rip     ? rip
			       : sequence->rip		      ? 0
							      : UNCHECKED,
			       rip);
		entry_call(sequence->run, 0);
		say("ran");
		return;
	}
	thaw_abort("the conformance guest has no such sequence");
}

static void divide(const char *rest)
{
	uint32_t quotient = 1, remainder = 0;

	(void)rest;
	expect(SIGFPE, 0, UNCHECKED, UNCHECKED);
	__asm__ volatile("divl %2" : "+a"(quotient), "+d"(remainder) : "r"(0));
	say("ran");
}

/* syscall NUMBER: a system call from outside the gate. */
static void system_call(const char *rest)
{
	uint64_t number = word(&rest);
	long result;

	if (!*rest)
		expect(SIGSYS, 0xffffffff, (uint64_t)(int32_t)number, UNCHECKED);
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(0ul), "S"(0ul), "d"(0ul)
			 : "rcx", "r11", "memory");
	say("ran");
}

/* Answers with the flags that the gate returns when it is called with FLAGS. */
static void gate_flags(const char *rest)
{
	uint64_t flags = word(&rest);

	say("%lx", (uint64_t)entry_number_call(5, flags) & 0x244f00);
}

static void own_flags(const char *rest)
{
	(void)rest;
	say("%lx", (uint64_t)entry_call(entry_flags, 0) & 0x3200);
}

/* Jumps into the middle of the gate. */
static void gate_middle(const char *rest)
{
	entry_call((void (*)(void))(THAW_GATE + word(&rest)), 5);
	say("ran");
}

/* Asks the processor for all its CPUID leaves. The answers are not judged. */
static void leaves(const char *rest)
{
	static const uint32_t starts[] = {0, 0x40000000, 0x80000000, 0xc0000000};
	uint32_t a, b, c, d;

	(void)rest;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		for (uint32_t leaf = 0; leaf < 0x24; leaf++)
			for (uint32_t index = 0; index < 3; index++)
				__asm__ volatile("cpuid"
						 : "=a"(a), "=b"(b), "=c"(c), "=d"(d)
						 : "a"(starts[i] + leaf), "c"(index));
	say("ok");
}

const struct command fault_commands[] = {
	{"insn", insn},		  {"stack", stack},
	{"sequence", sequence},	  {"divide", divide},
	{"syscall", system_call}, {"gate-flags", gate_flags},
	{"own-flags", own_flags}, {"gate-middle", gate_middle},
	{"leaves", leaves},	  {NULL, NULL},
};
