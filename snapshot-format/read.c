/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens an image: reads the header and every table once, checks them, and keeps the copies.
 *
 * Each table is read at the length that the checked header gives it, and the file has that many
 * bytes. So a file pays in bytes for whatever is allocated for it, except for the bitmap of
 * stored pages and the index of frames, which the limits bound.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/layout.h"

static int read_exactly(int fd, void *bytes, uint64_t length, uint64_t offset,
			struct thaw_error *err)
{
	ssize_t got = thaw_read_at(fd, bytes, length, offset);

	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read the image");
	if ((uint64_t)got != length)
		return thaw_refuse(err, "it ends before byte %" PRIu64, offset + length);
	return 0;
}

static int read_header(int fd, struct thaw_header *header, struct thaw_error *err)
{
	uint8_t bytes[THAW_IMAGE_HEADER_SIZE];
	struct stat status;

	if (fstat(fd, &status) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot look at the image file");
	if (!S_ISREG(status.st_mode))
		return thaw_fail(err, THAW_ERR_IMAGE, "not a Thaw image: not a regular file");
	if (status.st_size < (off_t)sizeof(bytes))
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "not a Thaw image, or cut short: it has only %" PRIu64 " bytes",
				 (uint64_t)status.st_size);
	if (read_exactly(fd, bytes, sizeof(bytes), 0, err) < 0)
		return -1;
	return thaw_header_decode(bytes, (uint64_t)status.st_size, header, err);
}

/* Reads a section into fresh memory, with one byte to spare: an empty section must not be
 * NULL. */
static int read_section(int fd, const struct thaw_header *header, enum thaw_section_kind kind,
			uint8_t **out, struct thaw_error *err)
{
	const struct thaw_section *section = &header->section[kind];
	thaw_autofree uint8_t *bytes = malloc(section->length + 1);

	if (!bytes)
		return thaw_no_memory(err);
	if (read_exactly(fd, bytes, section->length, section->offset, err) < 0)
		return -1;
	if (XXH3_64bits(bytes, section->length) != section->checksum)
		return thaw_refuse(err, "the %s's checksum does not match",
				   thaw_section_name(kind));
	*out = thaw_take(bytes);
	return 0;
}

/* Passes on what check.c said, as a statement about the file. Running out of memory says nothing
 * about the file. */
static int checked(int result, struct thaw_error *err)
{
	if (result < 0 && err && err->kind == THAW_ERR_IMAGE)
		thaw_error_wrap(err, "damaged image");
	return result;
}

static int load_meta(struct thaw_image_file *image, const struct thaw_header *header,
		     struct thaw_error *err)
{
	thaw_autofree uint8_t *bytes = NULL;

	if (read_section(image->fd, header, THAW_SECTION_META, &bytes, err) < 0 ||
	    thaw_meta_decode(bytes, header->section[THAW_SECTION_META].length, &image->meta,
			     &image->meta_arena, err) < 0)
		return -1;
	memcpy(image->meta.uuid, header->uuid, sizeof(header->uuid));
	return checked(thaw_image_check_meta(&image->meta, err), err);
}

static int load_vcpu(struct thaw_image_file *image, const struct thaw_header *header,
		     struct thaw_error *err)
{
	struct thaw_vcpu *vcpu = &image->vcpu;
	const uint8_t *bytes;

	if (read_section(image->fd, header, THAW_SECTION_VCPU, &image->vcpu_bytes, err) < 0)
		return -1;
	bytes = image->vcpu_bytes;
	for (unsigned i = 0; i < THAW_REGISTERS; i++)
		vcpu->registers[i] = thaw_get64(bytes + 8 * i);
	vcpu->xsave_mask = thaw_get64(bytes + 8 * THAW_REGISTERS);
	vcpu->xsave_length = thaw_get32(bytes + 8 * THAW_REGISTERS + 8);
	vcpu->xsave = bytes + THAW_VCPU_FIXED;
	if (thaw_get32(bytes + 8 * THAW_REGISTERS + 12) != 0)
		return thaw_refuse(err, "the vCPU record's reserved bytes are not zero");
	if (header->section[THAW_SECTION_VCPU].length - THAW_VCPU_FIXED != vcpu->xsave_length)
		return thaw_refuse(err, "the vCPU record's length does not match its XSAVE area");
	return checked(thaw_image_check_vcpu(vcpu, err), err);
}

static int load_ranges(struct thaw_image_file *image, const struct thaw_header *header,
		       struct thaw_error *err)
{
	thaw_autofree uint8_t *bytes = NULL;

	image->range_count = header->section[THAW_SECTION_RANGES].length / THAW_RANGE_ENTRY;
	if (read_section(image->fd, header, THAW_SECTION_RANGES, &bytes, err) < 0)
		return -1;
	image->ranges = calloc(image->range_count + 1, sizeof(*image->ranges));
	if (!image->ranges)
		return thaw_no_memory(err);
	for (size_t i = 0; i < image->range_count; i++) {
		const uint8_t *entry = bytes + i * THAW_RANGE_ENTRY;

		image->ranges[i] = (struct thaw_range){.start = thaw_get64(entry),
						       .length = thaw_get64(entry + 8),
						       .prot = thaw_get32(entry + 16)};
		if (thaw_get32(entry + 20) != 0)
			return thaw_refuse(err, "range %zu has reserved bytes that are not zero",
					   i);
	}
	return checked(thaw_image_check_ranges(image->ranges, image->range_count,
					       image->meta.memory_size, &image->sizes.mapped_bytes,
					       err) < 0
			       ? -1
			       : thaw_image_check_working_set(&image->meta, image->ranges,
							      image->range_count, err),
		       err);
}

/* The first frame sets the page count of all but the last. An only frame sets none. */
static int set_frame_pages(struct thaw_image_file *image, uint32_t first, struct thaw_error *err)
{
	image->frame_pages = THAW_IMAGE_FRAME_PAGES_MAX;
	if (image->frame_count < 2)
		return 0;
	if (first < THAW_IMAGE_FRAME_PAGES_MIN || first > THAW_IMAGE_FRAME_PAGES_MAX ||
	    first & (first - 1))
		return thaw_refuse(err, "frame 0 has %" PRIu32 " pages", first);
	image->frame_pages = first;
	return 0;
}

/* All frames but the last are full, so finding the frame of a stored page needs no search. */
static int check_frame(const struct thaw_image_file *image, size_t i, struct thaw_error *err)
{
	const struct thaw_image_frame *frame = &image->frames[i];

	if (frame->page_count == 0 || frame->page_count > image->frame_pages ||
	    (i + 1 < image->frame_count && frame->page_count != image->frame_pages))
		return thaw_refuse(err, "frame %zu has %" PRIu32 " pages", i, frame->page_count);
	if (frame->length < THAW_FRAME_LENGTH_MIN || frame->length > THAW_FRAME_LENGTH_MAX)
		return thaw_refuse(err, "frame %zu has %" PRIu32 " bytes, outside %u to %u", i,
				   frame->length, THAW_FRAME_LENGTH_MIN, THAW_FRAME_LENGTH_MAX);
	return 0;
}

static int load_frames(struct thaw_image_file *image, const struct thaw_header *header,
		       struct thaw_error *err)
{
	const struct thaw_section *data = &header->section[THAW_SECTION_DATA];
	thaw_autofree uint8_t *bytes = NULL;
	uint64_t offset = data->offset, page = 0;

	image->frame_count = header->section[THAW_SECTION_FRAMES].length / THAW_FRAME_ENTRY;
	if (read_section(image->fd, header, THAW_SECTION_FRAMES, &bytes, err) < 0)
		return -1;
	if (set_frame_pages(image, image->frame_count ? thaw_get32(bytes + 4) : 0, err) < 0)
		return -1;
	image->frames = calloc(image->frame_count + 1, sizeof(*image->frames));
	if (!image->frames)
		return thaw_no_memory(err);
	for (size_t i = 0; i < image->frame_count; i++) {
		const uint8_t *entry = bytes + i * THAW_FRAME_ENTRY;

		image->frames[i] = (struct thaw_image_frame){.offset = offset,
							     .length = thaw_get32(entry),
							     .page_count = thaw_get32(entry + 4),
							     .first_page = page,
							     .checksum = thaw_get64(entry + 8)};
		if (check_frame(image, i, err) < 0)
			return -1;
		/* Cannot overflow: at most 2^18 frames of less than 2^19 bytes. */
		offset += image->frames[i].length;
		page += image->frames[i].page_count;
	}
	if (offset - data->offset != data->length)
		return thaw_refuse(err,
				   "its frames have %" PRIu64 " bytes and the frame data %" PRIu64,
				   offset - data->offset, data->length);
	image->sizes.stored_bytes = page * THAW_IMAGE_PAGE;
	return 0;
}

static int load_extents(struct thaw_image_file *image, const struct thaw_header *header,
			struct thaw_error *err)
{
	thaw_autofree uint8_t *bytes = NULL;

	image->extent_count = header->section[THAW_SECTION_EXTENTS].length / THAW_EXTENT_ENTRY;
	if (read_section(image->fd, header, THAW_SECTION_EXTENTS, &bytes, err) < 0)
		return -1;
	image->extents = calloc(image->extent_count + 1, sizeof(*image->extents));
	if (!image->extents)
		return thaw_no_memory(err);
	for (size_t i = 0; i < image->extent_count; i++) {
		const uint8_t *entry = bytes + i * THAW_EXTENT_ENTRY;

		image->extents[i] = (struct thaw_extent){.start = thaw_get64(entry),
							 .length = thaw_get64(entry + 8),
							 .store_page = thaw_get64(entry + 16)};
	}
	return checked(thaw_image_check_extents(image->extents, image->extent_count, image->ranges,
						image->range_count,
						image->sizes.stored_bytes / THAW_IMAGE_PAGE,
						&image->sizes.nonzero_bytes, err),
		       err);
}

int thaw_image_open(int fd, struct thaw_image_file **out, struct thaw_error *err)
{
	thaw_autoimage struct thaw_image_file *image = calloc(1, sizeof(*image));
	struct thaw_header header;

	if (!image)
		return thaw_no_memory(err);
	image->fd = fd;
	/* The extents come last: checking them needs the ranges and the frames. */
	if (read_header(fd, &header, err) < 0 || load_meta(image, &header, err) < 0 ||
	    load_vcpu(image, &header, err) < 0 || load_ranges(image, &header, err) < 0 ||
	    load_frames(image, &header, err) < 0 || load_extents(image, &header, err) < 0 ||
	    thaw_image_index_frames(image, err) < 0)
		return -1;
	image->sizes.file_bytes = header.file_size;
	*out = thaw_take(image);
	return 0;
}

void thaw_image_close(struct thaw_image_file *image)
{
	if (!image)
		return;
	thaw_meta_free(&image->meta, image->meta_arena);
	free(image->vcpu_bytes);
	free(image->ranges);
	free(image->extents);
	free(image->frames);
	free(image->users_from);
	free(image->users);
	free(image);
}

int thaw_image_fd(const struct thaw_image_file *image)
{
	return image->fd;
}

const struct thaw_image_meta *thaw_image_meta(const struct thaw_image_file *image)
{
	return &image->meta;
}

const struct thaw_vcpu *thaw_image_vcpu(const struct thaw_image_file *image)
{
	return &image->vcpu;
}

const struct thaw_range *thaw_image_ranges(const struct thaw_image_file *image, size_t *count)
{
	*count = image->range_count;
	return image->ranges;
}

const struct thaw_extent *thaw_image_extents(const struct thaw_image_file *image, size_t *count)
{
	*count = image->extent_count;
	return image->extents;
}

unsigned thaw_image_frame_pages(const struct thaw_image_file *image)
{
	return image->frame_pages;
}

const struct thaw_image_frame *thaw_image_frames(const struct thaw_image_file *image, size_t *count)
{
	*count = image->frame_count;
	return image->frames;
}

void thaw_image_get_sizes(const struct thaw_image_file *image, struct thaw_image_sizes *out)
{
	*out = image->sizes;
}
