/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the kernel that this program made, by the linker's --wrap: which ones is calls.c's to
 * say. */
#ifndef THAW_CALLS_H
#define THAW_CALLS_H

#include <stdint.h>

struct call_counts {
	uint64_t kvm_run, other_ioctl;
	uint64_t memory; /* mmap, munmap, mprotect, madvise, mremap, fallocate */
};

void calls_reset(void);
void calls_read(struct call_counts *out);

#endif
