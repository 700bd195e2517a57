/* SPDX-License-Identifier: Apache-2.0 */
/* Where the core's heap has its pages. */
#include "guest-stub/core/core.h"
#include "guest-stub/linux/linux.h"

void thaw_core_heap_area(uintptr_t *start, uintptr_t *end)
{
	*start = LINUX_HEAP_BASE;
	*end = LINUX_HEAP_END;
}
