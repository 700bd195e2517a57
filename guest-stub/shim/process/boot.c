/* SPDX-License-Identifier: Apache-2.0 */
/* A guest on its way to the ready point. It is alone in the process, and its memory is a file that
 * the host shares. */
#include <stdbool.h>
#include <sys/mman.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

_Noreturn void shim_boot(struct shim_control *control)
{
	long at;

	shim_is_booting = true;
	at = sys_mmap(THAW_MAILBOX, THAW_MAILBOX_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, SHIM_FD_ARENA, SHIM_SLOT_OFFSET(0));
	if (at != (long)THAW_MAILBOX)
		shim_failed(control, -at);
	shim_map_memory(control);
	shim_prepare(control);
	shim_seal(control);
	sys_munmap(SHIM_ARENA_ADDRESS, control->size);
	shim_resume();
}
