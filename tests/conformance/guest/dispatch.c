/* SPDX-License-Identifier: Apache-2.0 */
/* The shim calls dispatch and segments: a program within the guest, and attempts of hostile code.
 * With the argument "dispatch" they are armed before the ready point. */
#include "tests/conformance/guest/conform.h"

#define PROGRAM	     (THAW_MAP_BASE + 64 * 0x100000ul)
#define OWN_START    THAW_STACK_TOP
#define OWN_END	     THAW_MAP_BASE
#define SIGSYS	     31
#define NO_VECTOR    0xffffffffu
#define LEAVE	     0x7777ul
#define CALL	     0x1234ul
#define FLAGS_OF_ALL 0xed7ul

extern struct seen program_seen;
extern uint32_t program_calls, program_faults;
extern const uint8_t program_begin[], program_end[];
void program_enter(uint64_t at, uint64_t rsp, uint64_t rdi, uint64_t rax);
void program_call_entry(void), program_fault_entry(void), program_bad_entry(void);

#define SNIPPETS(X)                                                                                \
	X(leave)                                                                                   \
	X(call) X(ud2) X(int3) X(hlt) X(divide) X(read) X(write) X(jump) X(int80) X(push) X(out)
#define DECLARE(name) extern const uint8_t program_##name[];
SNIPPETS(DECLARE)
#define NAME(name) {#name, program_##name},
static const struct {
	const char *name;
	const uint8_t *at;
} snippets[] = {SNIPPETS(NAME)};

static long set(uint64_t start, uint64_t end, uint64_t call, uint64_t fault)
{
	struct thaw_shim_dispatch dispatch = {start, end, call, fault};

	return gate(THAW_SHIM_CALL_dispatch, &dispatch);
}

static long arm(void)
{
	return set(OWN_START, OWN_END, (uint64_t)program_call_entry, (uint64_t)program_fault_entry);
}

void dispatch_prepare(void)
{
	size_t length = (size_t)(program_end - program_begin);

	thaw_must(thaw_map((void *)PROGRAM, THAW_PAGE_SIZE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	memcpy((void *)PROGRAM, program_begin, length);
	thaw_must(thaw_protect((void *)PROGRAM, THAW_PAGE_SIZE, THAW_MAP_READ | THAW_MAP_EXEC) ==
		  0);
	thaw_must(arm() == 0);
}

static uint64_t snippet(const char **rest)
{
	for (size_t i = 0; i < sizeof(snippets) / sizeof(snippets[0]); i++) {
		size_t length = strlen(snippets[i].name);

		if (strncmp(*rest, snippets[i].name, length) == 0 && (*rest)[length] == ' ') {
			*rest += length;
			return PROGRAM + (uint64_t)(snippets[i].at - program_begin);
		}
	}
	thaw_abort("the conformance guest has no such program");
}

/* In the order of struct seen. SKIP names registers that the program changes. */
static void check_registers(const uint64_t *registers, unsigned skip)
{
	for (unsigned i = 1; i < 16; i++)
		if (i != 5 && i != 7 && !(skip >> i & 1))
			thaw_must(registers[i] == i * 0x0101010101010101ul);
}

static void check_vectors(void)
{
	for (unsigned i = 0; i < 16; i++) {
		thaw_must(memcmp(program_seen.legacy + 160 + 16 * i, entry_vectors + 32 * i, 16) ==
			  0);
		if (entry_has_avx)
			thaw_must(memcmp(program_seen.high + 16 * i, entry_vectors + 32 * i + 16,
					 16) == 0);
	}
}

/* The mailbox has the same order, except for the last two. */
static void check_fault(void)
{
	uint64_t registers[THAW_REGISTER_COUNT];

	for (unsigned i = 0; i < THAW_REGISTER_COUNT; i++)
		registers[i] = MAILBOX->fault.registers[i];
	check_registers(registers, 0);
	check_registers(program_seen.registers, 0);
	for (unsigned i = 0; i < 16; i++)
		thaw_must(registers[i] == program_seen.registers[i]);
	thaw_must((registers[17] & FLAGS_OF_ALL) == FLAGS_OF_ALL);
}

/* program NAME RSP RDI */
static void program(const char *rest)
{
	uint64_t at = snippet(&rest), rsp = word(&rest), rdi = word(&rest);
	bool calls = at == PROGRAM + (uint64_t)(program_call - program_begin);

	program_enter(at, rsp, rdi, calls ? CALL : LEAVE);
	thaw_must(program_seen.flags == 0x202);
	thaw_must(program_seen.registers[5] == rdi);
	check_vectors();
	if (program_faults) {
		check_fault();
		say("fault %u %x %lx at %lx rsp %lx", MAILBOX->fault.signal, MAILBOX->fault.vector,
		    MAILBOX->fault.address, MAILBOX->fault.registers[16],
		    program_seen.registers[7]);
		return;
	}
	/* The instruction sets RCX and R11. */
	check_registers(program_seen.registers, 1u << 2 | 1u << 11);
	thaw_must((program_seen.registers[11] & ~0x10000ul) == FLAGS_OF_ALL);
	thaw_must(program_seen.registers[2] > at && program_seen.registers[2] < at + 16);
	say("%u calls, rsp %lx", program_calls, program_seen.registers[7]);
}

/* Announces a fault of the program that ends the guest. */
static void fatal(const char *rest)
{
	uint64_t at = snippet(&rest), rax = word(&rest), signal = word(&rest), vector = word(&rest),
		 address = word(&rest), offset = word(&rest);

	expect((unsigned)signal, (unsigned)vector, address, at + offset);
	program_enter(at, 0, 0, rax);
	say("came back");
}

static void dispatch(const char *rest)
{
	uint64_t start = word(&rest), end = word(&rest), call = word(&rest), fault = word(&rest);

	say("%ld", set(start, end, call, fault));
}

/* Makes the call with an argument at any address. */
static void dispatch_at(const char *rest)
{
	say("%ld", gate(THAW_SHIM_CALL_dispatch, (void *)word(&rest)));
}

static void off(const char *rest)
{
	(void)rest;
	say("%ld", set(0, 0, 0, 0));
	expect(SIGSYS, NO_VECTOR, LEAVE, PROGRAM + (uint64_t)(program_leave - program_begin) + 7);
	program_enter(PROGRAM + (uint64_t)(program_leave - program_begin), 0, 0, LEAVE);
}

/* Uses another entry for faults, which faults itself. */
static void bad_entry(const char *rest)
{
	(void)rest;
	thaw_must(set(OWN_START, OWN_END, (uint64_t)program_call_entry,
		      (uint64_t)program_bad_entry) == 0);
	expect(4, 6, (uint64_t)program_bad_entry, (uint64_t)program_bad_entry);
	program_enter(PROGRAM + (uint64_t)(program_ud2 - program_begin), 0, 0, 0);
}

/* Uses an entry where nothing is mapped. */
static void no_entry(const char *rest)
{
	uint64_t nowhere = OWN_END - THAW_PAGE_SIZE;

	(void)rest;
	thaw_must(set(OWN_START, OWN_END, nowhere, nowhere) == 0);
	expect(11, 14, nowhere, nowhere);
	program_enter(PROGRAM + (uint64_t)(program_leave - program_begin), 0, 0, LEAVE);
}

static void segments(const char *rest)
{
	struct thaw_shim_segments wanted = {.fs_base = word(&rest), .gs_base = word(&rest)};

	say("%ld", gate(THAW_SHIM_CALL_segments, &wanted));
}

/* Uses the bases: FS and GS point at two words of the guest. */
static void segments_used(const char *rest)
{
	static uint64_t words[2] = {0x1111, 0x2222};
	struct thaw_shim_segments wanted = {(uint64_t)&words[0], (uint64_t)&words[1]};
	uint64_t fs, gs;

	(void)rest;
	thaw_must(gate(THAW_SHIM_CALL_segments, &wanted) == 0);
	__asm__ volatile("mov %%fs:0, %0\n\tmov %%gs:0, %1" : "=r"(fs), "=r"(gs));
	thaw_must(fs == 0x1111 && gs == 0x2222);
	/* They survive a hypercall, and a refused call changes nothing. */
	thaw_must(hypercall(THAW_HYPERCALL_random, 0, 8) == 8);
	wanted = (struct thaw_shim_segments){(uint64_t)&words[1], THAW_BASE_END};
	thaw_must(gate(THAW_SHIM_CALL_segments, &wanted) == THAW_EINVAL);
	__asm__ volatile("mov %%fs:0, %0\n\tmov %%gs:0, %1" : "=r"(fs), "=r"(gs));
	say("%lx %lx", fs, gs);
}

/* Reads through FS as the image has it, which points where nothing is mapped. */
static void segments_fresh(const char *rest)
{
	uint64_t fs;

	(void)rest;
	expect(11, 14, entry_has_fsgsbase ? entry_before.bases[0] : 0, UNCHECKED);
	__asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
	say("%lx", fs);
}

const struct command dispatch_commands[] = {
	{"program", program},
	{"fatal", fatal},
	{"dispatch", dispatch},
	{"dispatch-at", dispatch_at},
	{"off", off},
	{"bad-entry", bad_entry},
	{"no-entry", no_entry},
	{"segments", segments},
	{"segments-used", segments_used},
	{"segments-fresh", segments_fresh},
	{NULL, NULL},
};
