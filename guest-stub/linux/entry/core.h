/* SPDX-License-Identifier: Apache-2.0 */
/* The core's start and entries, and what their C and assembly call of each other. */
#ifndef THAW_LINUX_CORE_H
#define THAW_LINUX_CORE_H

#include "guest-stub/linux/linux.h"

/* ---- entry.S: where the shim jumps to ---- */

void core_syscall_entry(void);
void core_fault_entry(void);

/* ---- start.c ---- */

/* Loads the program and enters it. STACK is the first stack: argc, argv, envp, auxiliary vector.
 * entry.S calls it. */
_Noreturn void linux_start(const uint64_t *stack);

/* ---- dispatch.c ---- */

/* Answers the system call that REGISTERS ask for. Returns whether registers that a call keeps have
 * changed, so that all of them must be restored. entry.S calls it. */
bool linux_syscall(struct registers *registers);

/* Handles the fault or tick in the mailbox and sets REGISTERS to how the program goes on. entry.S calls
 * it. */
void linux_fault(struct registers *registers);

/* ---- loader.c ---- */

struct loaded {
	uint64_t entry;	  /* where to begin: in the interpreter, or in the program without one */
	uint64_t base;	  /* of the interpreter; 0 without one */
	uint64_t program; /* the program's own entry */
	uint64_t headers; /* the address of its program headers */
	uint16_t header_count, header_size;
};

/* Loads PROGRAM, a guest path, and its interpreter. Aborts with the reason when it cannot. */
void loader_load(const char *program, struct loaded *out);

/* ---- stack.c: the program's first stack ---- */

/* Copies the core's own first stack, which begins at STACK, to the heap and unmaps it: a program may
 * be linked to its place. The copy's pointers are its own. */
uint64_t *stack_take(const uint64_t *stack);

/* Maps its pages. Called before anything else is placed. */
void stack_map(void);

/* Fills it from the copy of the core's own first stack, FIRST, and returns its stack pointer. */
uint64_t stack_build(const struct loaded *loaded, const uint64_t *first);

/* The value of TYPE in FIRST's auxiliary vector, or 0. */
uint64_t first_auxiliary(const uint64_t *first, uint64_t type);

/* The image of the vDSO, which begins on a page: vdso.S. */
extern const uint8_t vdso_image[], vdso_image_end[];

/* ---- trace.c ---- */

/* The name of a system call; NULL for a number that calls.h does not have. */
const char *call_name(uint64_t number);

/* Logs a line of the trace: the call in REGISTERS, and its result. */
void trace_call(const struct registers *registers, uint64_t number, long result);

#endif
