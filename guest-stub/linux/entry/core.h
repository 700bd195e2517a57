/* SPDX-License-Identifier: Apache-2.0 */
/* What the core's C and assembly, and its start, know of each other. */
#ifndef THAW_LINUX_CORE_H
#define THAW_LINUX_CORE_H

#include "guest-stub/linux/linux.h"

/* start.c; entry.S reads and writes them. */
extern uint64_t core_user_rsp;	/* the program's stack pointer, for two instructions */
extern uint64_t core_user_rip;	/* where it goes on, likewise */
extern uint64_t core_stack_top; /* of the current task */

/* entry.S */
void core_syscall_entry(void);
void core_fault_entry(void);
_Noreturn void core_resume(const struct registers *registers);
void core_switch(uint64_t *saved, uint64_t next);
void core_task_begin(void);

/* start.c, from entry.S: STACK is the first one (argc, argv, envp, auxiliary vector). */
_Noreturn void linux_start(const uint64_t *stack);

/* dispatch.c, from entry.S. */
bool linux_syscall(struct registers *registers);
void linux_fault(struct registers *registers);

/* segments.c */
extern bool core_has_fsgsbase;
uint64_t segments_fs(void);
uint64_t segments_gs(void);
void segments_set(uint64_t fs_base, uint64_t gs_base);

/* vector.c: the program's vector state to and from an XSAVE area (64-byte aligned). */
#define VECTOR_SIZE_MAX 4096u
extern uint64_t vector_mask; /* components that are kept */
extern uint32_t vector_size;
void vector_init(void);
void vector_save(void *area);
void vector_restore(const void *area);
/* As a program starts with it. */
void vector_reset(void);

/* loader.c: loads PROGRAM (and its interpreter). Aborts with the reason when it cannot. */
struct loaded {
	uint64_t entry;	  /* where to jump: the interpreter's or the program's */
	uint64_t base;	  /* of the interpreter, 0 without */
	uint64_t program; /* the program's own entry */
	uint64_t headers; /* its program headers in memory */
	uint16_t header_count, header_size;
};
void loader_load(const char *program, struct loaded *out);

/* stack.c: the program's first stack: its pages, before anything else is placed; then what is on
 * it, and its stack pointer. */
void stack_map(void);
uint64_t stack_build(const struct loaded *loaded, const uint64_t *first);

/* The value of TYPE in the first stack's auxiliary vector, or 0. */
uint64_t first_auxiliary(const uint64_t *first, uint64_t type);

#endif
