/* SPDX-License-Identifier: Apache-2.0 */
/* What `thaw doctor` says of the host, whatever the backend: each line comes from doing the thing,
 * not from looking for it. */
#ifndef THAW_HOST_CHECKS_H
#define THAW_HOST_CHECKS_H

#include <stddef.h>

#include "engine/engine.h"

#define THAW_HOST_CHECKS 18 /* how many lines there are */

/*
 * Appends THAW_HOST_CHECKS lines to CHECKS and adds them to *COUNT. Returns 0, or -1 when one of
 * them is THAW_CHECK_MISSING: nothing can be run here. WEAKER means that it runs, with less
 * isolation or slower, as the detail tells. Forks: call from a single-threaded process.
 */
int thaw_host_checks(struct thaw_check *checks, size_t *count);

/* Whether the kernel has syscall user dispatch, without which a process cannot hold a Linux
 * program. */
bool thaw_host_has_dispatch(void);

#endif
