/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses which guest memory to store: zero pages vanish, equal pages are stored once.
 *
 * Two passes. The first reads every page, on all threads: is it zero, and if not, what is its
 * XXH3-128? The second walks the hashes in guest order on one thread, after the pages of the
 * working set, and numbers the stored pages by first appearance, so the result does not depend on
 * the number of threads. A hash only nominates: pages are equal when memcmp() says so. The hash
 * is seeded from the process's own random bytes, so a guest cannot prepare pages that collide and
 * slow the walk down; the seed does not show in the result.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <xxhash.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

/* Pages that a thread takes at a time: enough to make the atomic operation negligible, few enough
 * that the threads end together. */
#define SCAN_PIECE 1024u

struct scan {
	const struct thaw_image_content *content;
	const uint64_t
		*first_page;   /* of each segment, in one count over all; one more for the end */
	XXH128_hash_t *hashes; /* of each page; all zero for a zero page */
	uint64_t page_count, seed;
	_Atomic uint64_t next, nonzero;
};

static bool page_is_zero(const uint8_t *page)
{
	uint64_t first;

	/* Every word equals the one before it and the first is zero; memcmp() uses the CPU's full
	 * width. */
	memcpy(&first, page, sizeof(first));
	return first == 0 && memcmp(page, page + 8, THAW_IMAGE_PAGE - 8) == 0;
}

static uint64_t scan_piece(struct scan *scan, uint64_t first, uint64_t end)
{
	const struct thaw_memory_segment *segments = scan->content->segments;
	size_t low = 0, high = scan->content->segment_count;
	uint64_t nonzero = 0;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (scan->first_page[middle] <= first)
			low = middle;
		else
			high = middle;
	}
	for (uint64_t page = first; page < end; page++) {
		const uint8_t *bytes;

		while (page >= scan->first_page[low + 1])
			low++;
		bytes = segments[low].bytes + (page - scan->first_page[low]) * THAW_IMAGE_PAGE;
		if (page_is_zero(bytes))
			continue;
		scan->hashes[page] = XXH3_128bits_withSeed(bytes, THAW_IMAGE_PAGE, scan->seed);
		scan->hashes[page].low64 |= 1; /* a hash is never the mark of a zero page */
		nonzero++;
	}
	return nonzero;
}

static void scan_work(void *context, unsigned worker)
{
	struct scan *scan = context;

	(void)worker;
	for (;;) {
		/* Relaxed: threads work on separate pieces, and joining them orders all of it
		 * before the second pass. */
		uint64_t first =
			atomic_fetch_add_explicit(&scan->next, SCAN_PIECE, memory_order_relaxed);
		uint64_t end = first + SCAN_PIECE;

		if (first >= scan->page_count)
			return;
		if (end > scan->page_count)
			end = scan->page_count;
		atomic_fetch_add_explicit(&scan->nonzero, scan_piece(scan, first, end),
					  memory_order_relaxed);
	}
}

static uint64_t random_seed(void)
{
	uint64_t seed;

	/* AT_RANDOM, which the kernel gives every process: reading it takes no system call, which
	 * a jail might refuse. */
	memcpy(&seed, (const void *)getauxval(AT_RANDOM), sizeof(seed));
	return seed;
}

/* ---- The walk ---- */

struct fold {
	struct thaw_store *store;
	const XXH128_hash_t *hashes;
	uint32_t *slots;	/* open addressing: number of a stored page plus one; 0: free */
	uint32_t *page_numbers; /* of each stored page: its index in the hashes */
	uint64_t mask;
	size_t extents_room;
	bool extend; /* the next page may extend the last extent */
};

static uint32_t find_or_store(struct fold *fold, uint32_t page, const uint8_t *bytes)
{
	const XXH128_hash_t *hash = &fold->hashes[page];
	uint64_t slot = hash->high64 & fold->mask;

	for (;; slot = (slot + 1) & fold->mask) {
		uint32_t stored = fold->slots[slot] - 1;

		if (fold->slots[slot] == 0)
			break;
		if (XXH128_isEqual(*hash, fold->hashes[fold->page_numbers[stored]]) &&
		    memcmp(bytes, fold->store->pages[stored], THAW_IMAGE_PAGE) == 0)
			return stored;
	}
	fold->page_numbers[fold->store->page_count] = page;
	fold->store->pages[fold->store->page_count] = bytes;
	fold->slots[slot] = (uint32_t)++fold->store->page_count;
	return fold->slots[slot] - 1;
}

/* True when the page directly follows the last extent, in the guest and in the store. */
static bool extends_last(const struct fold *fold, uint64_t address, uint32_t stored)
{
	const struct thaw_extent *last;

	if (!fold->extend)
		return false;
	last = &fold->store->extents[fold->store->extent_count - 1];
	return last->start + last->length == address &&
	       last->store_page + last->length / THAW_IMAGE_PAGE == stored;
}

static int grow_extents(struct fold *fold, struct thaw_error *err)
{
	struct thaw_extent *grown;

	if (fold->store->extent_count == THAW_IMAGE_EXTENTS_MAX)
		return thaw_fail(
			err, THAW_ERR_IMAGE,
			"the guest's memory is in more than %u pieces, too scattered for an image",
			THAW_IMAGE_EXTENTS_MAX);
	grown = reallocarray(fold->store->extents, fold->extents_room * 2, sizeof(*grown));
	if (!grown)
		return thaw_no_memory(err);
	fold->store->extents = grown;
	fold->extents_room *= 2;
	return 0;
}

static int add_page(struct fold *fold, uint64_t address, uint32_t stored, struct thaw_error *err)
{
	struct thaw_store *store = fold->store;

	if (extends_last(fold, address, stored)) {
		store->extents[store->extent_count - 1].length += THAW_IMAGE_PAGE;
		return 0;
	}
	/* Both the room and the limit are powers of two: the limit shows when the table is
	 * full. */
	if (store->extent_count == fold->extents_room && grow_extents(fold, err) < 0)
		return -1;
	store->extents[store->extent_count++] = (struct thaw_extent){
		.start = address, .length = THAW_IMAGE_PAGE, .store_page = stored};
	fold->extend = true;
	return 0;
}

static bool is_zero_mark(const XXH128_hash_t *hash)
{
	return hash->low64 == 0 && hash->high64 == 0;
}

/* The pages of the working set get the first numbers, so that few frames hold them. Both lists
 * are sorted. */
static void store_working_set(struct fold *fold, const struct thaw_image_content *content,
			      const uint64_t *first_page)
{
	const struct thaw_memory_segment *segment = content->segments;
	const struct thaw_memory_segment *end = segment + content->segment_count;

	for (size_t i = 0; i < content->meta->working_set_count; i++) {
		const struct thaw_working_set_piece *piece = &content->meta->working_set[i];

		for (uint32_t page = 0; page < piece->pages; page++) {
			uint64_t address = piece->start + page * THAW_IMAGE_PAGE, at, number;

			while (segment < end && segment->start + segment->length <= address)
				segment++;
			if (segment == end)
				return;
			if (segment->start > address)
				continue;
			at = address - segment->start;
			number = first_page[segment - content->segments] + at / THAW_IMAGE_PAGE;
			if (!is_zero_mark(&fold->hashes[number]))
				find_or_store(fold, (uint32_t)number, segment->bytes + at);
		}
	}
}

static int fold_segments(struct fold *fold, const struct thaw_image_content *content,
			 struct thaw_error *err)
{
	const struct thaw_range *range = content->ranges;
	uint32_t page = 0;

	for (size_t i = 0; i < content->segment_count; i++) {
		const struct thaw_memory_segment *segment = &content->segments[i];

		for (uint64_t at = 0; at < segment->length; at += THAW_IMAGE_PAGE, page++) {
			const XXH128_hash_t *hash = &fold->hashes[page];

			/* An extent lies within one range, even where two ranges touch. */
			for (; segment->start + at >= range->start + range->length; range++)
				fold->extend = false;
			if (is_zero_mark(hash))
				continue;
			if (add_page(fold, segment->start + at,
				     find_or_store(fold, page, segment->bytes + at), err) < 0)
				return -1;
		}
	}
	return 0;
}

static int fold_pages(const struct scan *scan, struct thaw_store *store, struct thaw_error *err)
{
	struct fold fold = {.store = store, .hashes = scan->hashes, .mask = 1, .extents_room = 64};
	thaw_autofree uint32_t *slots = NULL;
	thaw_autofree uint32_t *page_numbers = NULL;

	/* At most half full, so that a search is short. */
	while (fold.mask < store->nonzero_pages * 2)
		fold.mask = fold.mask * 2 + 1;
	fold.slots = slots = calloc(fold.mask + 1, sizeof(*slots));
	fold.page_numbers = page_numbers = calloc(store->nonzero_pages + 1, sizeof(*page_numbers));
	store->pages = calloc(store->nonzero_pages + 1, sizeof(*store->pages));
	store->extents = calloc(fold.extents_room, sizeof(*store->extents));
	if (!slots || !page_numbers || !store->pages || !store->extents)
		return thaw_no_memory(err);
	store_working_set(&fold, scan->content, scan->first_page);
	return fold_segments(&fold, scan->content, err);
}

int thaw_store_build(const struct thaw_image_content *content, unsigned threads,
		     struct thaw_store *out, struct thaw_error *err)
{
	thaw_autofree uint64_t *first_page =
		calloc(content->segment_count + 1, sizeof(*first_page));
	thaw_autofree XXH128_hash_t *hashes = NULL;
	struct scan scan = {.content = content, .first_page = first_page, .seed = random_seed()};

	*out = (struct thaw_store){0};
	if (!first_page)
		return thaw_no_memory(err);
	for (size_t i = 0; i < content->segment_count; i++)
		first_page[i + 1] = first_page[i] + content->segments[i].length / THAW_IMAGE_PAGE;
	scan.page_count = first_page[content->segment_count];
	scan.hashes = hashes = calloc(scan.page_count + 1, sizeof(*hashes));
	if (!hashes)
		return thaw_no_memory(err);
	thaw_parallel_run(thaw_parallel_threads(threads, scan.page_count / SCAN_PIECE), scan_work,
			  &scan);
	out->total_pages = scan.page_count;
	out->nonzero_pages = scan.nonzero;
	return fold_pages(&scan, out, err);
}

void thaw_store_free(struct thaw_store *store)
{
	free(store->pages);
	free(store->extents);
	*store = (struct thaw_store){0};
}
