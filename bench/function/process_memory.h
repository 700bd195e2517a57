/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of other processes and of the kernel, from /proc: for weighing clones. */
#ifndef THAW_BENCH_PROCESS_MEMORY_H
#define THAW_BENCH_PROCESS_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot-format/base/error.h"

/* The children of PID's first thread: up to ROOM of them in CHILDREN, their number in *COUNT. */
int thaw_process_children(pid_t pid, pid_t *children, size_t room, size_t *count,
			  struct thaw_error *err);

/* PID's private pages and page tables, in bytes. */
int thaw_process_private_bytes(pid_t pid, uint64_t *bytes, struct thaw_error *err);

/* The same from the contents of /proc/PID/smaps_rollup and /proc/PID/status; -1 when a line is
 * missing. */
int thaw_process_private_sum(const char *rollup, const char *status, uint64_t *bytes);

/* Sums the kernel's accounts of the memory that processes and the kernel itself use, from
 * MEMINFO, the contents of /proc/meminfo. The page cache of files is not in it. -1 when a line is
 * missing. */
int thaw_memory_used(const char *meminfo, uint64_t *bytes);

#endif
