/* SPDX-License-Identifier: Apache-2.0 */
/* What a clone costs, by the kernel's own accounts. For measuring only: a jailed worker has no such
 * /proc. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/process/process.h"

/* Adds up, in bytes, the KiB values of the lines of FILE that start with one of the NULL-terminated
 * KEYS. */
static int sum_lines(const char *file, const char *const *keys, uint64_t *bytes)
{
	FILE *stream = fopen(file, "re");
	unsigned long long kib;
	char line[256];

	if (!stream)
		return -1;
	*bytes = 0;
	while (fgets(line, sizeof(line), stream))
		for (const char *const *key = keys; *key; key++)
			if (!strncmp(line, *key, strlen(*key)) &&
			    sscanf(line + strlen(*key), " %llu", &kib) == 1)
				*bytes += kib << 10;
	fclose(stream);
	return 0;
}

int process_memory(const struct thaw_instance *base, struct thaw_instance_memory *out,
		   struct thaw_error *err)
{
	static const char *const private_keys[] = {"Private_Clean:", "Private_Dirty:", NULL},
				 *const tables[] = {"VmPTE:", NULL};
	const struct process_instance *instance = (const struct process_instance *)base;
	int pid =
		__atomic_load_n(&instance->backend->control->pid[instance->slot], __ATOMIC_ACQUIRE);
	struct thaw_instance_memory found = {.pid = pid};
	char file[64];

	if (pid <= 0)
		return thaw_fail(err, THAW_ERR_ENGINE, "the instance is not running");
	snprintf(file, sizeof(file), "/proc/%d/smaps_rollup", pid);
	if (sum_lines(file, private_keys, &found.private_bytes))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot read %s", file);
	snprintf(file, sizeof(file), "/proc/%d/status", pid);
	if (sum_lines(file, tables, &found.page_table_bytes))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot read %s", file);
	found.page_table_bytes +=
		THAW_PAGE_SIZE; /* the top level, which the kernel does not count */
	*out = found;
	return 0;
}
