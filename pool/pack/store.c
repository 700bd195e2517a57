/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores the bytes of packed files in a memory file that is laid out as the tree; see
 * pack_internal.h. Equal files are stored once, pages of zeros not at all.
 *
 * A file that a program may map begins on a page: then a mapped page equals a packed one, and the
 * image keeps only one of them. The thousands of small files of a language's library lie close
 * together instead: on a page each they would take a third more memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "guest-stub/include/thaw/abi.h"
#include "guest-stub/include/thaw/tree.h"
#include "pool/pack/pack_internal.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/base/memory_file.h"
#include "snapshot-format/base/round.h"

#define BUFFER_SIZE	(256u << 10)
#define BUCKETS		65536u
#define SMALL_MAX	(32u << 10)  /* a larger file begins on a page */
#define SMALL_PIECE	(256u << 10) /* small files are packed into pieces of this size */
#define SMALL_ALIGNMENT 16u

int thaw_pack_store_init(struct thaw_pack_store *store, struct thaw_error *err)
{
	*store = (struct thaw_pack_store){.fd = -1, .end = THAW_PAGE_SIZE};
	store->fd = thaw_memory_file("thaw-tree", 0, err);
	if (store->fd < 0)
		return -1;
	store->buckets = malloc(BUCKETS * sizeof(*store->buckets));
	store->buffer = malloc(BUFFER_SIZE);
	store->other = malloc(BUFFER_SIZE);
	if (!store->buckets || !store->buffer || !store->other)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	memset(store->buckets, 0xff, BUCKETS * sizeof(*store->buckets));
	return 0;
}

void thaw_pack_store_finish(struct thaw_pack_store *store)
{
	if (store->fd >= 0)
		close(store->fd);
	free(store->buckets);
	free(store->buffer);
	free(store->other);
	free(store->contents);
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static int write_at(const struct thaw_pack_store *store, uint64_t at, const uint8_t *bytes,
		    size_t length, struct thaw_error *err)
{
	if (thaw_write_at(store->fd, bytes, length, at) >= 0)
		return 0;
	return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
			       "cannot write to the memory file of the file tree");
}

/* Beyond END the memory file was never written, so pages of zeros can be skipped. */
int thaw_pack_store_write(const struct thaw_pack_store *store, uint64_t at, const void *bytes,
			  size_t length, struct thaw_error *err)
{
	const uint8_t *from = bytes;

	while (length > 0) {
		size_t piece = THAW_PAGE_SIZE - at % THAW_PAGE_SIZE;

		if (piece > length)
			piece = length;
		if (!all_zero(from, piece) && write_at(store, at, from, piece, err) < 0)
			return -1;
		from += piece;
		at += piece;
		length -= piece;
	}
	return 0;
}

int thaw_pack_store_pages(struct thaw_pack_store *store, uint64_t length, uint64_t *at,
			  struct thaw_error *err)
{
	uint64_t left = THAW_TREE_SIZE_MAX - store->end;

	if (length > left)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "the file tree would be larger than %lu MiB: pack fewer files",
				 THAW_TREE_SIZE_MAX >> 20);
	*at = store->end;
	store->end += thaw_round_up(length, THAW_PAGE_SIZE);
	return 0;
}

static ssize_t read_full(const struct thaw_pack_source *source, uint8_t *buffer, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = source->read(source->context, buffer + done, length - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

/* Chooses the place of a file of SIZE bytes; BEGIN has its first KNOWN bytes. */
static int place(struct thaw_pack_store *store, uint64_t size, const uint8_t *begin, size_t known,
		 uint64_t *at, struct thaw_error *err)
{
	bool elf = known >= 4 && memcmp(begin, "\177ELF", 4) == 0;

	if (elf || size > SMALL_MAX)
		return thaw_pack_store_pages(store, size, at, err);
	if (size > store->small_end - store->small) {
		if (thaw_pack_store_pages(store, SMALL_PIECE, &store->small, err) < 0)
			return -1;
		store->small_end = store->small + SMALL_PIECE;
	}
	*at = store->small;
	store->small += (size + SMALL_ALIGNMENT - 1) / SMALL_ALIGNMENT * SMALL_ALIGNMENT;
	return 0;
}

static bool same_bytes(struct thaw_pack_store *store, uint64_t a, uint64_t b, uint64_t size)
{
	while (size > 0) {
		size_t piece = size < BUFFER_SIZE ? (size_t)size : BUFFER_SIZE;

		if (pread(store->fd, store->buffer, piece, (off_t)a) != (ssize_t)piece ||
		    pread(store->fd, store->other, piece, (off_t)b) != (ssize_t)piece ||
		    memcmp(store->buffer, store->other, piece) != 0)
			return false;
		a += piece;
		b += piece;
		size -= piece;
	}
	return true;
}

static const struct thaw_pack_content *find_equal(struct thaw_pack_store *store, XXH128_hash_t hash,
						  uint64_t at, uint64_t size)
{
	for (uint32_t i = store->buckets[hash.low64 % BUCKETS]; i != THAW_PACK_NONE;
	     i = store->contents[i].chain) {
		const struct thaw_pack_content *content = &store->contents[i];

		if (content->hash[0] == hash.low64 && content->hash[1] == hash.high64 &&
		    content->size == size && same_bytes(store, content->data, at, size))
			return content;
	}
	return NULL;
}

static int remember(struct thaw_pack_store *store, XXH128_hash_t hash, uint64_t at, uint64_t size,
		    struct thaw_error *err)
{
	if (store->count == store->room) {
		uint32_t room = store->room ? 2 * store->room : 1024;
		void *grown = realloc(store->contents, room * sizeof(*store->contents));

		if (!grown)
			return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
		store->contents = grown;
		store->room = room;
	}
	store->contents[store->count] =
		(struct thaw_pack_content){.hash = {hash.low64, hash.high64},
					   .size = size,
					   .data = (uint32_t)at,
					   .chain = store->buckets[hash.low64 % BUCKETS]};
	store->buckets[hash.low64 % BUCKETS] = store->count++;
	return 0;
}

/* Copies SOURCE to AT. Its first KNOWN bytes are in the buffer already. */
static int copy(struct thaw_pack_store *store, const struct thaw_pack_source *source, uint64_t at,
		size_t known, uint64_t *size, XXH128_hash_t *hash, struct thaw_error *err)
{
	XXH3_state_t *state = XXH3_createState();
	uint64_t done = 0;
	ssize_t got = (ssize_t)known;
	int result = 0;

	if (!state)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	XXH3_128bits_reset(state);
	while (got > 0 && result == 0) {
		uint64_t left;

		XXH3_128bits_update(state, store->buffer, (size_t)got);
		result = thaw_pack_store_write(store, at + done, store->buffer, (size_t)got, err);
		done += (uint64_t)got;
		left = source->size - done;
		got = read_full(source, store->buffer, left < BUFFER_SIZE ? left : BUFFER_SIZE);
	}
	*hash = XXH3_128bits_digest(state);
	XXH3_freeState(state);
	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s",
				       source->name);
	*size = done;
	return result;
}

/* Releases the place of a file that turned out to equal an earlier one. The place must read as
 * zeros again. */
static int forget(struct thaw_pack_store *store, const struct thaw_pack_store *before, uint64_t at,
		  uint64_t size, struct thaw_error *err)
{
	if (at >= before->end) {
		if (ftruncate(store->fd, (off_t)before->end) < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot shorten the memory file of the file tree");
	} else {
		memset(store->buffer, 0, (size_t)size); /* a small file fits the buffer */
		if (write_at(store, at, store->buffer, (size_t)size, err) < 0)
			return -1;
	}
	store->end = before->end;
	store->small = before->small;
	store->small_end = before->small_end;
	return 0;
}

int thaw_pack_store_take(struct thaw_pack_store *store, const struct thaw_pack_source *source,
			 uint32_t *data, uint64_t *size, bool *known, struct thaw_error *err)
{
	const struct thaw_pack_store before = *store;
	const struct thaw_pack_content *equal;
	XXH128_hash_t hash;
	uint64_t at = 0;
	ssize_t begin;

	begin = read_full(source, store->buffer,
			  source->size < BUFFER_SIZE ? source->size : BUFFER_SIZE);
	if (begin < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read %s",
				       source->name);
	*known = true;
	*size = 0;
	*data = 0;
	if (begin == 0)
		return 0;
	if (place(store, source->size, store->buffer, (size_t)begin, &at, err) < 0 ||
	    copy(store, source, at, (size_t)begin, size, &hash, err) < 0)
		return thaw_error_wrap(err, "%s", source->name);
	/* find_equal() reads whole places back, so the memory file must reach to the end. */
	if (ftruncate(store->fd, (off_t)store->end) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot extend the memory file of the file tree");
	equal = find_equal(store, hash, at, *size);
	*known = equal != NULL;
	if (equal) {
		*data = equal->data;
		return forget(store, &before, at, *size, err);
	}
	*data = (uint32_t)at;
	return remember(store, hash, at, *size, err);
}
