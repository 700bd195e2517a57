/* SPDX-License-Identifier: Apache-2.0 */
/* How the shims and the engine judge the argument of shim call dispatch. */
#ifndef THAW_SHIM_DISPATCH_H
#define THAW_SHIM_DISPATCH_H

#include <stdbool.h>

#include "guest-stub/include/thaw/abi.h"

/* Whether CALL is code within the region, with both entries in it, or all zero. */
static inline bool shim_dispatch_check(const struct thaw_shim_dispatch *call)
{
	uint64_t length = call->end - call->start;

	if (!(call->start | call->end | call->syscall_entry | call->fault_entry))
		return true;
	return call->start >= THAW_REGION_BASE && call->start < call->end &&
	       call->end <= THAW_REGION_END && call->syscall_entry - call->start < length &&
	       call->fault_entry - call->start < length;
}

/* Whether an event at RIP goes to the entries: it must be neither in the caller's own code nor in
 * the shim. Without a canonical stack pointer it does not, because IRET would fault on it. */
static inline bool shim_dispatch_takes(const struct thaw_shim_dispatch *entries, uint64_t rip,
				       uint64_t rsp)
{
	return entries->end && (uint64_t)((int64_t)(rsp << 16) >> 16) == rsp &&
	       rip - entries->start >= entries->end - entries->start &&
	       rip - THAW_SHIM_BASE >= THAW_SHIM_SIZE;
}

#endif
