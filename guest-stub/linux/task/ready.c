/* SPDX-License-Identifier: Apache-2.0 */
/* The ready point, to which the first wait for standard input leads. */
#include "guest-stub/linux/task/ready.h"
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/timers.h"

void ready_point(void)
{
	if (host_is_ready())
		return;
	task_settle();
	/* Another task may have come here first. */
	if (host_is_ready())
		return;
	/* A clone can only be recycled if the pages that it wrote are writable in the image. Where
	 * the host refuses, the memory stays executable; a process clone that writes there is then
	 * replaced instead. */
	memory_flip(THAW_REGION_BASE, LINUX_MMAP_TOP, false);
	draws_tell();
	memory_fork();
	task_freeze();
	host_first_request();
	timers_want_ticks();
}
