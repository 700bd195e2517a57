/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program within the guest. The kernel stops each of its system calls with SIGSYS (syscall user
 * dispatch, from which only the shim's own text is exempt), and its faults are signals anyway. The
 * signal handler goes directly to the guest's entry, with the registers of the signal frame: a
 * return to the kernel would cost another system call.
 *
 * This is no wall. Code that jumps into the shim's text, or turns dispatch off there, makes system
 * calls under the filter, as the shim does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "guest-stub/shim/dispatch.h"
#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

/* linux/prctl.h, for headers that are older. */
#define PR_SET_SYSCALL_USER_DISPATCH_ 59
#define SYS_DISPATCH_OFF	      0
#define SYS_DISPATCH_ON		      1

/* Offset of the features in what the kernel adds to the legacy area of a frame: asm/sigcontext.h,
 * struct _fpx_sw_bytes. */
#define FRAME_FEATURES 472

struct thaw_shim_dispatch shim_entries;

long shim_dispatch_arm(void)
{
	if (shim_entries.end)
		return sys6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH_, SYS_DISPATCH_ON,
			    (long)THAW_SHIM_BASE, (long)THAW_SHIM_SIZE, 0, 0);
	return sys6(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH_, SYS_DISPATCH_OFF, 0, 0, 0, 0);
}

long shim_dispatch_call(const struct thaw_shim_dispatch *argument)
{
	const volatile struct thaw_shim_dispatch *from = argument;
	struct thaw_shim_dispatch wanted, before = shim_entries;

	wanted.start = from->start;
	wanted.end = from->end;
	wanted.syscall_entry = from->syscall_entry;
	wanted.fault_entry = from->fault_entry;
	if (!shim_dispatch_check(&wanted))
		return THAW_EINVAL;
	shim_entries = wanted;
	if (shim_dispatch_arm()) {
		shim_entries = before;
		return THAW_ENOSYS;
	}
	return 0;
}

_Noreturn void shim_enter(uint64_t entry, const void *frame)
{
	uint64_t features = *(const uint64_t *)((const uint8_t *)frame + FRAME_FEATURES);

	/* The kernel began the handler with the vector state in its initial configuration. */
	__asm__ volatile("xrstor64 (%0)"
			 :
			 : "r"(frame), "a"((uint32_t)features), "d"((uint32_t)(features >> 32))
			 : "memory");
	shim_registers[SHIM_RIP] = entry;
	shim_registers[SHIM_RFLAGS] = 0x202;
	shim_resume();
}
