/* SPDX-License-Identifier: Apache-2.0 */
/* The content of pages that a program has made inaccessible: mprotect(PROT_NONE) keeps it. */
#ifndef THAW_LINUX_STASH_H
#define THAW_LINUX_STASH_H

#include "guest-stub/linux/linux.h"

/* Keeps a copy of each page of [START, END) that is not all zeros. The pages are mapped, and none
 * of them is kept already. -ENOMEM keeps none. */
int stash_keep(uint64_t start, uint64_t end);

/* Whether a page of [START, END) is kept. */
bool stash_has(uint64_t start, uint64_t end);

/* Copies the kept pages of [START, END) back into pages that are writable, and zero so far. They
 * stay kept until stash_drop(). */
void stash_restore(uint64_t start, uint64_t end);

/* Makes the kept pages of [START, END) those of the same places from TO on, which has none. */
void stash_move(uint64_t start, uint64_t end, uint64_t to);

/* Forgets the kept pages of [START, END). */
void stash_drop(uint64_t start, uint64_t end);

#endif
