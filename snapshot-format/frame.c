/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: checked, decoded and spread over the guest's memory.
 *
 * The decoder trusts nothing that the zstd frame says of itself. It compares size, window and end
 * with what the frame table implies before it decodes a byte, and decodes into a buffer whose
 * size comes from the frame table.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/layout.h"

/* In zstd's frame header the descriptor follows the magic number; its bits say what comes
 * next. */
#define ZSTD_AT_DESCRIPTOR 4u
/* The descriptor without the width of the content size, and its one allowed value: no window
 * beyond the content, no checksum, no dictionary, no reserved or unused bit. */
#define DESCRIPTOR_MASK	  0x3fu
#define DESCRIPTOR_SINGLE 0x20u

/* ---- Which extents use a frame ---- */

static uint64_t first_frame(const struct thaw_image_file *image, const struct thaw_extent *extent)
{
	return extent->store_page / image->frame_pages;
}

static uint64_t last_frame(const struct thaw_image_file *image, const struct thaw_extent *extent)
{
	return (extent->store_page + extent->length / THAW_IMAGE_PAGE - 1) / image->frame_pages;
}

/*
 * Counting sort by frame. An extent that spans several frames is listed with each; an extent of n
 * pages spans at most n / 8 + 2, so the limits on memory and extents bound the index to 2^21 +
 * 2^23 entries.
 */
int thaw_image_index_frames(struct thaw_image_file *image, struct thaw_error *err)
{
	uint32_t *from = calloc(image->frame_count + 2, sizeof(*from));

	image->users_from = from;
	if (!from)
		return thaw_no_memory(err);
	for (size_t i = 0; i < image->extent_count; i++)
		for (uint64_t frame = first_frame(image, &image->extents[i]);
		     frame <= last_frame(image, &image->extents[i]); frame++)
			from[frame + 2]++;
	for (size_t i = 2; i < image->frame_count + 2; i++)
		from[i] += from[i - 1];
	image->users = calloc((size_t)from[image->frame_count + 1] + 1, sizeof(*image->users));
	if (!image->users)
		return thaw_no_memory(err);
	/* While filling, from[frame + 1] is where the frame's next user goes; afterwards it is
	 * where its users end. */
	for (size_t i = 0; i < image->extent_count; i++)
		for (uint64_t frame = first_frame(image, &image->extents[i]);
		     frame <= last_frame(image, &image->extents[i]); frame++)
			image->users[from[frame + 1]++] = (uint32_t)i;
	return 0;
}

/* ---- Decoding ---- */

int thaw_image_frames_read(const struct thaw_image_file *image, size_t first, size_t count,
			   void *compressed, struct thaw_error *err)
{
	const struct thaw_image_frame *last = &image->frames[first + count - 1];
	uint64_t start, length;
	ssize_t got;

	thaw_assert(count && first < image->frame_count && count <= image->frame_count - first);
	start = image->frames[first].offset;
	length = last->offset + last->length - start;
	got = thaw_read_at(image->fd, compressed, length, start);
	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read the image");
	if ((uint64_t)got != length)
		return thaw_refuse(err, "it ends inside frame %zu or before", first + count - 1);
	return 0;
}

int thaw_image_frame_check(const struct thaw_image_file *image, size_t number,
			   const void *compressed, struct thaw_error *err)
{
	const struct thaw_image_frame *frame = &image->frames[number];
	const uint8_t *bytes = compressed;

	thaw_assert(number < image->frame_count);
	if (XXH3_64bits(bytes, frame->length) != frame->checksum)
		return thaw_refuse(err, "frame %zu's checksum does not match", number);
	/* libzstd may accept skippable frames and older formats; an image has neither. */
	if (thaw_get32(bytes) != ZSTD_MAGICNUMBER)
		return thaw_refuse(err, "frame %zu is not a zstd frame", number);
	if (ZSTD_getFrameContentSize(bytes, frame->length) !=
	    (uint64_t)frame->page_count * THAW_IMAGE_PAGE)
		return thaw_refuse(err, "frame %zu does not hold %" PRIu32 " pages", number,
				   frame->page_count);
	if ((bytes[ZSTD_AT_DESCRIPTOR] & DESCRIPTOR_MASK) != DESCRIPTOR_SINGLE)
		return thaw_refuse(err, "frame %zu is not a plain single segment", number);
	if (ZSTD_findFrameCompressedSize(bytes, frame->length) != frame->length)
		return thaw_refuse(err, "frame %zu is not exactly one zstd frame", number);
	return 0;
}

int thaw_image_frame_decode(const struct thaw_image_file *image, size_t number,
			    const void *compressed, void *raw, void *dctx, struct thaw_error *err)
{
	const struct thaw_image_frame *frame = &image->frames[number];
	size_t size, got;

	thaw_assert(number < image->frame_count);
	size = (size_t)frame->page_count * THAW_IMAGE_PAGE;
	if (thaw_image_frame_check(image, number, compressed, err) < 0)
		return -1;
	got = dctx ? ZSTD_decompressDCtx(dctx, raw, size, compressed, frame->length)
		   : ZSTD_decompress(raw, size, compressed, frame->length);
	if (ZSTD_isError(got))
		return thaw_refuse(err, "frame %zu cannot be decoded: %s", number,
				   ZSTD_getErrorName(got));
	if (got != size)
		return thaw_refuse(err, "frame %zu does not hold %" PRIu32 " pages", number,
				   frame->page_count);
	return 0;
}

int thaw_image_frame_scatter(const struct thaw_image_file *image, size_t number, const void *raw,
			     int (*place)(void *context, uint64_t start, const void *bytes,
					  size_t length),
			     void *context)
{
	const struct thaw_image_frame *frame = &image->frames[number];
	uint64_t frame_end;

	thaw_assert(number < image->frame_count);
	frame_end = frame->first_page + frame->page_count;
	for (uint32_t i = image->users_from[number]; i < image->users_from[number + 1]; i++) {
		const struct thaw_extent *extent = &image->extents[image->users[i]];
		uint64_t first = extent->store_page, end = first + extent->length / THAW_IMAGE_PAGE;
		int result;

		if (first < frame->first_page)
			first = frame->first_page;
		if (end > frame_end)
			end = frame_end;
		result = place(context,
			       extent->start + (first - extent->store_page) * THAW_IMAGE_PAGE,
			       (const char *)raw + (first - frame->first_page) * THAW_IMAGE_PAGE,
			       (end - first) * THAW_IMAGE_PAGE);
		if (result < 0)
			return result;
	}
	return 0;
}
