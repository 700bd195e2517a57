/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a function that cannot go on. It has a file of its own because the code of every file
 * with a stack protector may end here, and start.c calls such files. */
#include "guest-stub/core/core.h"

void __stack_chk_fail(void) __attribute__((noreturn));

void thaw_abort(const char *message)
{
	size_t length = strnlen(message, THAW_LOG_LINE_MAX);

	memcpy(thaw_core_scratch(), message, length);
	thaw_core_hypercall(THAW_HYPERCALL_abort, 0, length);
	__builtin_trap();
}

void __stack_chk_fail(void)
{
	thaw_abort("stack smashing detected");
}
