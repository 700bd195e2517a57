/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's FS and GS bases. Where user code may not use the instructions for them (some virtual
 * machines hide them), the shim asks the kernel; the bases are then what they were last set to.
 * That takes 12 us for both, and few invocations change them. So a recycled clone first checks
 * whether they are right.
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

/* Whether SEGMENT's base is BASE: then a read through the segment, at WORD's address less BASE,
 * finds WORD. It is done with two values, because another place may hold the first one too. Where
 * nothing is mapped the clone ends, which happens only to a guest that moved a base and did not say
 * so. */
#define READS_THROUGH(segment, base, word)                                                         \
	({                                                                                         \
		uint64_t at_ = (uint64_t) & (word) - (base), got_, other_;                         \
		(word) = 0x5a5a5a5a5a5a5a5a;                                                       \
		__asm__ volatile("mov %%" segment ":(%1), %0" : "=r"(got_) : "r"(at_), "m"(word)); \
		(word) = ~got_;                                                                    \
		__asm__ volatile("mov %%" segment ":(%1), %0"                                      \
				 : "=r"(other_)                                                    \
				 : "r"(at_), "m"(word));                                           \
		got_ == 0x5a5a5a5a5a5a5a5a && other_ == ~got_;                                     \
	})

/* Here the kernel's record of a base and the processor's agree: a recycled clone was switched away
 * since its guest ran, and with a selector of zero the switch back loads the base from that
 * record. */
void shim_segments_restore(void)
{
	struct thaw_mailbox *mailbox = SHIM_MAILBOX;
	volatile uint64_t word;

	if (shim_has_fsgsbase || mailbox->bases_changed ||
	    !READS_THROUGH("fs", shim_registers[SHIM_FS_BASE], word) ||
	    !READS_THROUGH("gs", shim_registers[SHIM_GS_BASE], word))
		shim_segments_load();
	mailbox->bases_changed = 0;
}

long shim_segments_call(const struct thaw_shim_segments *argument)
{
	const volatile struct thaw_shim_segments *from = argument;
	uint64_t fs = from->fs_base, gs = from->gs_base;

	if (fs >= THAW_BASE_END || gs >= THAW_BASE_END)
		return THAW_EINVAL;
	SHIM_MAILBOX->bases_changed = 1;
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
