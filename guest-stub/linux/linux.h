/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux core: the personality that answers an unmodified program's system calls inside the
 * guest. This header has the types that every folder uses; README.md shows how the folders build
 * on one another.
 *
 * There is one vCPU. A system call, a fault or a tick of the program enters the core, which then runs
 * on the current task's own core stack. The core itself is never preempted: another task runs only
 * inside task_wait() and task_yield(), so nothing here is locked. The core uses general registers only: the vector
 * registers hold the program's state all the while.
 */
#ifndef THAW_LINUX_H
#define THAW_LINUX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "thaw/abi.h"
#include "thaw/guest.h"

#define PAGE_MASK    (THAW_PAGE_SIZE - 1)
#define page_down(x) ((uint64_t)(x) & ~PAGE_MASK)
#define page_up(x)   (((uint64_t)(x) + PAGE_MASK) & ~PAGE_MASK)

/* The program's registers, in the ABI's order (THAW_REGISTER_COUNT of them). */
struct registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags, fs_base, gs_base;
};
_Static_assert(sizeof(struct registers) == 8 * THAW_REGISTER_COUNT, "the ABI's registers");

/* The handler of a system call. A has the six arguments in order, as the program passed them. The
 * handler returns the result or a negative errno. A handler that needs further registers reads the
 * current task's (task.h). */
typedef long linux_call(const uint64_t *a);

/* The function's settings from `thaw freeze`. files_init() sets them from the tree before the
 * program is loaded. */
struct linux_config {
	const char *program; /* guest path of the executable */
	uint32_t uid, gid;
	bool at_start;	       /* the ready point is the program's entry */
	bool trace;	       /* log every system call */
	bool tell_sought;      /* tell what the program looks for: fs/sought.c */
	uint64_t memory_limit; /* of the function, in bytes; 0: the tree does not tell */
	/* Where the program's arguments and environment lie: strings that each end with a zero
	 * byte. stack_build() sets these. */
	uint64_t arguments, arguments_end, environment, environment_end;
	uint64_t auxiliary, auxiliary_end; /* the auxiliary vector */
};
extern struct linux_config config;

#endif
