/* SPDX-License-Identifier: Apache-2.0 */
/* The address range of the core's own heap. */
#include "guest-stub/core/core.h"

#define LINUX_HEAP_BASE 0xF10000000ul
#define LINUX_HEAP_END	0xF3FFFF000ul

void thaw_core_heap_area(uintptr_t *start, uintptr_t *end)
{
	*start = LINUX_HEAP_BASE;
	*end = LINUX_HEAP_END;
}
