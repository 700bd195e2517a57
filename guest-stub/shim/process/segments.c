/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's FS and GS bases. Where user code may not use the instructions for them (some virtual
 * machines hide them) the kernel is asked; they are then what they were last set to.
 */
#include <asm/prctl.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

bool shim_has_fsgsbase;

long shim_segments_load(void)
{
	uint64_t fs = shim_registers[SHIM_FS_BASE], gs = shim_registers[SHIM_GS_BASE];
	long error;

	if (shim_has_fsgsbase) {
		__asm__ volatile("wrfsbase %0\n\twrgsbase %1" : : "r"(fs), "r"(gs));
		return 0;
	}
	error = sys3(SYS_arch_prctl, ARCH_SET_FS, (long)fs, 0);
	return error ? error : sys3(SYS_arch_prctl, ARCH_SET_GS, (long)gs, 0);
}

long shim_segments_call(const struct thaw_shim_segments *argument)
{
	const volatile struct thaw_shim_segments *from = argument;
	uint64_t fs = from->fs_base, gs = from->gs_base;

	if (fs >= THAW_BASE_END || gs >= THAW_BASE_END)
		return THAW_EINVAL;
	shim_registers[SHIM_FS_BASE] = fs;
	shim_registers[SHIM_GS_BASE] = gs;
	return shim_segments_load();
}

void shim_segments_store(uint64_t registers[THAW_REGISTER_COUNT])
{
	if (shim_has_fsgsbase) {
		__asm__ volatile("rdfsbase %0" : "=r"(registers[SHIM_FS_BASE]));
		__asm__ volatile("rdgsbase %0" : "=r"(registers[SHIM_GS_BASE]));
		return;
	}
	registers[SHIM_FS_BASE] = shim_registers[SHIM_FS_BASE];
	registers[SHIM_GS_BASE] = shim_registers[SHIM_GS_BASE];
}
