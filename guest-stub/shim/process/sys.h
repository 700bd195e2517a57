/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the process shim, which has no libc. Each returns the kernel's value, -errno on
 * failure. */
#ifndef THAW_SHIM_SYS_H
#define THAW_SHIM_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

static inline long sys6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static inline long sys3(long number, long a, long b, long c)
{
	return sys6(number, a, b, c, 0, 0, 0);
}

static inline long sys_mmap(uint64_t address, uint64_t length, long prot, long flags, long fd,
			    uint64_t offset)
{
	return sys6(SYS_mmap, (long)address, (long)length, prot, flags, fd, (long)offset);
}

static inline long sys_munmap(uint64_t address, uint64_t length)
{
	return sys3(SYS_munmap, (long)address, (long)length, 0);
}

/* Waits while *WORD is VALUE; may return early for no reason. The futex is a shared one, because
 * the host waits on the same word. */
static inline void sys_futex_wait(uint32_t *word, uint32_t value)
{
	sys6(SYS_futex, (long)word, 0 /* FUTEX_WAIT */, (long)value, 0, 0, 0);
}

static inline void sys_futex_wake(uint32_t *word)
{
	sys3(SYS_futex, (long)word, 1 /* FUTEX_WAKE */, 0x7fffffff);
}

_Noreturn static inline void sys_exit(int code)
{
	for (;;)
		sys3(SYS_exit_group, code, 0, 0);
}

#endif
