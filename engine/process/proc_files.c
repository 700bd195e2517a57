/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel tells of a clone, by its files in /proc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/host/pagemap.h"
#include "engine/process/process.h"

#define PAGES_MAX 8192u /* own pages that are worth restoring */

static int open_file(const struct process_backend *backend, int pid, const char *name)
{
	char path[48];

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	return openat(backend->recycler.proc_fd, path, O_RDONLY | O_CLOEXEC);
}

bool process_open_files(struct process_instance *instance, int pid)
{
	static const char *const names[] = {[PROCESS_FILE_SYSCALL] = "syscall",
					    [PROCESS_FILE_MAPS] = "maps",
					    [PROCESS_FILE_PAGEMAP] = "pagemap"};

	for (unsigned i = 0; i < PROCESS_FILE_COUNT; i++) {
		if (instance->files[i] <= 0)
			instance->files[i] = open_file(instance->backend, pid, names[i]);
		if (instance->files[i] < 0)
			return false;
	}
	return true;
}

int process_own_pages(struct process_instance *instance, struct thaw_page_run *runs, size_t *count)
{
	struct process_recycler *recycler = &instance->backend->recycler;
	const struct shim_control *control = instance->backend->control;
	int fd = instance->files[PROCESS_FILE_PAGEMAP], result = -ENOTTY;

	if (!atomic_load_explicit(&recycler->by_reading, memory_order_relaxed)) {
		result = thaw_pagemap_own(fd, THAW_REGION_BASE, THAW_MAILBOX, PAGES_MAX, runs,
					  PROCESS_RUNS_MAX, count);
		if (result != -ENOTTY && result != -EINVAL)
			return result;
		atomic_store_explicit(&recycler->by_reading, true, memory_order_relaxed);
	}
	*count = 0;
	for (uint32_t i = 0; i <= control->map_count; i++) {
		/* The shim comes last, because its addresses are above all of the guest's. */
		bool shim = i == control->map_count;
		uint64_t start = shim ? THAW_SHIM_BASE : control->maps[i].start;
		uint64_t end = shim ? THAW_MAILBOX : start + control->maps[i].length;
		size_t more;

		result = thaw_pagemap_own_by_reading(fd, start, end, PAGES_MAX, runs + *count,
						     PROCESS_RUNS_MAX - *count, &more);
		if (result)
			return result;
		*count += more;
	}
	return 0;
}

char *process_read_all(int fd, char *into, size_t max, size_t *length)
{
	ssize_t got;

	*length = 0;
	while ((got = pread(fd, into + *length, max - *length, (off_t)*length)) > 0)
		*length += (size_t)got;
	if (got < 0 || *length == max)
		return NULL;
	into[*length] = '\0';
	return into;
}
