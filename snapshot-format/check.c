/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that every image obeys, whether it comes from a file or is about to become one.
 * Reader and writer call the same functions: the writer cannot make what the reader refuses, and
 * both give the same reason.
 *
 * Every sum is checked for overflow before it is used. The work is linear in the tables and in
 * the pages that they name, and the memory size bounds those.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/name.h"
#include "snapshot-format/base/text.h"
#include "snapshot-format/layout.h"

#define reject(err, ...) thaw_fail(err, THAW_ERR_IMAGE, __VA_ARGS__)

/* ---- Metadata ---- */

static int check_text(const char *what, const char *text, bool may_be_empty, struct thaw_error *err)
{
	if (!text || (!may_be_empty && !*text))
		return reject(err, "the %s is empty", what);
	if (!thaw_text_clean(text, strlen(text)))
		return reject(err, "the %s is not UTF-8 text free of control characters", what);
	return 0;
}

static int check_list(const char *what, const char *plural, char *const *list,
		      struct thaw_error *err)
{
	char which[32];

	if (!list)
		return reject(err, "there is no list of %s", plural);
	for (size_t i = 0; list[i]; i++) {
		if (i == THAW_IMAGE_STRINGS_MAX)
			return reject(err, "there are more than %u %s", THAW_IMAGE_STRINGS_MAX,
				      plural);
		snprintf(which, sizeof(which), "%s %zu", what, i);
		if (check_text(which, list[i], true, err) < 0)
			return -1;
	}
	return 0;
}

static int check_environment(char *const *env, struct thaw_error *err)
{
	if (check_list("environment entry", "environment entries", env, err) < 0)
		return -1;
	for (size_t i = 0; env[i]; i++)
		if (env[i][0] == '=' || !strchr(env[i], '='))
			return reject(err, "environment entry %zu is not KEY=VALUE", i);
	return 0;
}

static int check_strings(const struct thaw_image_meta *meta, struct thaw_error *err)
{
	if (!thaw_name_valid(meta->name))
		return reject(err, "the function's name is not like [a-z0-9][a-z0-9._-]{0,62}");
	if (check_text("program's path", meta->program, false, err) < 0 ||
	    check_text("backend's name", meta->backend, false, err) < 0 ||
	    check_text("CPU level", meta->cpu_level, false, err) < 0 ||
	    check_text("creator", meta->creator, false, err) < 0 ||
	    check_list("argument", "arguments", meta->args, err) < 0)
		return -1;
	if (!meta->args[0])
		return reject(err, "there is no argument 0");
	return check_environment(meta->env, err);
}

static int check_dispatch(const struct thaw_dispatch *dispatch, struct thaw_error *err)
{
	uint64_t length = dispatch->end - dispatch->start;

	if (!(dispatch->start | dispatch->end | dispatch->syscall_entry | dispatch->fault_entry))
		return 0;
	if (dispatch->start >= dispatch->end || dispatch->end > THAW_IMAGE_ADDRESS_END ||
	    dispatch->syscall_entry - dispatch->start >= length ||
	    dispatch->fault_entry - dispatch->start >= length)
		return reject(err, "the dispatch entries are not in their code");
	return 0;
}

int thaw_image_check_meta(const struct thaw_image_meta *meta, struct thaw_error *err)
{
	if (meta->memory_size == 0 || meta->memory_size > THAW_IMAGE_MEMORY_MAX ||
	    meta->memory_size % THAW_IMAGE_PAGE != 0)
		return reject(err,
			      "the memory size of %" PRIu64
			      " bytes is not a number of pages up to %" PRIu64 " GiB",
			      meta->memory_size, THAW_IMAGE_MEMORY_MAX >> 30);
	for (unsigned i = THAW_CPU_WORDS_USED; i < THAW_CPU_WORDS; i++)
		if (meta->cpu.word[i] != 0)
			return reject(err, "word %u of the CPU features is reserved and not zero",
				      i);
	return check_dispatch(&meta->dispatch, err) < 0 ? -1 : check_strings(meta, err);
}

/* ---- vCPU ---- */

/* XRSTOR faults on a compacted or unclean XSAVE header; refusing it here gives a reason. */
static int check_xsave_header(const struct thaw_vcpu *vcpu, struct thaw_error *err)
{
	const uint8_t *header = vcpu->xsave + 512;

	if (thaw_get64(header) & ~vcpu->xsave_mask)
		return reject(err, "the XSAVE area holds state outside its mask");
	for (unsigned i = 8; i < 64; i++)
		if (header[i] != 0)
			return reject(err, "the XSAVE area is not in the standard layout");
	return 0;
}

int thaw_image_check_vcpu(const struct thaw_vcpu *vcpu, struct thaw_error *err)
{
	if (vcpu->xsave_length == 0 && vcpu->xsave_mask == 0)
		return 0;
	if (vcpu->xsave_length < THAW_XSAVE_MIN || vcpu->xsave_length > THAW_IMAGE_XSAVE_MAX)
		return reject(err, "the XSAVE area has %" PRIu32 " bytes, outside %u to %u",
			      vcpu->xsave_length, THAW_XSAVE_MIN, THAW_IMAGE_XSAVE_MAX);
	return check_xsave_header(vcpu, err);
}

/* ---- Ranges ---- */

/* Checks that [START, START + LENGTH) is not empty and consists of whole pages below the end of
 * addresses; *END receives its end. */
static bool pages_valid(uint64_t start, uint64_t length, uint64_t *end)
{
	return length != 0 && (start | length) % THAW_IMAGE_PAGE == 0 &&
	       !__builtin_add_overflow(start, length, end) && *end <= THAW_IMAGE_ADDRESS_END;
}

static bool prot_valid(uint32_t prot)
{
	const uint32_t both = THAW_PROT_WRITE | THAW_PROT_EXEC;

	return (prot & THAW_PROT_READ) && prot <= (THAW_PROT_READ | both) && (prot & both) != both;
}

int thaw_image_check_ranges(const struct thaw_range *ranges, size_t count, uint64_t memory_size,
			    uint64_t *mapped, struct thaw_error *err)
{
	uint64_t previous_end = 0, sum = 0, end;

	if (count == 0 || count > THAW_IMAGE_RANGES_MAX)
		return reject(err, "there are %zu ranges, outside 1 to %u", count,
			      THAW_IMAGE_RANGES_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!pages_valid(ranges[i].start, ranges[i].length, &end))
			return reject(err, "range %zu is empty, unaligned or out of bounds", i);
		if (ranges[i].start < previous_end)
			return reject(err, "range %zu overlaps the one before it", i);
		if (!prot_valid(ranges[i].prot))
			return reject(err,
				      "range %zu has permissions %#" PRIx32
				      ": unreadable, unknown, or writable and executable",
				      i, ranges[i].prot);
		/* Cannot overflow: the ranges are disjoint and below 2^47. */
		sum += ranges[i].length;
		if (sum > memory_size)
			return reject(err, "the ranges are larger than the memory size");
		previous_end = end;
	}
	*mapped = sum;
	return 0;
}

/* ---- The working set ---- */

int thaw_image_check_working_set(const struct thaw_image_meta *meta,
				 const struct thaw_range *ranges, size_t count,
				 struct thaw_error *err)
{
	uint64_t previous_end = 0, end, pages = 0, written = 0;
	size_t range = 0;

	if (meta->working_set_count > THAW_IMAGE_WORKING_SET_PIECES_MAX)
		return reject(err, "the working set has %zu pieces, more than %u",
			      meta->working_set_count, THAW_IMAGE_WORKING_SET_PIECES_MAX);
	for (size_t i = 0; i < meta->working_set_count; i++) {
		const struct thaw_working_set_piece *piece = &meta->working_set[i];

		if (!pages_valid(piece->start, (uint64_t)piece->pages * THAW_IMAGE_PAGE, &end) ||
		    piece->written > 1 || piece->start < previous_end)
			return reject(err, "piece %zu of the working set is not valid", i);
		while (range < count && ranges[range].start + ranges[range].length <= piece->start)
			range++;
		if (range == count || piece->start < ranges[range].start ||
		    end > ranges[range].start + ranges[range].length ||
		    (piece->written && !(ranges[range].prot & THAW_PROT_WRITE)))
			return reject(err, "piece %zu of the working set is not within one range",
				      i);
		/* Cannot overflow: at most 2^12 pieces of less than 2^32 pages. */
		pages += piece->pages;
		written += piece->written ? piece->pages : 0;
		previous_end = end;
	}
	if (pages > THAW_IMAGE_WORKING_SET_PAGES_MAX ||
	    written > THAW_IMAGE_WORKING_SET_WRITTEN_MAX)
		return reject(err,
			      "the working set has %" PRIu64 " pages, %" PRIu64
			      " of them written, more than %u and %u",
			      pages, written, THAW_IMAGE_WORKING_SET_PAGES_MAX,
			      THAW_IMAGE_WORKING_SET_WRITTEN_MAX);
	return 0;
}

/* ---- Extents ---- */

static void mark_pages(uint64_t *used, uint64_t first, uint64_t count)
{
	for (uint64_t page = first; page < first + count; page++)
		used[page / 64] |= UINT64_C(1) << page % 64;
}

static int check_all_used(const uint64_t *used, uint64_t store_pages, struct thaw_error *err)
{
	for (uint64_t page = 0; page < store_pages; page++)
		if (!(used[page / 64] >> page % 64 & 1))
			return reject(err, "stored page %" PRIu64 " belongs to no extent", page);
	return 0;
}

/* For an extent whose guest address is sound: checks that the store has the pages that it
 * names. */
static bool store_valid(const struct thaw_extent *extent, uint64_t store_pages)
{
	uint64_t pages = extent->length / THAW_IMAGE_PAGE;

	return pages <= store_pages && extent->store_page <= store_pages - pages;
}

int thaw_image_check_extents(const struct thaw_extent *extents, size_t count,
			     const struct thaw_range *ranges, size_t range_count,
			     uint64_t store_pages, uint64_t *covered, struct thaw_error *err)
{
	thaw_autofree uint64_t *used = calloc(store_pages / 64 + 1, sizeof(*used));
	uint64_t previous_end = 0, sum = 0, end;
	size_t range = 0;

	if (!used)
		return thaw_no_memory(err);
	for (size_t i = 0; i < count; i++) {
		const struct thaw_extent *extent = &extents[i];

		if (!pages_valid(extent->start, extent->length, &end))
			return reject(err, "extent %zu is empty, unaligned or out of bounds", i);
		if (extent->start < previous_end)
			return reject(err, "extent %zu overlaps the one before it", i);
		while (range < range_count &&
		       ranges[range].start + ranges[range].length <= extent->start)
			range++;
		if (range == range_count || extent->start < ranges[range].start ||
		    end > ranges[range].start + ranges[range].length)
			return reject(err, "extent %zu is not within one range", i);
		if (!store_valid(extent, store_pages))
			return reject(err, "extent %zu names stored pages that are not there", i);
		/* Extents are disjoint and within the ranges, so the memory size bounds their
		 * sum, and this work. */
		mark_pages(used, extent->store_page, extent->length / THAW_IMAGE_PAGE);
		sum += extent->length;
		previous_end = end;
	}
	if (check_all_used(used, store_pages, err) < 0)
		return -1;
	*covered = sum;
	return 0;
}
