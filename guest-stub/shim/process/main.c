/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process shim's start: maps the arena, drops everything else that exec put into the address
 * space, and waits to be told what to become. Nothing of a guest is in the process yet.
 */
#include <elf.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

#define FSGSBASE_HWCAP2 (1u << 1) /* AT_HWCAP2: user code may use wrfsbase and friends */
#define USER_END	0x7ffffffff000ul

static uint64_t auxiliary(const uint64_t *stack, uint64_t type)
{
	const uint64_t *at = stack + 1 + stack[0] + 1; /* argc, argv, NULL */

	while (*at)
		at++;
	for (at++; at[0] != AT_NULL; at += 2)
		if (at[0] == type)
			return at[1];
	return 0;
}

/* The control block holds the arena's size: the first page is mapped to read it, and then all. */
static struct shim_control *map_arena(void)
{
	long at = sys_mmap(SHIM_ARENA_ADDRESS, THAW_PAGE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED,
			   SHIM_FD_ARENA, 0);
	uint64_t size;

	if (at != (long)SHIM_ARENA_ADDRESS)
		sys_exit(1);
	size = ((const struct shim_control *)SHIM_ARENA_ADDRESS)->size;
	at = sys_mmap(SHIM_ARENA_ADDRESS, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		      SHIM_FD_ARENA, 0);
	if (at != (long)SHIM_ARENA_ADDRESS)
		sys_exit(1);
	return (struct shim_control *)SHIM_ARENA_ADDRESS;
}

_Noreturn void shim_main(const uint64_t *stack)
{
	struct shim_control *control = map_arena();
	uint64_t end = SHIM_ARENA_ADDRESS + control->size;

	shim_has_fsgsbase = auxiliary(stack, AT_HWCAP2) & FSGSBASE_HWCAP2;
	/* Unmaps the stack from exec, the vDSO and its data: each fork would copy their page
	 * tables, and a guest must not use them. Kernels that seal the vDSO refuse; it then stays,
	 * and does no harm. */
	sys_munmap(end, USER_END - end);

	for (;;) {
		uint32_t mode = __atomic_load_n(&control->go, __ATOMIC_ACQUIRE);

		if (mode == SHIM_BOOT)
			shim_boot(control);
		if (mode == SHIM_ZYGOTE)
			shim_zygote(control);
		sys_futex_wait(&control->go, mode);
	}
}
