/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes an image. The header is written last: until then the file does not begin as an image, so
 * a writer that is stopped leaves nothing that a reader would accept.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/layout.h"

/* ---- Content ---- */

/* A segment may span ranges that touch, but no gap. RANGE is the first range that can hold it,
 * and is moved on. */
static bool segment_in_ranges(const struct thaw_memory_segment *segment, uint64_t end,
			      const struct thaw_image_content *content, size_t *range)
{
	uint64_t at = segment->start;

	while (at < end) {
		const struct thaw_range *candidate = &content->ranges[*range];

		if (*range == content->range_count || candidate->start > at)
			return false;
		if (candidate->start + candidate->length > at)
			at = candidate->start + candidate->length;
		if (at < end)
			++*range;
	}
	return true;
}

static int check_segments(const struct thaw_image_content *content, struct thaw_error *err)
{
	uint64_t previous_end = 0, end;
	size_t range = 0;

	for (size_t i = 0; i < content->segment_count; i++) {
		const struct thaw_memory_segment *segment = &content->segments[i];

		if ((segment->start | segment->length) % THAW_IMAGE_PAGE != 0 ||
		    __builtin_add_overflow(segment->start, segment->length, &end) ||
		    segment->start < previous_end ||
		    !segment_in_ranges(segment, end, content, &range))
			return thaw_fail(err, THAW_ERR_IMAGE,
					 "memory segment %zu at %#" PRIx64
					 " is unaligned, out of order or outside the ranges",
					 i, segment->start);
		previous_end = end;
	}
	return 0;
}

static int check_content(const struct thaw_image_content *content, uint64_t *mapped,
			 struct thaw_error *err)
{
	if (thaw_image_check_meta(content->meta, err) < 0 ||
	    thaw_image_check_vcpu(content->vcpu, err) < 0 ||
	    thaw_image_check_ranges(content->ranges, content->range_count,
				    content->meta->memory_size, mapped, err) < 0 ||
	    thaw_image_check_working_set(content->meta, content->ranges, content->range_count,
					 err) < 0)
		return -1;
	return check_segments(content, err);
}

static int check_target(int fd, struct thaw_error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot look at the image file");
	if (!S_ISREG(status.st_mode) || status.st_size != 0)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "an image is written to an empty regular file only");
	return 0;
}

/* ---- Tables ---- */

static int encode_vcpu(const struct thaw_vcpu *vcpu, uint8_t **bytes, size_t *length,
		       struct thaw_error *err)
{
	uint8_t *out = calloc(1, THAW_VCPU_FIXED + (size_t)vcpu->xsave_length);

	if (!out)
		return thaw_no_memory(err);
	for (unsigned i = 0; i < THAW_REGISTERS; i++)
		thaw_put64(out + 8 * i, vcpu->registers[i]);
	thaw_put64(out + 8 * THAW_REGISTERS, vcpu->xsave_mask);
	thaw_put32(out + 8 * THAW_REGISTERS + 8, vcpu->xsave_length);
	if (vcpu->xsave_length > 0)
		memcpy(out + THAW_VCPU_FIXED, vcpu->xsave, vcpu->xsave_length);
	*bytes = out;
	*length = THAW_VCPU_FIXED + (size_t)vcpu->xsave_length;
	return 0;
}

static int encode_ranges(const struct thaw_image_content *content, uint8_t **bytes, size_t *length,
			 struct thaw_error *err)
{
	uint8_t *out = calloc(content->range_count, THAW_RANGE_ENTRY);

	if (!out)
		return thaw_no_memory(err);
	for (size_t i = 0; i < content->range_count; i++) {
		uint8_t *entry = out + i * THAW_RANGE_ENTRY;

		thaw_put64(entry, content->ranges[i].start);
		thaw_put64(entry + 8, content->ranges[i].length);
		thaw_put32(entry + 16, content->ranges[i].prot);
	}
	*bytes = out;
	*length = content->range_count * THAW_RANGE_ENTRY;
	return 0;
}

static int encode_extents(const struct thaw_store *store, uint8_t **bytes, size_t *length,
			  struct thaw_error *err)
{
	uint8_t *out = calloc(store->extent_count + 1, THAW_EXTENT_ENTRY);

	if (!out)
		return thaw_no_memory(err);
	for (size_t i = 0; i < store->extent_count; i++) {
		uint8_t *entry = out + i * THAW_EXTENT_ENTRY;

		thaw_put64(entry, store->extents[i].start);
		thaw_put64(entry + 8, store->extents[i].length);
		thaw_put64(entry + 16, store->extents[i].store_page);
	}
	*bytes = out;
	*length = store->extent_count * THAW_EXTENT_ENTRY;
	return 0;
}

static void encode_frames(const struct thaw_packed_frame *frames, size_t count, uint8_t *out)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t *entry = out + i * THAW_FRAME_ENTRY;

		thaw_put32(entry, frames[i].length);
		thaw_put32(entry + 4, frames[i].page_count);
		thaw_put64(entry + 8, frames[i].checksum);
	}
}

/* ---- The file ---- */

/* All sections but the frame data, which is written directly to the file. */
struct tables {
	uint8_t *bytes[THAW_SECTION_DATA];
	size_t length[THAW_SECTION_DATA];
	struct thaw_store store;
};

static void cleanup_tables(struct tables *tables)
{
	for (unsigned i = 0; i < THAW_SECTION_DATA; i++)
		free(tables->bytes[i]);
	thaw_store_free(&tables->store);
}

static int encode_tables(const struct thaw_image_content *content, struct tables *tables,
			 struct thaw_error *err)
{
	size_t frames = thaw_frame_count_for(tables->store.page_count);

#define SECTION(kind) &tables->bytes[THAW_SECTION_##kind], &tables->length[THAW_SECTION_##kind]
	if (thaw_meta_encode(content->meta, SECTION(META), err) < 0 ||
	    encode_vcpu(content->vcpu, SECTION(VCPU), err) < 0 ||
	    encode_ranges(content, SECTION(RANGES), err) < 0 ||
	    encode_extents(&tables->store, SECTION(EXTENTS), err) < 0)
		return -1;
#undef SECTION
	/* Filled as frames are packed; its length is known before, and so is the place of the
	 * data. */
	tables->length[THAW_SECTION_FRAMES] = frames * THAW_FRAME_ENTRY;
	tables->bytes[THAW_SECTION_FRAMES] = calloc(frames + 1, THAW_FRAME_ENTRY);
	if (!tables->bytes[THAW_SECTION_FRAMES])
		return thaw_no_memory(err);
	return 0;
}

static int pack_data(const struct thaw_compression *compression, struct tables *tables,
		     uint64_t *length, struct thaw_error *err)
{
	size_t count = tables->length[THAW_SECTION_FRAMES] / THAW_FRAME_ENTRY;
	thaw_autofree struct thaw_packed_frame *frames = calloc(count + 1, sizeof(*frames));

	if (!frames)
		return thaw_no_memory(err);
	if (thaw_compression_run(compression, frames, length, err) < 0)
		return -1;
	encode_frames(frames, count, tables->bytes[THAW_SECTION_FRAMES]);
	return 0;
}

/* The lengths of all sections but the data are known: fills in their offsets. Returns the offset
 * of the data. */
static uint64_t lay_out(struct thaw_header *header, const struct tables *tables)
{
	uint64_t end = THAW_IMAGE_HEADER_SIZE;

	for (unsigned i = 0; i < THAW_SECTION_DATA; i++) {
		header->section[i].offset = end;
		header->section[i].length = tables->length[i];
		end += tables->length[i];
	}
	header->section[THAW_SECTION_DATA].offset = end;
	return end;
}

static int write_tables(int fd, struct thaw_header *header, const struct tables *tables,
			struct thaw_error *err)
{
	uint8_t bytes[THAW_IMAGE_HEADER_SIZE];

	for (unsigned i = 0; i < THAW_SECTION_DATA; i++) {
		struct thaw_section *section = &header->section[i];

		section->checksum = XXH3_64bits(tables->bytes[i], tables->length[i]);
		if (thaw_write_at(fd, tables->bytes[i], tables->length[i], section->offset) < 0)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot write the image");
	}
	thaw_header_encode(header, bytes);
	if (thaw_write_at(fd, bytes, sizeof(bytes), 0) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot write the image");
	return 0;
}

/* A refusal of the content is the caller's error, a failure of the host is not. */
static int tell_content(struct thaw_error *err)
{
	if (err && err->kind == THAW_ERR_IMAGE)
		thaw_error_wrap(err, "no image can be made of this");
	return -1;
}

int thaw_image_write(int fd, const struct thaw_image_content *content, unsigned threads,
		     void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		     struct thaw_image_sizes *sizes, struct thaw_error *err)
{
	__attribute__((cleanup(cleanup_tables))) struct tables tables = {0};
	struct thaw_compression compression = {.fd = fd,
					       .store = &tables.store,
					       .threads = threads,
					       .progress = progress,
					       .context = context};
	struct thaw_header header = {0};
	struct thaw_section *data = &header.section[THAW_SECTION_DATA];
	uint64_t mapped;

	if (check_content(content, &mapped, err) < 0 || check_target(fd, err) < 0 ||
	    thaw_store_build(content, threads, &tables.store, err) < 0 ||
	    encode_tables(content, &tables, err) < 0)
		return tell_content(err);
	compression.offset = lay_out(&header, &tables);
	if (pack_data(&compression, &tables, &data->length, err) < 0)
		return -1;
	header.file_size = data->offset + data->length;
	memcpy(header.uuid, content->meta->uuid, sizeof(header.uuid));
	if (write_tables(fd, &header, &tables, err) < 0)
		return -1;
	if (sizes)
		*sizes = (struct thaw_image_sizes){
			.mapped_bytes = mapped,
			.nonzero_bytes = tables.store.nonzero_pages * THAW_IMAGE_PAGE,
			.stored_bytes = (uint64_t)tables.store.page_count * THAW_IMAGE_PAGE,
			.file_bytes = header.file_size,
		};
	return 0;
}
