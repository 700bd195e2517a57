/* SPDX-License-Identifier: Apache-2.0 */
/* Trials of the kernel; see kernel.h. */
#include "engine/host/kernel.h"

#include <sys/prctl.h>

#define SET_SYSCALL_USER_DISPATCH 59 /* PR_..., newer than some headers */

bool thaw_kernel_has_dispatch(void)
{
	/* Older kernels do not know the option. */
	return prctl(SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) == 0;
}
