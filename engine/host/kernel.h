/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's kernel offers, found by trying it. Internal to the engine. */
#ifndef THAW_KERNEL_H
#define THAW_KERNEL_H

#include <stdbool.h>

/* Whether the kernel has syscall user dispatch (Linux 5.11), which the process backend needs to
 * hold a Linux program. The trial turns off what is not on, and so changes nothing. */
bool thaw_kernel_has_dispatch(void);

#endif
