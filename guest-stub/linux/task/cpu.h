/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor holds of a task while the task runs, and how the core switches it. */
#ifndef THAW_LINUX_CPU_H
#define THAW_LINUX_CPU_H

#include "guest-stub/linux/linux.h"

/* ---- switch.S ---- */

/* The top of the current task's core stack, to which each entry into the core switches. */
extern uint64_t core_stack_top;

/* Returns to the program with these registers, all of them, and flags. */
_Noreturn void core_resume(const struct registers *registers);

/* Leaves this task's core stack, storing its stack pointer in *SAVED, and goes on where the task
 * with stack pointer NEXT left its own. Returns when another task switches back. */
void core_switch(uint64_t *saved, uint64_t next);

/* Where the first switch to a new task goes: calls task_begun() and resumes the program. */
void core_task_begin(void);

/* ---- segments.c: the FS and GS bases ---- */

/* Whether the processor and the kernel let user code read and write the bases. Set at start. */
extern bool core_has_fsgsbase;

uint64_t segments_fs(void);
uint64_t segments_gs(void);
void segments_set(uint64_t fs_base, uint64_t gs_base);

/* ---- vector.c: the program's vector state, in XSAVE areas aligned to 64 bytes ---- */

#define VECTOR_SIZE_MAX 4096u
extern uint64_t vector_mask; /* the components that are kept */
extern uint32_t vector_size; /* bytes of an area */

/* Finds out what the processor has. Called once, at start. */
void vector_init(void);
void vector_save(void *area);
void vector_restore(const void *area);

/* Sets the state that a program starts with. */
void vector_reset(void);

#endif
