/* SPDX-License-Identifier: Apache-2.0 */
/* Counts calls to the kernel that this program makes; the linker's --wrap brings them to
 * calls.c. */
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
