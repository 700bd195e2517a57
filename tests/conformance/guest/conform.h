/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance guest: one program with a command for each rule of the guest ABI. It uses the raw
 * gate and mailbox, which are under test, and of the guest library only the parts that need no
 * host. Each invocation begins by checking that everything is as at the ready point.
 *
 *   main.c      boot, the first look of an invocation, commands
 *   calls.c     hypercalls and their misuse
 *   memory.c    shim calls and the layout of memory, as a small language
 *   state.c     state that must be the same in each invocation, and ways to change it
 *   faults.c    exceptions and attempts of hostile code
 *   dispatch.c  a program within the guest
 *   entry*.S    code that C cannot express
 */
#ifndef CONFORM_GUEST_H
#define CONFORM_GUEST_H

#include <stdbool.h>

#include <thaw/abi.h>
#include <thaw/guest.h>

#define MAILBOX ((volatile struct thaw_mailbox *)THAW_MAILBOX)

static inline uint8_t *request_window(void)
{
	return (uint8_t *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, request_window));
}

static inline uint8_t *response_window(void)
{
	return (uint8_t *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, response_window));
}

static inline uint8_t *scratch(void)
{
	return (uint8_t *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, scratch));
}

static inline long gate(long number, void *argument)
{
	long reply;

	__asm__ volatile("" ::: "memory");
	reply = ((long (*)(long, void *))THAW_GATE)(number, argument);
	__asm__ volatile("" ::: "memory");
	return reply;
}

/* Hides from the compiler where a pointer points. */
static inline volatile uint8_t *anywhere(uintptr_t address)
{
	__asm__ volatile("" : "+r"(address));
	return (volatile uint8_t *)address;
}

/* main.c */
long hypercall(long number, uint32_t status, uint64_t length);
/* Appends to the response. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern size_t said;
/* Announces the next fault to the test. RIP may be UNCHECKED, or THAW_GATE for any address in the
 * shim. */
#define UNCHECKED (~0ul)
void expect(unsigned signal, unsigned vector, uint64_t address, uint64_t rip);
/* Takes the next word of the command as a hexadecimal number, or as a place in the program:
 * "$text". */
uint64_t word(const char **rest);
void skip_spaces(const char **rest);
/* The content of bodies. */
uint8_t body_byte(size_t at);

struct command {
	const char *name;
	void (*run)(const char *rest);
};
extern const struct command call_commands[], memory_commands[], state_commands[], fault_commands[],
	dispatch_commands[];

/* dispatch.c: arms dispatch and prepares its program. */
void dispatch_prepare(void);

/* memory.c */
bool place(const char *name, uint64_t *address);

/* state.c */
void state_prepare(bool fsgsbase);
void state_check(void);

/* entry.S */
struct seen {
	uint64_t registers[16]; /* rax rbx rcx rdx rsi rdi rbp rsp r8..r15 */
	uint64_t flags;
	uint64_t selectors[6]; /* cs ss ds es fs gs */
	uint64_t bases[2];     /* fs gs, if the instructions exist */
	uint64_t reserved;
	uint8_t legacy[512]; /* FXSAVE */
	uint8_t high[256];   /* upper halves of the YMM registers */
};
_Static_assert(offsetof(struct seen, legacy) == 208, "entry.S knows it");

extern struct seen entry_before, entry_seen;
extern uint8_t entry_has_avx, entry_has_fsgsbase;
extern uint8_t entry_vectors[512];
/* The ready point: returns in each invocation, with entry_seen filled in. */
void entry_ready(void);
/* Ends the invocation with every register changed. FLAGS go to RFLAGS. */
enum { DIRTY_SEGMENTS = 1, DIRTY_X87_PENDING = 2 };
void entry_dirty_next(uint64_t flags, unsigned how);
/* Calls AT with ARGUMENT in RDI and zero in the registers that instructions take. */
long entry_call(void (*at)(void), uint64_t argument);
/* Single instructions that fault at their first byte. */
uint8_t entry_read(uint64_t address);
void entry_write(uint64_t address, uint8_t value);
/* Each has RDI as its stack pointer, from its third byte on. */
void entry_stack_gate(void), entry_stack_ud2(void), entry_stack_int3(void), entry_stack_push(void),
	entry_stack_syscall(void), entry_stack_hlt(void);
/* Sequences; the labels are the places where they fault. */
void entry_step(void), entry_step_at(void), entry_step_gate(void), entry_step_syscall(void),
	entry_step_syscall_at(void), entry_step_ss(void), entry_ss_int3(void),
	entry_ss_int3_at(void), entry_ss_icebp(void), entry_ss_icebp_at(void),
	entry_ss_syscall(void), entry_ss_syscall_at(void), entry_pop_ss(void),
	entry_pop_ss_at(void), entry_align(void), entry_align_at(void), entry_align_gate(void),
	entry_simd(void), entry_simd_at(void), entry_x87(void), entry_x87_at(void),
	entry_iret_kernel(void), entry_iret_kernel_at(void), entry_iret_wild(void),
	entry_iret_nested(void), entry_iret_nested_at(void), entry_iret_compat(void),
	entry_iret(void), entry_flags(void), entry_gate_flags(void);
long entry_number_call(long number, uint64_t flags);

#endif
