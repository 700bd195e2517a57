/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux core: the personality that answers an unmodified program's system calls inside the
 * guest. What its files know of each other begins here; memory.h, file.h, task.h, signals.h and
 * host.h have the rest, calls.h the table of system calls.
 *
 * One vCPU, no preemption: the core is entered by a system call or a fault, runs on the current
 * task's own core stack, and only task_wait() and task_yield() let another task run. So nothing
 * here is locked. General registers only: the program's vector state is live all the while.
 */
#ifndef THAW_LINUX_H
#define THAW_LINUX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "thaw/abi.h"
#include "thaw/guest.h"

#define LINUX_HEAP_BASE 0xF10000000ul /* the core's heap and pages */
#define LINUX_HEAP_END	0xF3FFFF000ul

#define PAGE_MASK	(THAW_PAGE_SIZE - 1)
#define page_down(x)	((uint64_t)(x) & ~PAGE_MASK)
#define page_up(x)	(((uint64_t)(x) + PAGE_MASK) & ~PAGE_MASK)

/* The program's registers, in the ABI's order (THAW_REGISTER_COUNT of them). */
struct registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags, fs_base, gs_base;
};
_Static_assert(sizeof(struct registers) == 8 * THAW_REGISTER_COUNT, "the ABI's registers");

/* A system call's handler: the six arguments as they came; the result, or a negative errno. What
 * looks at registers beyond those takes the current task's (task.h). */
typedef long linux_call(const uint64_t *a);

/* What the function was frozen with; set by files_init() from the tree before anything else. */
struct linux_config {
	const char *program; /* guest path of the executable */
	uint32_t uid, gid;
	bool at_start; /* the ready point is the program's entry */
	bool trace;    /* log every call */
	/* Where its arguments and its environment are, each string ended by a zero; set by stack.c.
	 */
	uint64_t arguments, arguments_end, environment, environment_end;
};
extern struct linux_config config;

/* ---- log.c ---- */

/* Says once for each KEY that something was refused or is not there. Keys: a system call's number,
 * or one of these. */
#define LOG_KEYS_CALLS 576
enum log_key {
	LOG_KEY_UNKNOWN = LOG_KEYS_CALLS,
	LOG_KEY_PROCESS,
	LOG_KEY_THREADS,
	LOG_KEY_FUTEX,
	LOG_KEY_SIGNAL,
	LOG_KEY_PRCTL,
	LOG_KEY_SOCKET,
	LOG_KEY_CONNECT,
	LOG_KEY_MEMORY,
	LOG_KEY_FILES, /* and more of fs_*.c's own */
	LOG_KEYS = LOG_KEYS_CALLS + 64
};
void log_once(unsigned key, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line of the trace. */
void trace_call(const struct registers *registers, uint64_t number, long result);

/* ---- Checks of the program's pointers; the core never faults on them ---- */

/* Whether all of [ADDRESS, ADDRESS + LENGTH) may be read, or written, by the program. */
bool user_readable(uint64_t address, uint64_t length);
bool user_writable(uint64_t address, uint64_t length);

/* Whether a buffer that was checked before a wait still is there, since another task may have
 * unmapped it meanwhile. One of the core's own is. */
bool user_still_readable(const void *buffer, size_t length);
bool user_still_writable(const void *buffer, size_t length);

/* Copies; 0 or -EFAULT. */
int user_get(void *to, uint64_t from, size_t length);
int user_put(uint64_t to, const void *from, size_t length);

/* A string of the program's, of at most SIZE - 1 bytes, into BUFFER. Its length, -EFAULT, or
 * -ENAMETOOLONG. */
long user_string(char *buffer, uint64_t from, size_t size);

/* The length of an iovec array's buffers together, each checked (for writing if WRITE), the array
 * copied to VECTOR. -EFAULT, -EINVAL. */
struct user_vector {
	uint8_t *base;
	uint64_t length;
};
#define USER_VECTOR_MAX 1024
long user_vectors(struct user_vector *vector, uint64_t from, uint64_t count, bool write);

#endif
