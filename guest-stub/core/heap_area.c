/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of a native function's heap. */
#include "guest-stub/core/core.h"

extern char _end[]; /* from the linker script: the first byte beyond the program */

void thaw_core_heap_area(uintptr_t *start, uintptr_t *end)
{
	*start = ((uintptr_t)_end + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1);
	*end = THAW_MAP_BASE;
}
