/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of regular files. A page is the tree's until it is written; then the file gets its own
 * copy of the page. Pages beyond the tree's that were never written are zeros and take no memory.
 * Where a shared mapping owns a page (memory/shared.c), its bytes are there.
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

static void read_pieces(const struct inode *inode, uint8_t *to, uint64_t at, uint64_t length)
{
	while (length > 0) {
		uint64_t piece_length = THAW_PAGE_SIZE - at % THAW_PAGE_SIZE;

		if (piece_length > length)
			piece_length = length;
		read_piece(inode, to, at, piece_length);
		to += piece_length;
		at += piece_length;
		length -= piece_length;
	}
}

static void read_mapped(const struct inode *inode, uint8_t *to, uint64_t at, uint64_t length)
{
	while (length > 0) {
		uint8_t *held;
		uint64_t count = shared_where(&inode->file.home, at, length, &held);

		if (held)
			memmove(to, held, count);
		else
			read_pieces(inode, to, at, count);
		to += count;
		at += count;
		length -= count;
	}
}

long content_read(struct inode *inode, void *buffer, size_t length, int64_t at)
{
	uint64_t from = (uint64_t)at;

	if (from >= inode->file.size)
		return 0;
	if (length > inode->file.size - from)
		length = inode->file.size - from;
	if (inode->file.home.mappings) {
		read_mapped(inode, buffer, from, length);
		return (long)length;
	}
	/* All of it is the tree's: one copy will do. */
	if (!inode->file.room && inode->file.tree_size >= from + length) {
		memcpy(buffer, tree_bytes(tree_node(inode->node)->data) + from, length);
		return (long)length;
	}
	read_pieces(inode, buffer, from, length);
	return (long)length;
}

/* Returns for how many bytes memory was enough. */
static uint64_t write_pieces(struct inode *inode, const uint8_t *from, uint64_t at, uint64_t length)
{
	uint64_t done = 0;

	while (done < length) {
		uint64_t into = (at + done) % THAW_PAGE_SIZE, count = THAW_PAGE_SIZE - into;
		uint8_t *page;

		if (count > length - done)
			count = length - done;
		page = need_page(inode, (at + done) / THAW_PAGE_SIZE, count == THAW_PAGE_SIZE);
		if (!page)
			break;
		memcpy(page + into, from + done, count);
		done += count;
	}
	return done;
}

static uint64_t write_mapped(struct inode *inode, const uint8_t *from, uint64_t at, uint64_t length)
{
	const struct home *home = &inode->file.home;
	uint64_t done = 0;

	while (done < length) {
		uint8_t *held;
		uint64_t count = shared_where(home, at + done, length - done, &held), put = count;

		if (held) {
			if (!shared_write(held, from + done, count))
				break;
		} else {
			put = write_pieces(inode, from + done, at + done, count);
			shared_show(home, at + done, put);
		}
		done += put;
		if (put < count)
			break;
	}
	return done;
}

/* The file grows to SIZE. What a program wrote into a mapping behind the end is not of it. */
static void clear_tail(struct inode *inode, uint64_t size)
{
	uint64_t old = inode->file.size, end = page_up(old);

	if (inode->file.home.mappings && old < end)
		shared_clear(&inode->file.home, old, (size < end ? size : end) - old);
}

/* How many of the bytes the seals let the program write. As in Linux, a page that would make the file
 * grow is refused as a whole. */
static uint64_t unsealed(const struct inode *inode, uint64_t length, uint64_t at)
{
	uint32_t seals = inode->file.home.seals;
	uint64_t end = page_down(inode->file.size);

	if (seals & (SEAL_WRITE | SEAL_FUTURE))
		return 0;
	if (!(seals & SEAL_GROW) || at + length <= inode->file.size)
		return length;
	return at < end ? end - at : 0;
}

long content_write(struct inode *inode, const void *buffer, size_t length, int64_t at)
{
	uint64_t to = (uint64_t)at, done;

	if (at >= FS_FILE_MAX)
		return -EFBIG;
	if (inode->file.home.seals && length) {
		length = unsealed(inode, length, to);
		if (!length)
			return -EPERM;
	}
	if (length > (uint64_t)(FS_FILE_MAX - at))
		length = (uint64_t)(FS_FILE_MAX - at);
	if (length && to > inode->file.size)
		clear_tail(inode, to);
	done = inode->file.home.mappings ? write_mapped(inode, buffer, to, length)
					 : write_pieces(inode, buffer, to, length);
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
	if (inode->file.home.seals & ((uint64_t)size < inode->file.size	  ? SEAL_SHRINK
				      : (uint64_t)size > inode->file.size ? SEAL_GROW
									  : 0))
		return -EPERM;
	if ((uint64_t)size < inode->file.size)
		cut(inode, (uint64_t)size);
	else
		clear_tail(inode, (uint64_t)size);
	if (inode->file.home.mappings && (uint64_t)size < inode->file.size)
		shared_cut(&inode->file.home, (uint64_t)size);
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

static bool is_zero(const uint8_t *bytes, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

int content_clear(struct inode *inode, uint64_t at, uint64_t length)
{
	uint64_t end = at + length, size = inode->file.size;

	if (end > size)
		end = size;
	if (inode->file.home.seals & (SEAL_WRITE | SEAL_FUTURE))
		return -EPERM;
	if (at >= end)
		return 0;
	if (inode->file.home.mappings)
		shared_clear(&inode->file.home, at, end - at);
	while (at < end) {
		uint64_t number = at / THAW_PAGE_SIZE, into = at % THAW_PAGE_SIZE;
		uint64_t count = THAW_PAGE_SIZE - into;
		uint8_t *page = own_page(inode, number);

		if (count > end - at)
			count = end - at;
		if (!page && at < inode->file.tree_size) {
			page = need_page(inode, number, false);
			if (!page)
				return -ENOSPC;
		}
		if (page)
			memset(page + into, 0, count);
		at += count;
	}
	inode->modified = inode->changed = fs_now();
	return 0;
}

/* ---- Shared mappings ---- */

static const struct inode *inode_at(const struct home *home)
{
	return (const void *)((const uint8_t *)home - offsetof(struct inode, file.home));
}

static struct inode *inode_of_home(struct home *home)
{
	return (void *)((uint8_t *)home - offsetof(struct inode, file.home));
}

static uint64_t home_size(const struct home *home)
{
	return inode_at(home)->file.size;
}

static void home_get(const struct home *home, void *to, uint64_t length, uint64_t at)
{
	read_pieces(inode_at(home), to, at, length);
}

/* Most pages are as they were, and need no copy. */
static bool is_same(const struct inode *inode, const uint8_t *bytes, uint64_t number,
		    uint64_t length)
{
	const uint8_t *page = own_page(inode, number);
	uint64_t at = number * THAW_PAGE_SIZE, tree = 0;

	if (page)
		return memcmp(page, bytes, length) == 0;
	if (at < inode->file.tree_size)
		tree = inode->file.tree_size - at < length ? inode->file.tree_size - at : length;
	return (!tree || !memcmp(tree_bytes(tree_node(inode->node)->data) + at, bytes, tree)) &&
	       is_zero(bytes + tree, length - tree);
}

static int home_put(struct home *home, const void *from, uint64_t length, uint64_t at)
{
	struct inode *inode = inode_of_home(home);
	const uint8_t *bytes = from;

	for (uint64_t end = at + length; at < end; at += THAW_PAGE_SIZE, bytes += THAW_PAGE_SIZE) {
		uint64_t number = at / THAW_PAGE_SIZE, count = inode->file.size - at;
		uint8_t *page;

		if (count > THAW_PAGE_SIZE)
			count = THAW_PAGE_SIZE;
		if (is_same(inode, bytes, number, count))
			continue;
		page = need_page(inode, number, false);
		if (!page)
			return -ENOMEM;
		memcpy(page, bytes, count);
	}
	return 0;
}

static int home_clear(struct home *home, uint64_t at, uint64_t length)
{
	return content_clear(inode_of_home(home), at, length);
}

static bool home_untouched(const struct home *home)
{
	const struct inode *inode = inode_at(home);

	return inode->node != FS_NO_NODE && inode->file.room == 0;
}

struct home *content_home(struct inode *inode)
{
	static const struct home_operations operations = {.size = home_size,
							  .get = home_get,
							  .put = home_put,
							  .clear = home_clear,
							  .untouched = home_untouched};

	inode->file.home.operations = &operations;
	return &inode->file.home;
}
