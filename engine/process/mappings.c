/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and comparing mappings; see mappings.h. */
#include "engine/process/mappings.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Reading ---- */

static bool hex(const char **at, uint64_t *out)
{
	const char *from = *at;
	uint64_t value = 0;

	for (;; (*at)++) {
		unsigned digit = (unsigned char)**at;

		if (digit - '0' < 10)
			digit -= '0';
		else if (digit - 'a' < 6)
			digit -= 'a' - 10;
		else
			break;
		value = value << 4 | digit;
	}
	*out = value;
	return *at != from;
}

static bool decimal(const char **at, uint64_t *out)
{
	const char *from = *at;

	for (*out = 0; (unsigned)(**at - '0') < 10; (*at)++)
		*out = *out * 10 + (unsigned)(**at - '0');
	return *at != from;
}

static bool skip(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* "start-end rwxp offset major:minor inode   name": proc_pid_maps(5). */
static bool read_line(const char **at, struct process_mapping *out)
{
	uint64_t major, minor, inode;

	*out = (struct process_mapping){0};
	if (!hex(at, &out->start) || !skip(at, '-') || !hex(at, &out->end) || !skip(at, ' '))
		return false;
	for (unsigned i = 0; i < 3; i++, (*at)++) {
		if (**at == "rwx"[i])
			out->prot |= (uint32_t[]){PROT_READ, PROT_WRITE, PROT_EXEC}[i];
		else if (**at != '-')
			return false;
	}
	out->shared = **at == 's';
	if (!skip(at, out->shared ? 's' : 'p') || !skip(at, ' '))
		return false;
	if (!hex(at, &out->offset) || !skip(at, ' ') || !hex(at, &major) || !skip(at, ':') ||
	    !hex(at, &minor) || !skip(at, ' ') || !decimal(at, &inode))
		return false;
	out->file = inode ? inode << 24 ^ major << 12 ^ minor : 0;
	if (!out->file)
		out->offset = 0;
	*at = strchr(*at, '\n');
	return *at && skip(at, '\n') && out->start < out->end;
}

static bool goes_on(const struct process_mapping *a, const struct process_mapping *b)
{
	return a->end == b->start && a->prot == b->prot && a->shared == b->shared &&
	       a->file == b->file && (!a->file || a->offset + (a->end - a->start) == b->offset);
}

int process_mappings_read(const char *text, struct process_mappings *out)
{
	size_t lines = 0;

	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	*out = (struct process_mappings){.list = calloc(lines + 1, sizeof(*out->list))};
	if (!out->list)
		return -1;
	while (*text) {
		struct process_mapping *next = &out->list[out->count];

		if (out->count == lines || !read_line(&text, next) ||
		    (out->count && next->start < next[-1].end)) {
			free(out->list);
			*out = (struct process_mappings){0};
			return -1;
		}
		if (out->count && goes_on(next - 1, next))
			next[-1].end = next->end;
		else
			out->count++;
	}
	return 0;
}

/* ---- Comparing ---- */

/* Whether the mappings outside the guest's region are the same: those of shim and mailbox. */
static bool same_outside(const struct process_mappings *now, const struct process_mappings *wanted,
			 uint64_t mailbox_offset)
{
	size_t n = 0, w = 0;

	while (n < now->count && now->list[n].start < THAW_REGION_END)
		n++;
	while (w < wanted->count && wanted->list[w].start < THAW_REGION_END)
		w++;
	if (now->count - n != wanted->count - w)
		return false;
	for (; n < now->count; n++, w++) {
		const struct process_mapping *a = &now->list[n], *b = &wanted->list[w];
		uint64_t offset = b->start == THAW_MAILBOX ? mailbox_offset : b->offset;

		if (a->start != b->start || a->end != b->end || a->prot != b->prot ||
		    a->shared != b->shared || a->file != b->file || a->offset != offset)
			return false;
	}
	return true;
}

struct plan {
	struct process_repair *repair;
	bool impossible;
};

static void add(struct plan *plan, enum shim_repair_kind kind, uint64_t start, uint64_t end,
		uint32_t prot)
{
	struct process_repair *repair = plan->repair;

	if (repair->step_count == SHIM_REPAIRS_MAX)
		plan->impossible = true;
	else
		repair->steps[repair->step_count++] =
			(struct shim_repair){start, end - start, prot, kind};
}

static void add_refill(struct plan *plan, uint64_t start, uint64_t end)
{
	struct process_repair *repair = plan->repair;
	uint64_t pages = (end - start) / THAW_PAGE_SIZE;

	if (repair->refill_count == PROCESS_REFILLS_MAX ||
	    pages > PROCESS_REFILL_PAGES_MAX - repair->refill_pages) {
		plan->impossible = true;
	} else {
		repair->refills[repair->refill_count++] = (struct thaw_page_run){start, end};
		repair->refill_pages += pages;
	}
}

static bool goes_with(const struct process_mapping *wanted, const struct process_mapping *there,
		      uint64_t at)
{
	return there->file == wanted->file && there->shared == wanted->shared &&
	       (!wanted->file ||
		there->offset + (at - there->start) == wanted->offset + (at - wanted->start));
}

/* Plans to make [START, END), which is now THERE (NULL: unmapped), part of WANTED. A piece of the
 * image that was unmapped cannot be mapped again, because the clone has no descriptor; where it is
 * writable, anonymous memory with the same bytes does as well. */
static void mend(struct plan *plan, uint64_t start, uint64_t end,
		 const struct process_mapping *wanted, const struct process_mapping *there)
{
	bool memory = there && !there->file && !there->shared;

	if (there && goes_with(wanted, there, start)) {
		if (there->prot != wanted->prot)
			add(plan, SHIM_REPAIR_PROTECT, start, end, wanted->prot);
	} else if (wanted->shared || (wanted->file && !(wanted->prot & PROT_WRITE))) {
		plan->impossible = true;
	} else if (wanted->file && memory) {
		if (there->prot != wanted->prot)
			add(plan, SHIM_REPAIR_PROTECT, start, end, wanted->prot);
		add_refill(plan, start, end);
	} else {
		add(plan, SHIM_REPAIR_MAP, start, end, wanted->prot);
	}
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Walks both lists at once, from one border to the next. The first round, with UNMAP, removes
 * mappings, so that the second never maps more than a clone may have. */
static void compare(struct plan *plan, const struct process_mappings *now,
		    const struct process_mappings *wanted, bool unmap)
{
	size_t n = 0, w = 0;

	for (uint64_t at = 0, end; at < THAW_REGION_END; at = end) {
		const struct process_mapping *there, *should;

		while (n < now->count && now->list[n].end <= at)
			n++;
		while (w < wanted->count && wanted->list[w].end <= at)
			w++;
		there = n < now->count ? &now->list[n] : NULL;
		should = w < wanted->count ? &wanted->list[w] : NULL;
		end = THAW_REGION_END;
		if (there)
			end = lower(end, there->start > at ? there->start : there->end);
		if (should)
			end = lower(end, should->start > at ? should->start : should->end);
		if (there && there->start > at)
			there = NULL;
		if (should && should->start > at)
			should = NULL;
		if (unmap && there && !should)
			add(plan, SHIM_REPAIR_UNMAP, at, end, 0);
		if (!unmap && should)
			mend(plan, at, end, should, there);
	}
}

int process_mappings_compare(const struct process_mappings *now,
			     const struct process_mappings *wanted, uint64_t mailbox_offset,
			     struct process_repair *repair)
{
	struct plan plan = {.repair = repair};

	repair->step_count = repair->refill_count = 0;
	repair->refill_pages = 0;
	compare(&plan, now, wanted, true);
	compare(&plan, now, wanted, false);
	return plan.impossible || !same_outside(now, wanted, mailbox_offset) ? -1 : 0;
}
