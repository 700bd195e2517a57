/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of regular files. A page is the tree's until it is written; then the file gets its own
 * copy of the page. Pages beyond the tree's that were never written are zeros and take no memory.
 */
#include "guest-stub/linux/linux.h"

#include "guest-stub/linux/fs/fs.h"

#define PIECE_MIN  (16 * THAW_PAGE_SIZE)
#define PIECE_MAX  (256 * THAW_PAGE_SIZE)
#define FIRST_ROOM 16u

/* The free pages, linked by their first word, and the rest of the piece that new ones are cut from.
 * Single pages from the heap would have a header each. */
static uint8_t *free_pages, *piece;
static uint64_t piece_left, piece_size = PIECE_MIN;

static uint8_t *page_new(void)
{
	uint8_t *page = free_pages;

	if (page) {
		memcpy(&free_pages, page, sizeof(free_pages));
		return page;
	}
	if (!piece_left) {
		/* When memory is short, a smaller piece may still fit. */
		for (uint64_t size = piece_size;; size /= 2) {
			piece = malloc(size);
			piece_left = piece ? size : 0;
			if (piece || size == THAW_PAGE_SIZE)
				break;
		}
		if (!piece)
			return NULL;
		if (piece_size < PIECE_MAX)
			piece_size *= 2;
	}
	page = piece;
	piece += THAW_PAGE_SIZE;
	piece_left -= THAW_PAGE_SIZE;
	return page;
}

static void page_free(uint8_t *page)
{
	memcpy(page, &free_pages, sizeof(free_pages));
	free_pages = page;
}

/* Fills PAGE with the tree's bytes of page NUMBER, and zeros behind them. */
static void fill_page(const struct inode *inode, uint64_t number, uint8_t *page)
{
	uint64_t start = number * THAW_PAGE_SIZE, length = 0;

	if (inode->node != FS_NO_NODE && start < inode->file.tree_size) {
		length = inode->file.tree_size - start;
		if (length > THAW_PAGE_SIZE)
			length = THAW_PAGE_SIZE;
		memcpy(page, tree_bytes(tree_node(inode->node)->data) + start, length);
	}
	memset(page + length, 0, THAW_PAGE_SIZE - length);
}

static uint8_t *own_page(const struct inode *inode, uint64_t number)
{
	return number < inode->file.room ? inode->file.pages[number] : NULL;
}

static bool make_room(struct inode *inode, uint64_t number)
{
	uint64_t room = inode->file.room ? inode->file.room : FIRST_ROOM;
	uint8_t **grown;

	if (number < inode->file.room)
		return true;
	while (room <= number)
		room *= 2;
	grown = realloc(inode->file.pages, room * sizeof(*grown));
	if (!grown)
		return false;
	memset(grown + inode->file.room, 0, (room - inode->file.room) * sizeof(*grown));
	inode->file.pages = grown;
	inode->file.room = room;
	return true;
}

/* The file's own page of that NUMBER, made if need be. WHOLE: the caller overwrites all of it. NULL
 * when memory is out. */
static uint8_t *need_page(struct inode *inode, uint64_t number, bool whole)
{
	uint8_t *page = own_page(inode, number);

	if (page)
		return page;
	if (!make_room(inode, number))
		return NULL;
	page = page_new();
	if (!page)
		return NULL;
	if (!whole)
		fill_page(inode, number, page);
	inode->file.pages[number] = page;
	return page;
}

static void read_piece(const struct inode *inode, uint8_t *to, uint64_t at, uint64_t length)
{
	const uint8_t *page = own_page(inode, at / THAW_PAGE_SIZE);
	uint64_t from_tree = 0;

	if (page) {
		memcpy(to, page + at % THAW_PAGE_SIZE, length);
		return;
	}
	if (inode->node != FS_NO_NODE && at < inode->file.tree_size) {
		from_tree = inode->file.tree_size - at;
		if (from_tree > length)
			from_tree = length;
		memcpy(to, tree_bytes(tree_node(inode->node)->data) + at, from_tree);
	}
	memset(to + from_tree, 0, length - from_tree);
}

long content_read(struct inode *inode, void *buffer, size_t length, int64_t at)
{
	uint64_t from = (uint64_t)at, done = 0;

	if (from >= inode->file.size)
		return 0;
	if (length > inode->file.size - from)
		length = inode->file.size - from;
	/* All of it is the tree's: one copy will do. */
	if (!inode->file.room && inode->file.tree_size >= from + length) {
		memcpy(buffer, tree_bytes(tree_node(inode->node)->data) + from, length);
		return (long)length;
	}
	while (done < length) {
		uint64_t piece_length = THAW_PAGE_SIZE - (from + done) % THAW_PAGE_SIZE;

		if (piece_length > length - done)
			piece_length = length - done;
		read_piece(inode, (uint8_t *)buffer + done, from + done, piece_length);
		done += piece_length;
	}
	return (long)length;
}

long content_write(struct inode *inode, const void *buffer, size_t length, int64_t at)
{
	uint64_t to = (uint64_t)at, done = 0;

	if (at >= FS_FILE_MAX)
		return -EFBIG;
	if (length > (uint64_t)(FS_FILE_MAX - at))
		length = (uint64_t)(FS_FILE_MAX - at);
	while (done < length) {
		uint64_t into = (to + done) % THAW_PAGE_SIZE, count = THAW_PAGE_SIZE - into;
		uint8_t *page;

		if (count > length - done)
			count = length - done;
		page = need_page(inode, (to + done) / THAW_PAGE_SIZE, count == THAW_PAGE_SIZE);
		if (!page)
			break;
		memcpy(page + into, (const uint8_t *)buffer + done, count);
		done += count;
	}
	if (done == 0 && length > 0)
		return -ENOSPC;
	if (done > 0 && to + done > inode->file.size)
		inode->file.size = to + done;
	if (done > 0)
		inode->modified = inode->changed = fs_now();
	return (long)done;
}

/* Forgets the bytes behind SIZE, which read as zeros when the file grows again. */
static void cut(struct inode *inode, uint64_t size)
{
	uint64_t number = size / THAW_PAGE_SIZE, into = size % THAW_PAGE_SIZE;
	uint8_t *page = own_page(inode, number);

	if (into && page)
		memset(page + into, 0, THAW_PAGE_SIZE - into);
	for (uint64_t i = number + (into != 0); i < inode->file.room; i++)
		if (inode->file.pages[i]) {
			page_free(inode->file.pages[i]);
			inode->file.pages[i] = NULL;
		}
	if (inode->file.tree_size > size)
		inode->file.tree_size = size;
}

int content_resize(struct inode *inode, int64_t size)
{
	if (size < 0)
		return -EINVAL;
	if (size > FS_FILE_MAX)
		return -EFBIG;
	if ((uint64_t)size < inode->file.size)
		cut(inode, (uint64_t)size);
	inode->file.size = (uint64_t)size;
	inode->modified = inode->changed = fs_now();
	return 0;
}

void content_free(struct inode *inode)
{
	cut(inode, 0);
	free(inode->file.pages);
	inode->file.pages = NULL;
	inode->file.room = 0;
	inode->file.size = 0;
}
