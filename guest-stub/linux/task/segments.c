/* SPDX-License-Identifier: Apache-2.0 */
/* The FS and GS bases: by instruction where user code may, otherwise through the shim. */
#include "guest-stub/core/core.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/task/cpu.h"

bool core_has_fsgsbase;

/* What was last set through the shim. Where the core may not use the instructions the program may
 * not either, so these are the bases. */
static uint64_t fs, gs;

uint64_t segments_fs(void)
{
	uint64_t base = fs;

	if (core_has_fsgsbase)
		__asm__ volatile("rdfsbase %0" : "=r"(base));
	return base;
}

uint64_t segments_gs(void)
{
	uint64_t base = gs;

	if (core_has_fsgsbase)
		__asm__ volatile("rdgsbase %0" : "=r"(base));
	return base;
}

void segments_set(uint64_t fs_base, uint64_t gs_base)
{
	struct thaw_shim_segments segments = {.fs_base = fs_base, .gs_base = gs_base};

	if (core_has_fsgsbase) {
		__asm__ volatile("wrfsbase %0\n\twrgsbase %1" ::"r"(fs_base), "r"(gs_base));
		return;
	}
	if (fs_base == fs && gs_base == gs)
		return;
	if (thaw_core_gate(THAW_SHIM_CALL_segments, &segments))
		host_abort("the shim refused to set FS and GS bases");
	fs = fs_base;
	gs = gs_base;
}
