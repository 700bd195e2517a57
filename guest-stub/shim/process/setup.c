/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps that booting guests and zygotes share before the guest may run: they map its memory,
 * set limits, load the processor state that fork() hands on, and seal the process.
 */
#include <cpuid.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

#define SECCOMP_SET_MODE_FILTER_ 1
#define XSAVE_PKRU		 (UINT64_C(1) << 9)
#define XSAVE_MXCSR		 24
#define CPUID_7_ECX_OSPKE	 (1u << 4)

uint64_t shim_xsave_mask;
uint32_t shim_xsave_length;

extern uint8_t shim_end[] __attribute__((visibility("hidden"))); /* from the linker script */

static void reached(struct shim_control *control, uint32_t step)
{
	__atomic_store_n(&control->step, step, __ATOMIC_RELEASE);
	sys_futex_wake(&control->step);
}

_Noreturn void shim_failed(struct shim_control *control, long error)
{
	__atomic_store_n(&control->error, (int32_t)error, __ATOMIC_RELEASE);
	sys_futex_wake(&control->step);
	sys_exit(1);
}

static void check(struct shim_control *control, long result)
{
	if (result < 0 && result > -4096)
		shim_failed(control, -result);
}

/* All pages of a booting guest are in the memory file, so that at the ready point the file is the
 * image. A zygote maps data privately from the image, and the rest anonymously, because touching a
 * hole of the file would fill it for every clone. */
void shim_map_memory(struct shim_control *control)
{
	bool boot = shim_is_booting;

	for (uint32_t i = 0; i < control->map_count; i++) {
		const struct shim_map *map = &control->maps[i];
		long flags = MAP_FIXED | (boot ? MAP_SHARED : MAP_PRIVATE);
		long fd = SHIM_FD_MEMORY;

		if (!boot && !map->backed) {
			flags |= MAP_ANONYMOUS;
			fd = -1;
		}
		check(control, sys_mmap(map->start, map->length, map->prot, flags, fd,
					fd < 0 ? 0 : map->start));
	}
	shim_memory_init(control);
	reached(control, SHIM_MAPPED);
}

/* The image's vector state, for recycled clones. They have it by fork, and never write it. */
static uint8_t xsave[SHIM_XSAVE_MAX] __attribute__((aligned(64)));

uint32_t shim_has_pkru, shim_pkru;

/* Loads all components that the processor has, so that those that the image lacks are as if never
 * used. FNINIT comes first, because XRSTOR of some processors keeps the addresses of the last x87
 * instruction. */
void shim_vector_load(void)
{
	uint64_t mask = ~XSAVE_PKRU;

	__asm__ volatile("fninit\n\txrstor64 %0"
			 :
			 : "m"(xsave), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

static void read_pkru(void)
{
	unsigned eax, ebx, ecx = 0, edx;

	shim_has_pkru = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ecx & CPUID_7_ECX_OSPKE;
	if (shim_has_pkru)
		__asm__ volatile("rdpkru" : "=a"(shim_pkru) : "c"(0) : "rdx");
}

void shim_prepare(struct shim_control *control)
{
	static const uint32_t mxcsr = 0x1f80; /* for an image without vector state */
	uint64_t own = (uint64_t)shim_end - THAW_SHIM_BASE + THAW_MAILBOX_SIZE;
	struct rlimit limit = {control->memory_size + own, control->memory_size + own};

	/* Limits the guest's mapped bytes, of every kind. RLIMIT_DATA would not do, because
	 * mprotect() evades it. The zygote itself exceeds the limit, with the arena mapped; its
	 * clones do not. */
	check(control, sys6(SYS_prlimit64, 0, RLIMIT_AS, (long)&limit, 0, 0, 0));
	check(control, shim_fault_install());

	shim_xsave_mask = control->xsave_mask;
	shim_xsave_length = control->xsave_length;
	memcpy(shim_registers, control->registers, sizeof(shim_registers));
	/* The guest may set the arithmetic flags and DF, but not TF, NT, AC or privileged ones. */
	shim_registers[SHIM_RFLAGS] = (shim_registers[SHIM_RFLAGS] & 0xcd5) | 0x202;
	shim_entries = control->dispatch;
	check(control, shim_segments_load());
	if (!shim_is_booting) {
		read_pkru();
		memcpy(xsave + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
		memcpy(xsave, control->xsave, shim_xsave_length);
		shim_vector_load();
	}
	reached(control, SHIM_PREPARED);
}

void shim_seal(struct shim_control *control)
{
	struct {
		unsigned short length;
		const struct sock_filter *filter;
	} program = {(unsigned short)control->filter_length, control->filter};

	/* A booting guest keeps its memory file, to map more of it. No other descriptor stays. */
	check(control,
	      sys3(SYS_close_range, shim_is_booting ? SHIM_FD_MEMORY + 1 : 0, 0xffffffffl, 0));
	if (shim_is_booting)
		check(control, sys3(SYS_close_range, 0, SHIM_FD_MEMORY - 1, 0));
	check(control, sys6(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0));
	check(control, sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER_, 0, (long)&program));
	reached(control, SHIM_SEALED);
}
