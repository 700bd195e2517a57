/* SPDX-License-Identifier: Apache-2.0 */
/* What pages held that a program made inaccessible: mprotect(PROT_NONE) keeps content. */
#ifndef THAW_LINUX_STASH_H
#define THAW_LINUX_STASH_H

#include "guest-stub/linux/linux.h"

/* Keeps what is not zero of the mapped, readable pages [START, END). 0 or -ENOMEM. */
int stash_keep(uint64_t start, uint64_t end);
bool stash_has(uint64_t start, uint64_t end);
/* Puts it back, into pages that are zero and writable, and forgets it. */
void stash_restore(uint64_t start, uint64_t end);
void stash_drop(uint64_t start, uint64_t end);

#endif
