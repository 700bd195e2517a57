/* SPDX-License-Identifier: Apache-2.0 */
/* A system call keeps the vector state, and every register but rax, rcx and r11. */
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

void probe_vectors(void)
{
	uint64_t before[12], after[12];
	uint8_t in[16], out[16];
	uint32_t mxcsr = 0x3f80, was, is; /* another rounding */

	for (unsigned i = 0; i < 12; i++)
		before[i] = 0x1111111111111111u * (i + 1);
	memset(in, 0x5a, sizeof(in));
	__asm__ volatile("stmxcsr %0" : "=m"(was));
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	__asm__ volatile(
		"movdqu (%[in]), %%xmm13\n\t"
		"mov 0(%[b]), %%rdx\n\t"
		"mov 8(%[b]), %%rsi\n\t"
		"mov 16(%[b]), %%r8\n\t"
		"mov 24(%[b]), %%r9\n\t"
		"mov 32(%[b]), %%r10\n\t"
		"mov 40(%[b]), %%r12\n\t"
		"mov 48(%[b]), %%r13\n\t"
		"std\n\t"
		"syscall\n\t"
		"lea -128(%%rsp), %%rsp\n\t" /* past the red zone */
		"pushfq\n\t"
		"pop %%rcx\n\t"
		"lea 128(%%rsp), %%rsp\n\t"
		"cld\n\t"
		"mov %%rdx, 0(%[a])\n\t"
		"mov %%rsi, 8(%[a])\n\t"
		"mov %%r8, 16(%[a])\n\t"
		"mov %%r9, 24(%[a])\n\t"
		"mov %%r10, 32(%[a])\n\t"
		"mov %%r12, 40(%[a])\n\t"
		"mov %%r13, 48(%[a])\n\t"
		"and $0x400, %%rcx\n\t"
		"mov %%rcx, 56(%[a])\n\t"
		"movdqu %%xmm13, (%[out])"
		:
		: "a"(SYS_getppid), [b] "b"(before), [a] "r"(after), [in] "r"(in), [out] "r"(out)
		: "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "xmm13", "memory",
		  "cc");
	__asm__ volatile("stmxcsr %0" : "=m"(is));
	__asm__ volatile("ldmxcsr %0" ::"m"(was));
	show(memcmp(before, after, 7 * sizeof(before[0])));
	show(after[7]); /* the direction flag */
	show(memcmp(in, out, sizeof(in)));
	show((is & 0xffc0) == mxcsr);
}
