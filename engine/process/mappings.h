/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings of a clone, as /proc/PID/maps shows them, and the steps that make them those of a
 * clone that never ran. Internal to the process backend.
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
	struct process_mapping *list; /* sorted; neighbours that continue each other are merged */
	size_t count;
};

/* Reads TEXT, the content of such a file. Returns 0, or -1 when the text is malformed or memory
 * runs out. Free with free(out->list). */
int process_mappings_read(const char *text, struct process_mappings *out);

#define PROCESS_REFILLS_MAX	 256u
#define PROCESS_REFILL_PAGES_MAX 4096u /* that are worth copying */

struct process_repair {
	/* The steps for the clone; none when its mappings are right. */
	struct shim_repair steps[SHIM_REPAIRS_MAX];
	size_t step_count;
	/* Anonymous memory that stands for a piece of the image: pages of it that the clone does
	 * not have must be filled with the image's bytes. Valid once there are no steps left. */
	struct thaw_page_run refills[PROCESS_REFILLS_MAX];
	size_t refill_count;
	uint64_t refill_pages;
};

/* Plans the repair that makes NOW into WANTED, with the clone's mailbox at MAILBOX_OFFSET of the
 * arena. Within the guest's region, it unmaps what is too much, maps what is missing and restores
 * protections. Returns 0, or -1 when that is impossible or takes too many steps. */
int process_mappings_compare(const struct process_mappings *now,
			     const struct process_mappings *wanted, uint64_t mailbox_offset,
			     struct process_repair *repair);

#endif
