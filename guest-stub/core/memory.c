/* SPDX-License-Identifier: Apache-2.0 */
/* Pages, by shim calls. */
#include "guest-stub/core/core.h"

static int memory_call(enum thaw_shim_call number, void *start, size_t length, unsigned prot)
{
	struct thaw_shim_memory memory = {
		.start = (uintptr_t)start,
		.length = length,
		.prot = prot,
	};

	return (int)thaw_core_gate(number, &memory);
}

int thaw_map(void *start, size_t length, unsigned prot)
{
	return memory_call(THAW_SHIM_CALL_map, start, length, prot);
}

int thaw_unmap(void *start, size_t length)
{
	return memory_call(THAW_SHIM_CALL_unmap, start, length, 0);
}

int thaw_protect(void *start, size_t length, unsigned prot)
{
	return memory_call(THAW_SHIM_CALL_protect, start, length, prot);
}
