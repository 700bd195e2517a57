/* SPDX-License-Identifier: Apache-2.0 */
/* Where a native function's heap has its pages. */
#include "guest-stub/core/core.h"

extern char _end[]; /* by the linker script: the program's first byte that is not there */

void thaw_core_heap_area(uintptr_t *start, uintptr_t *end)
{
	*start = ((uintptr_t)_end + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1);
	*end = THAW_MAP_BASE;
}
