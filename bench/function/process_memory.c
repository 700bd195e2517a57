/* SPDX-License-Identifier: Apache-2.0 */
/* Reads /proc of other processes. */
#include "bench/function/process_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/base/measured_host.h"
#include "snapshot-format/base/cleanup.h"

#define PAGE_BYTES 4096u

/* Reads a file of /proc to its end: such files come in pieces of a page. */
static int read_file(pid_t pid, const char *name, char *out, size_t size, struct thaw_error *err)
{
	thaw_autoclose int fd = -1;
	char path[64];
	size_t length = 0;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s", path);
	while (length < size - 1 && (got = read(fd, out + length, size - 1 - length)) != 0) {
		if (got < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s",
					       path);
		length += (size_t)got;
	}
	out[length] = '\0';
	return 0;
}

int thaw_process_children(pid_t pid, pid_t *children, size_t room, size_t *count,
			  struct thaw_error *err)
{
	char name[64], text[65536];
	char *at = text, *end;

	snprintf(name, sizeof(name), "task/%d/children", pid);
	if (read_file(pid, name, text, sizeof(text), err))
		return -1;
	for (*count = 0; *count < room; at = end) {
		long child = strtol(at, &end, 10);

		if (end == at)
			break;
		children[(*count)++] = (pid_t)child;
	}
	return 0;
}

int thaw_process_private_sum(const char *rollup, const char *status, uint64_t *bytes)
{
	uint64_t clean, dirty, tables;

	if (thaw_bench_host_kib(rollup, "Private_Clean", &clean) ||
	    thaw_bench_host_kib(rollup, "Private_Dirty", &dirty) ||
	    thaw_bench_host_kib(status, "VmPTE", &tables))
		return -1;
	/* VmPTE leaves out the page of the top-level table. */
	*bytes = clean + dirty + tables + PAGE_BYTES;
	return 0;
}

int thaw_process_private_bytes(pid_t pid, uint64_t *bytes, struct thaw_error *err)
{
	char rollup[4096], status[4096];

	if (read_file(pid, "smaps_rollup", rollup, sizeof(rollup), err) ||
	    read_file(pid, "status", status, sizeof(status), err))
		return -1;
	if (thaw_process_private_sum(rollup, status, bytes))
		return thaw_fail(err, THAW_ERR_FAILURE, "/proc/%d lacks a line on its memory", pid);
	return 0;
}

int thaw_memory_used(const char *meminfo, uint64_t *bytes)
{
	static const char *const accounts[] = {"AnonPages",   "PageTables", "SUnreclaim",
					       "KernelStack", "Shmem",	    "Percpu"};
	uint64_t account;

	*bytes = 0;
	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++) {
		if (thaw_bench_host_kib(meminfo, accounts[i], &account))
			return -1;
		*bytes += account;
	}
	return 0;
}
