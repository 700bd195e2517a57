/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says in /proc of other processes, and of memory: for weighing clones. */
#ifndef THAW_BENCH_PROCESS_MEMORY_H
#define THAW_BENCH_PROCESS_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot-format/base/error.h"

/* Children of PID's first thread: up to ROOM go to CHILDREN, *COUNT is how many did. */
int thaw_process_children(pid_t pid, pid_t *children, size_t room, size_t *count,
			  struct thaw_error *err);

/* Private pages and page tables of PID, in bytes. */
int thaw_process_private_bytes(pid_t pid, uint64_t *bytes, struct thaw_error *err);

/* The same from the texts of /proc/PID/smaps_rollup and /proc/PID/status; -1 when a line is
 * missing. */
int thaw_process_private_sum(const char *rollup, const char *status, uint64_t *bytes);

/* The kernel's accounts of memory that processes and the kernel itself use, out of MEMINFO, the
 * text of /proc/meminfo; page cache of files is not in it. -1 when a line is missing. */
int thaw_memory_used(const char *meminfo, uint64_t *bytes);

#endif
