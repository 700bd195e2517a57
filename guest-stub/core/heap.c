/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap: two-level segregated fit. Free blocks are in lists by size class (a power of two, split
 * in eight). Bitmaps find the first class that surely fits. Neighbours merge when they are freed.
 * Every operation takes constant time, except for the mapping of more pages.
 *
 * The heap is one contiguous run of blocks from the program's end up. A header of size zero that
 * counts as used closes it. It grows in pieces, each a quarter of the present size, so that a small
 * program maps little and a large one maps seldom. A caller's overflow first hits a block's header,
 * so headers are checked before use.
 */
#include "guest-stub/core/core.h"

#define ALIGNMENT   16u
#define MIN_BLOCK   32u /* header and two links */
#define SPLIT_BITS  3u
#define SPLITS	    (1u << SPLIT_BITS)
#define FIRST_POWER 5u /* MIN_BLOCK */
#define POWERS	    32u
#define PIECE_MIN   (16 * THAW_PAGE_SIZE)
#define PIECE_MAX   (1024 * THAW_PAGE_SIZE)
/* At the ready point, a free run of at least this many bytes is unmapped and mapped again instead
 * of cleared by hand. */
#define TRIM_UNMAP (16 * THAW_PAGE_SIZE)

#define USED	   1u

struct block {
	size_t before; /* size of the block below; 0: this is the first */
	size_t size;   /* with the header; USED is the lowest bit; 0 | USED closes the heap */
	struct block *next, *previous; /* links of a free block; memory of a used one */
};

#define HEADER offsetof(struct block, next)

static THAW_HOT struct {
	uintptr_t start, end; /* page-aligned; END is just beyond the closing header */
	uintptr_t limit;      /* of END; page-aligned */
	uint32_t powers;      /* a bit for each power that has a free block */
	uint8_t splits[POWERS];
	struct block *lists[POWERS][SPLITS];
} heap;

static size_t size_of(const struct block *block)
{
	return block->size & ~(size_t)USED;
}

static struct block *above(struct block *block)
{
	return (struct block *)((char *)block + size_of(block));
}

static struct block *below(struct block *block)
{
	return (struct block *)((char *)block - block->before);
}

/* The class that a free block of SIZE belongs to. */
static void class_of(size_t size, unsigned *power, unsigned *split)
{
	unsigned top = 63u - (unsigned)__builtin_clzl(size);

	*power = top - FIRST_POWER;
	*split = (unsigned)(size >> (top - SPLIT_BITS)) & (SPLITS - 1);
}

static void list_add(struct block *block)
{
	unsigned power, split;
	struct block **list;

	class_of(block->size, &power, &split);
	list = &heap.lists[power][split];
	block->previous = NULL;
	block->next = *list;
	if (*list)
		(*list)->previous = block;
	*list = block;
	heap.splits[power] |= (uint8_t)(1u << split);
	heap.powers |= 1u << power;
}

static void list_remove(struct block *block)
{
	unsigned power, split;

	class_of(block->size, &power, &split);
	if (block->next)
		block->next->previous = block->previous;
	if (block->previous) {
		block->previous->next = block->next;
		return;
	}
	heap.lists[power][split] = block->next;
	if (!block->next)
		heap.splits[power] &= (uint8_t) ~(1u << split);
	if (!heap.splits[power])
		heap.powers &= ~(1u << power);
}

/* The first free block in a class whose every block has at least SIZE bytes. */
static struct block *find(size_t size)
{
	unsigned power, split, splits;
	uint32_t powers;

	/* Round up to the next class, so that every block in it is large enough. */
	size += ((size_t)1 << (63 - __builtin_clzl(size) - SPLIT_BITS)) - 1;
	class_of(size, &power, &split);
	splits = power < POWERS ? heap.splits[power] & (~0u << split) : 0;
	if (splits == 0) {
		powers = power + 1 < POWERS ? heap.powers & (~0u << (power + 1)) : 0;
		if (powers == 0)
			return NULL;
		power = (unsigned)__builtin_ctz(powers);
		splits = heap.splits[power];
	}
	return heap.lists[power][__builtin_ctz(splits)];
}

/* Frees a block that is in no list, and merges it with free neighbours. */
static void release(struct block *block)
{
	struct block *neighbour = above(block);

	if (!(neighbour->size & USED)) {
		list_remove(neighbour);
		block->size += neighbour->size;
	}
	if (block->before != 0 && !(below(block)->size & USED)) {
		neighbour = below(block);
		list_remove(neighbour);
		neighbour->size += block->size;
		block = neighbour;
	}
	above(block)->before = block->size;
	list_add(block);
}

/* Cuts BLOCK, which is used and in no list, down to SIZE if the rest is large enough for a
 * block. */
static void cut(struct block *block, size_t size)
{
	size_t rest = size_of(block) - size;
	struct block *tail = (struct block *)((char *)block + size);

	if (rest < MIN_BLOCK)
		return;
	block->size = size | USED;
	tail->before = size;
	tail->size = rest;
	above(tail)->before = rest;
	release(tail);
}

/* Sets up the heap in one page: one free block and the closing header. */
static bool open_heap(void)
{
	uintptr_t start, limit;
	struct block *closing;

	thaw_core_heap_area(&start, &limit);
	if (limit - start < THAW_PAGE_SIZE ||
	    thaw_map((void *)start, THAW_PAGE_SIZE, THAW_MAP_READ | THAW_MAP_WRITE) < 0)
		return false;
	heap.start = start;
	heap.end = start + THAW_PAGE_SIZE;
	heap.limit = limit;
	closing = (struct block *)(heap.end - HEADER);
	closing->before = 0;
	closing->size = USED;
	if (THAW_PAGE_SIZE > HEADER + MIN_BLOCK) {
		struct block *first = (struct block *)start;

		first->before = 0;
		first->size = THAW_PAGE_SIZE - HEADER;
		closing->before = first->size;
		list_add(first);
	}
	return true;
}

/* Maps more pages, enough for a block of SIZE. The old closing header becomes that of the new
 * block. */
static bool grow(size_t size)
{
	size_t need = (size + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1);
	size_t piece = (heap.end - heap.start) / 4 & ~(THAW_PAGE_SIZE - 1);
	struct block *block = (struct block *)(heap.end - HEADER), *closing;

	if (piece < PIECE_MIN)
		piece = PIECE_MIN;
	if (piece > PIECE_MAX)
		piece = PIECE_MAX;
	if (piece < need || piece > heap.limit - heap.end)
		piece = need;
	if (piece > heap.limit - heap.end)
		return false;
	/* Near the memory limit the needed pages may fit although the generous piece does not. */
	if (thaw_map((void *)heap.end, piece, THAW_MAP_READ | THAW_MAP_WRITE) < 0) {
		piece = need;
		if (thaw_map((void *)heap.end, piece, THAW_MAP_READ | THAW_MAP_WRITE) < 0)
			return false;
	}
	heap.end += piece;
	closing = (struct block *)(heap.end - HEADER);
	closing->before = piece;
	closing->size = USED;
	block->size = piece;
	release(block);
	return true;
}

void *malloc(size_t size)
{
	struct block *block;

	if (heap.end == 0 && !open_heap())
		return NULL;
	if (size > heap.limit - heap.start)
		return NULL;
	size = (size + HEADER + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (size < MIN_BLOCK)
		size = MIN_BLOCK;
	block = find(size);
	if (!block) {
		/* find() looks in the class above SIZE's, so grow enough to get there. */
		if (!grow(size + (size >> SPLIT_BITS)))
			return NULL;
		block = find(size);
	}
	list_remove(block);
	block->size |= USED;
	cut(block, size);
	return (char *)block + HEADER;
}

/* The block of a caller's pointer. Checks its header against its neighbours. */
static struct block *block_of(void *pointer)
{
	struct block *block = (struct block *)((char *)pointer - HEADER);

	if ((uintptr_t)block < heap.start || (uintptr_t)block >= heap.end - HEADER ||
	    ((uintptr_t)pointer & (ALIGNMENT - 1)) || !(block->size & USED) ||
	    size_of(block) > heap.end - HEADER - (uintptr_t)block ||
	    above(block)->before != size_of(block))
		thaw_abort("heap: not a live block, or its header was overwritten");
	return block;
}

void free(void *pointer)
{
	struct block *block;

	if (!pointer)
		return;
	block = block_of(pointer);
	block->size &= ~(size_t)USED;
	release(block);
}

void *calloc(size_t count, size_t size)
{
	size_t total;
	void *memory;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	memory = malloc(total);
	if (memory)
		memset(memory, 0, total);
	return memory;
}

void *realloc(void *pointer, size_t size)
{
	struct block *block, *neighbour;
	size_t have, want;
	void *moved;

	if (!pointer)
		return malloc(size);
	block = block_of(pointer);
	if (size > heap.limit - heap.start)
		return NULL;
	want = (size + HEADER + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (want < MIN_BLOCK)
		want = MIN_BLOCK;
	/* Grow in place where the block above is free and large enough. */
	neighbour = above(block);
	have = size_of(block);
	if (want > have && !(neighbour->size & USED) && want - have <= neighbour->size) {
		list_remove(neighbour);
		have += neighbour->size;
		block->size = have | USED;
		above(block)->before = have;
	}
	if (want <= have) {
		cut(block, want);
		return pointer;
	}
	moved = malloc(size);
	if (moved) {
		memcpy(moved, pointer, have - HEADER);
		free(pointer);
	}
	return moved;
}

/* Zeroes the whole pages inside a free block: an image does not store zero pages. */
static void clear_free(struct block *block)
{
	uintptr_t from = (uintptr_t)block + sizeof(*block), to = (uintptr_t)block + block->size;

	from = (from + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1);
	to &= ~(THAW_PAGE_SIZE - 1);
	if (from >= to)
		return;
	if (to - from < TRIM_UNMAP) {
		memset((void *)from, 0, to - from);
		return;
	}
	if (thaw_unmap((void *)from, to - from) < 0 ||
	    thaw_map((void *)from, to - from, THAW_MAP_READ | THAW_MAP_WRITE) < 0)
		thaw_abort("heap: free pages could not be given back");
}

void thaw_core_heap_trim(void)
{
	for (unsigned power = 0; power < POWERS; power++)
		for (unsigned split = 0; split < SPLITS; split++)
			for (struct block *block = heap.lists[power][split]; block;
			     block = block->next)
				clear_free(block);
}
