/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of a clone, as /proc/PID/maps tells them, and what has to be done to make them those of
 * a clone that never ran. Internal to the process backend.
 */
#ifndef THAW_PROCESS_MAPPINGS_H
#define THAW_PROCESS_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/host/pagemap.h"
#include "guest-stub/shim/process/control.h"

struct process_mapping {
	uint64_t start, end;
	uint64_t offset;
	uint64_t file; /* device and inode; 0: none, and the offset means nothing */
	uint32_t prot; /* PROT_* */
	bool shared;
};

struct process_mappings {
	struct process_mapping *list; /* sorted; neighbours that go on into each other are one */
	size_t count;
};

/* Reads TEXT. Returns 0, or -1 if it is not understood or there is no memory. Free with
 * free(out->list). */
int process_mappings_read(const char *text, struct process_mappings *out);

#define PROCESS_REFILLS_MAX	 256u
#define PROCESS_REFILL_PAGES_MAX 4096u /* that are worth copying */

struct process_repair {
	/* What the clone is to do, and nothing when it is as it should be. */
	struct shim_repair steps[SHIM_REPAIRS_MAX];
	size_t step_count;
	/* Memory that stands for a piece of the image: whatever of it the clone does not have is to
	 * be filled with the image's bytes. Right when there are no steps. */
	struct thaw_page_run refills[PROCESS_REFILLS_MAX];
	size_t refill_count;
	uint64_t refill_pages;
};

/* What makes NOW into WANTED, with the mailbox at OFFSET of its file. Within the guest's region
 * what is too much goes, what is missing comes back, protections become what they were. -1: it
 * cannot be done, or takes too many steps. */
int process_mappings_compare(const struct process_mappings *now,
			     const struct process_mappings *wanted, uint64_t mailbox_offset,
			     struct process_repair *repair);

#endif
