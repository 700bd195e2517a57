/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on their way to the file: gathered, compressed on all threads, written in order.
 *
 * A frame's place depends on the lengths of all frames before it. So threads compress
 * independently, then wait for their turn, by frame number, to get a place; the write itself is
 * outside the lock. Frames are handed out in order, so some thread always has the frame whose
 * turn it is. The result depends on the content alone.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/layout.h"

/* Chosen by measurement; SPEC.md has the table. */
#define COMPRESSION_LEVEL 9

struct queue {
	const struct thaw_compression *compression;
	struct thaw_packed_frame *frames;
	unsigned frame_pages;
	size_t frame_count;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t moved;
	size_t next;	 /* the next frame to compress */
	size_t turn;	 /* the next frame to get a place */
	uint64_t length; /* of all frames that have a place */
	bool failed;
	struct thaw_error error; /* the first one, when failed */
};

/* Owned by one thread. */
struct packer {
	ZSTD_CCtx *zstd;
	uint8_t *raw, *packed;
};

static void cleanup_packer(struct packer *packer)
{
	ZSTD_freeCCtx(packer->zstd);
	free(packer->raw);
	free(packer->packed);
}

static bool open_packer(struct packer *packer)
{
	packer->zstd = ZSTD_createCCtx();
	packer->raw = malloc(THAW_FRAME_RAW_MAX);
	packer->packed = malloc(THAW_FRAME_LENGTH_MAX);
	/* By default a frame states its content size, which makes it a single segment. Our own
	 * checksum replaces zstd's. */
	return packer->zstd && packer->raw && packer->packed &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(packer->zstd, ZSTD_c_compressionLevel,
						    COMPRESSION_LEVEL));
}

static void fail_queue(struct queue *queue, const struct thaw_error *error)
{
	pthread_mutex_lock(&queue->lock);
	if (!queue->failed)
		queue->error = *error;
	queue->failed = true;
	pthread_cond_broadcast(&queue->moved);
	pthread_mutex_unlock(&queue->lock);
}

/* Takes the next frame; false when none is left or a thread has failed. */
static bool take_frame(struct queue *queue, size_t *frame)
{
	bool taken;

	pthread_mutex_lock(&queue->lock);
	taken = !queue->failed && queue->next < queue->frame_count;
	if (taken)
		*frame = queue->next++;
	pthread_mutex_unlock(&queue->lock);
	return taken;
}

/* Waits for FRAME's turn. False when another thread has failed: the turn never comes. */
static bool take_place(struct queue *queue, size_t frame, uint64_t length, uint64_t *offset)
{
	bool placed;

	pthread_mutex_lock(&queue->lock);
	while (queue->turn != frame && !queue->failed)
		pthread_cond_wait(&queue->moved, &queue->lock);
	placed = !queue->failed;
	if (placed) {
		*offset = queue->compression->offset + queue->length;
		queue->length += length;
		queue->turn++;
		pthread_cond_broadcast(&queue->moved);
	}
	pthread_mutex_unlock(&queue->lock);
	return placed;
}

static int compress_frame(struct queue *queue, struct packer *packer, size_t number,
			  struct thaw_error *err)
{
	const struct thaw_store *store = queue->compression->store;
	struct thaw_packed_frame *frame = &queue->frames[number];
	unsigned frame_pages = queue->frame_pages;
	size_t first = number * frame_pages, left = store->page_count - first, length;

	frame->page_count = left < frame_pages ? (uint32_t)left : frame_pages;
	for (size_t i = 0; i < frame->page_count; i++)
		memcpy(packer->raw + i * THAW_IMAGE_PAGE, store->pages[first + i], THAW_IMAGE_PAGE);
	length = ZSTD_compress2(packer->zstd, packer->packed, THAW_FRAME_LENGTH_MAX, packer->raw,
				(size_t)frame->page_count * THAW_IMAGE_PAGE);
	if (ZSTD_isError(length))
		return thaw_fail(err, THAW_ERR_FAILURE, "cannot compress memory: %s",
				 ZSTD_getErrorName(length));
	frame->length = (uint32_t)length;
	frame->checksum = XXH3_64bits(packer->packed, length);
	return 0;
}

static void report_progress(struct queue *queue)
{
	const struct thaw_store *store = queue->compression->store;
	uint64_t stored;

	if (!queue->compression->progress)
		return;
	pthread_mutex_lock(&queue->lock);
	stored = (uint64_t)queue->turn * queue->frame_pages;
	pthread_mutex_unlock(&queue->lock);
	if (stored > store->page_count)
		stored = store->page_count;
	/* Pages that are zero, or equal to a stored page, count as done from the start. */
	queue->compression->progress(queue->compression->context,
				     store->total_pages - store->page_count + stored,
				     store->total_pages);
}

static int pack_frames(struct queue *queue, bool report, struct thaw_error *err)
{
	__attribute__((cleanup(cleanup_packer))) struct packer packer = {0};
	uint64_t offset;
	size_t frame;

	if (!open_packer(&packer))
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory for compressing");
	while (take_frame(queue, &frame)) {
		uint32_t length;

		if (compress_frame(queue, &packer, frame, err) < 0)
			return -1;
		length = queue->frames[frame].length;
		if (!take_place(queue, frame, length, &offset))
			return 0; /* the failure is recorded */
		if (thaw_write_at(queue->compression->fd, packer.packed, length, offset) < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot write the image");
		if (report)
			report_progress(queue);
	}
	return 0;
}

static void pack_work(void *context, unsigned worker)
{
	struct queue *queue = context;
	struct thaw_error error = THAW_ERROR_INIT;

	/* Worker 0 is the caller's own thread: progress is promised on that one. */
	if (pack_frames(queue, worker == 0, &error) < 0)
		fail_queue(queue, &error);
}

static size_t frames_of(size_t page_count, unsigned frame_pages)
{
	return (page_count + frame_pages - 1) / frame_pages;
}

unsigned thaw_frame_pages_for(size_t page_count)
{
	unsigned pages = THAW_IMAGE_FRAME_PAGES_MIN;

	while (pages < THAW_IMAGE_FRAME_PAGES_MAX && frames_of(page_count, pages) > THAW_FRAMES_MAX)
		pages *= 2;
	return pages;
}

size_t thaw_frame_count_for(size_t page_count)
{
	return frames_of(page_count, thaw_frame_pages_for(page_count));
}

int thaw_compression_run(const struct thaw_compression *compression,
			 struct thaw_packed_frame *frames, uint64_t *length, struct thaw_error *err)
{
	struct queue queue = {
		.compression = compression,
		.frames = frames,
		.frame_pages = thaw_frame_pages_for(compression->store->page_count),
		.frame_count = thaw_frame_count_for(compression->store->page_count),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.moved = PTHREAD_COND_INITIALIZER,
	};

	thaw_parallel_run(thaw_parallel_threads(compression->threads, queue.frame_count), pack_work,
			  &queue);
	if (queue.failed) {
		if (err)
			*err = queue.error;
		return -1;
	}
	if (compression->progress)
		compression->progress(compression->context, compression->store->total_pages,
				      compression->store->total_pages);
	*length = queue.length;
	return 0;
}
