/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a clone's memory from outside: each of its own pages gets the content that a new clone
 * has there. What a clone shares with the image or the zygote it has not written, and is left
 * alone.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "engine/process/process.h"
#include "snapshot-format/base/cleanup.h"

#define VECTORS_MAX   512u /* below IOV_MAX */
#define SHIM_RUNS_MAX 32u

static const uint8_t zeroes[16 * THAW_PAGE_SIZE];

/* Gathers copies to the clone, so that one call makes many. */
struct copies {
	int pid;
	bool failed;
	unsigned count;
	struct iovec local[VECTORS_MAX], remote[VECTORS_MAX];
};

static void flush(struct copies *copies)
{
	size_t wanted = 0;

	for (unsigned i = 0; i < copies->count; i++)
		wanted += copies->local[i].iov_len;
	if (copies->count && !copies->failed)
		copies->failed =
			process_vm_writev(copies->pid, copies->local, copies->count, copies->remote,
					  copies->count, 0) != (ssize_t)wanted;
	copies->count = 0;
}

static void copy(struct copies *copies, const uint8_t *from, uint64_t to, size_t length)
{
	if (copies->count == VECTORS_MAX)
		flush(copies);
	copies->local[copies->count] = (struct iovec){(void *)(uintptr_t)from, length};
	copies->remote[copies->count++] = (struct iovec){(void *)to, length};
}

static void clear(struct copies *copies, uint64_t start, uint64_t end)
{
	while (start < end) {
		size_t piece = end - start < sizeof(zeroes) ? end - start : sizeof(zeroes);

		copy(copies, zeroes, start, piece);
		start += piece;
	}
}

/* Whether every page is present that each clone has: an absent one would read as zeroes and would
 * not be among the pages to restore. */
static bool shim_is_whole(const struct process_recycler *recycler, const struct thaw_page_run *runs,
			  size_t count)
{
	unsigned found = 0;

	for (size_t i = 0; i < count; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += THAW_PAGE_SIZE)
			found +=
				recycler->shim_is_own[(at - recycler->shim_start) / THAW_PAGE_SIZE];
	return found == recycler->shim_own;
}

/* Restores the shim's variables. A clone still shares most of them with the zygote, and writing
 * what is there already would give it copies of its own: so they are read first. */
static void restore_shim(const struct process_recycler *recycler, struct copies *copies,
			 const struct thaw_page_run *runs, size_t count)
{
	struct iovec local[SHIM_RUNS_MAX], remote[SHIM_RUNS_MAX];
	size_t length = 0;
	thaw_autofree uint8_t *now = NULL;

	for (size_t i = 0; i < count; i++)
		length += runs[i].end - runs[i].start;
	/* No larger than needed: large allocations are mappings, and each of their pages is a
	 * fault. */
	now = malloc(length);
	if (!now) {
		copies->failed = true;
		return;
	}
	length = 0;
	for (size_t i = 0; i < count; i++) {
		size_t piece = runs[i].end - runs[i].start;

		local[i] = (struct iovec){now + length, piece};
		remote[i] = (struct iovec){(void *)runs[i].start, piece};
		length += piece;
	}
	if (count > 0 &&
	    process_vm_readv(copies->pid, local, count, remote, count, 0) != (ssize_t)length)
		copies->failed = true;
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = runs[i].start; at < runs[i].end; at += THAW_PAGE_SIZE) {
			const uint8_t *then = recycler->shim + (at - recycler->shim_start);

			if (memcmp((uint8_t *)local[i].iov_base + (at - runs[i].start), then,
				   THAW_PAGE_SIZE) != 0)
				copy(copies, then, at, THAW_PAGE_SIZE);
		}
}

/* The piece of guest memory that ADDRESS is in, or NULL. */
static const struct shim_map *piece_of(const struct shim_control *control, uint64_t address)
{
	uint32_t low = 0, high = control->map_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct shim_map *map = &control->maps[middle];

		if (address < map->start)
			high = middle;
		else if (address - map->start >= map->length)
			low = middle + 1;
		else
			return map;
	}
	return NULL;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void restore_run(const struct process_backend *backend, struct copies *copies,
			const struct thaw_page_run *run)
{
	for (uint64_t at = run->start, end; at < run->end && !copies->failed; at = end) {
		const struct shim_map *map = piece_of(backend->control, at);

		if (!map) {
			copies->failed = true; /* no clone has memory there */
			return;
		}
		end = lower(run->end, map->start + map->length);
		if (map->backed)
			copy(copies, backend->recycler.image + at, at, end - at);
		else
			clear(copies, at, end);
	}
}

/* Where anonymous memory stands for a piece of the image, fills the pages that the clone does not
 * have yet and that read as zeroes: those between the RUNS. */
static void refill(const struct process_backend *backend, struct copies *copies,
		   const struct process_repair *repair, const struct thaw_page_run *runs,
		   size_t count)
{
	size_t r = 0;

	for (size_t i = 0; i < repair->refill_count; i++) {
		uint64_t end = repair->refills[i].end;

		for (uint64_t at = repair->refills[i].start; at < end;) {
			struct thaw_page_run gap = {at, end};

			while (r < count && runs[r].end <= at)
				r++;
			if (r < count && runs[r].start < end)
				gap.end = runs[r].start > at ? runs[r].start : at;
			if (gap.end > gap.start)
				restore_run(backend, copies, &gap);
			at = gap.end;
			if (r < count && runs[r].start <= at)
				at = lower(runs[r].end, end);
		}
	}
}

bool process_restore_memory(struct process_instance *instance, int pid,
			    const struct process_repair *repair)
{
	const struct process_recycler *recycler = &instance->backend->recycler;
	struct thaw_page_run runs[PROCESS_RUNS_MAX];
	struct copies copies = {.pid = pid};
	size_t count, i;

	if (process_own_pages(instance, runs, &count))
		return false;
	for (i = 0; i < count && runs[i].start < THAW_SHIM_BASE; i++)
		restore_run(instance->backend, &copies, &runs[i]);
	refill(instance->backend, &copies, repair, runs, i);
	/* An own page among the shim's code is code that the guest has changed. */
	if (count - i > SHIM_RUNS_MAX ||
	    (i < count &&
	     (runs[i].start < recycler->shim_start || runs[count - 1].end > recycler->shim_end)) ||
	    !shim_is_whole(recycler, runs + i, count - i))
		return false;
	restore_shim(recycler, &copies, runs + i, count - i);
	flush(&copies);
	return !copies.failed;
}
