/* SPDX-License-Identifier: Apache-2.0 */
/* What the vDSO reads of the core: it lies a page behind the start of the vDSO's image, as
 * entry/linux.ld, entry/vdso.S and entry/vdso/vdso.ld agree. */
#ifndef THAW_LINUX_VVAR_H
#define THAW_LINUX_VVAR_H

#include <stdint.h>

struct vvar {
	/* The program's monotonic clock when the host took the clock's parameters: at boot the
	 * host's own, and from the ready point on what it was there. So it goes on in each
	 * invocation, whatever the image's age and the host's uptime. */
	uint64_t monotonic_ns;
};

extern struct vvar vvar __attribute__((visibility("hidden")));

#endif
