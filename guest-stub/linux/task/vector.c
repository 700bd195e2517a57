/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's vector state, which is saved while another task runs, and in signal frames. The
 * components are those of the processor on which the program booted. Every host that runs the image
 * has them.
 */
#include <cpuid.h>

#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/task/cpu.h"

/* x87, SSE, AVX and AVX-512; no protection keys, and no AMX, which no program has asked for yet. */
#define WANTED	   0xe7u

#define MXCSR_INIT 0x1f80u

uint64_t vector_mask;
uint32_t vector_size;

/* The end of component I in the standard layout. */
static uint32_t component_end(unsigned i)
{
	unsigned eax, ebx, ecx, edx;

	__cpuid_count(0xd, i, eax, ebx, ecx, edx);
	return eax + ebx;
}

void vector_init(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	vector_mask = low & WANTED;
	vector_size = 512 + 64;
	for (unsigned i = 2; i < 8; i++)
		if (vector_mask >> i & 1 && component_end(i) > vector_size)
			vector_size = component_end(i);
	if (vector_size > VECTOR_SIZE_MAX)
		host_abort("vector state of %u bytes", vector_size);
}

void vector_save(void *area)
{
	/* XSAVE sets bits in the header but leaves the others as they are. */
	memset((char *)area + 512, 0, 64);
	__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((uint32_t)vector_mask), "d"(0) : "memory");
}

void vector_restore(const void *area)
{
	__asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"((uint32_t)vector_mask), "d"(0)
			 : "memory");
}

void vector_reset(void)
{
	static uint8_t initial[VECTOR_SIZE_MAX] __attribute__((aligned(64)));
	uint32_t mxcsr = MXCSR_INIT;

	memcpy(initial + 24, &mxcsr, sizeof(mxcsr));
	vector_restore(initial);
}
