/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of an image file, and what the files of this folder offer each other. SPEC.md is the
 * authority: a number here that differs from it is a bug. Only this folder and tests include it.
 */
#ifndef THAW_FORMAT_LAYOUT_H
#define THAW_FORMAT_LAYOUT_H

#include <endian.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "snapshot-format/image.h"

/* 0x89 is not ASCII, and a text-mode copy damages CR LF and ^Z: the first 8 bytes reveal such a
 * copy. */
#define THAW_MAGIC "\x89THAW\r\n\x1a"

enum thaw_header_at {
	THAW_AT_MAGIC = 0,
	THAW_AT_VERSION = 8,
	THAW_AT_HEADER_SIZE = 12,
	THAW_AT_FILE_SIZE = 16,
	THAW_AT_UUID = 24,
	THAW_AT_SECTIONS = 40,
	THAW_AT_RESERVED = 184,
	THAW_AT_CHECKSUM = 504
};

/* In the order of the file. */
enum thaw_section_kind {
	THAW_SECTION_META,
	THAW_SECTION_VCPU,
	THAW_SECTION_RANGES,
	THAW_SECTION_EXTENTS,
	THAW_SECTION_FRAMES,
	THAW_SECTION_DATA,
	THAW_SECTIONS
};

#define THAW_SECTION_ENTRY     24u
#define THAW_VCPU_FIXED	       176u /* 20 registers, mask, length, reserved */
#define THAW_RANGE_ENTRY       24u
#define THAW_EXTENT_ENTRY      24u
#define THAW_FRAME_ENTRY       16u
#define THAW_META_HEADER       8u
#define THAW_DISPATCH_SIZE     32u
#define THAW_WORKING_SET_ENTRY 16u
#define THAW_XSAVE_MIN	       576u /* the legacy area and the XSAVE header */
#define THAW_CPU_WORDS_USED    11u  /* of THAW_CPU_WORDS; the rest is reserved */

#define THAW_FRAME_RAW_MAX     (THAW_IMAGE_FRAME_PAGES_MAX * THAW_IMAGE_PAGE)
/* A zstd frame's magic number, descriptor, shortest content size of a page or more, and the
 * header of its first block. */
#define THAW_FRAME_LENGTH_MIN 10u
#define THAW_FRAME_LENGTH_MAX (THAW_FRAME_RAW_MAX + THAW_FRAME_RAW_MAX / 256)
#define THAW_FRAMES_MAX	      (THAW_IMAGE_MEMORY_MAX / THAW_FRAME_RAW_MAX)

_Static_assert(THAW_AT_SECTIONS + THAW_SECTIONS * THAW_SECTION_ENTRY == THAW_AT_RESERVED, "header");
_Static_assert(THAW_AT_CHECKSUM + 8 == THAW_IMAGE_HEADER_SIZE, "header");
_Static_assert(THAW_REGISTERS * 8 + 16 == THAW_VCPU_FIXED, "vCPU record");

static inline uint32_t thaw_get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static inline uint64_t thaw_get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static inline void thaw_put32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void thaw_put64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

/* Refuses the image at hand; reader and writer use the same words. */
#define thaw_refuse(err, ...) thaw_fail(err, THAW_ERR_IMAGE, "damaged image: " __VA_ARGS__)
#define thaw_no_memory(err)   thaw_fail(err, THAW_ERR_FAILURE, "out of memory for an image's tables")

/* ---- header.c ---- */

struct thaw_section {
	uint64_t offset, length, checksum;
};

struct thaw_header {
	uint64_t file_size;
	uint8_t uuid[16];
	struct thaw_section section[THAW_SECTIONS];
};

void thaw_header_encode(const struct thaw_header *header, uint8_t out[THAW_IMAGE_HEADER_SIZE]);
/* BYTES is the header of a file of FILE_SIZE bytes, as the file system reports it, at least a
 * header's size. */
int thaw_header_decode(const uint8_t bytes[THAW_IMAGE_HEADER_SIZE], uint64_t file_size,
		       struct thaw_header *out, struct thaw_error *err);
const char *thaw_section_name(enum thaw_section_kind kind);

/* ---- meta.c ---- */

/* Encodes META, which has passed thaw_image_check_meta(), into *LENGTH fresh bytes at *BYTES. The
 * caller frees them. */
int thaw_meta_encode(const struct thaw_image_meta *meta, uint8_t **bytes, size_t *length,
		     struct thaw_error *err);
/* OUT's strings live in *ARENA, its lists in memory of their own; thaw_meta_free() frees all of
 * it. The UUID is the header's and is not set here. */
int thaw_meta_decode(const uint8_t *bytes, size_t length, struct thaw_image_meta *out, char **arena,
		     struct thaw_error *err);
void thaw_meta_free(struct thaw_image_meta *meta, char *arena);

/* ---- check.c: the rules that reader and writer share ---- */

int thaw_image_check_meta(const struct thaw_image_meta *meta, struct thaw_error *err);
int thaw_image_check_vcpu(const struct thaw_vcpu *vcpu, struct thaw_error *err);
/* *MAPPED receives the sum of the ranges. */
int thaw_image_check_ranges(const struct thaw_range *ranges, size_t count, uint64_t memory_size,
			    uint64_t *mapped, struct thaw_error *err);
/* META's working set, in ranges that have been checked. */
int thaw_image_check_working_set(const struct thaw_image_meta *meta,
				 const struct thaw_range *ranges, size_t count,
				 struct thaw_error *err);
/* Also checks that an extent uses each of the STORE_PAGES stored pages. *COVERED receives the sum
 * of the extents. */
int thaw_image_check_extents(const struct thaw_extent *extents, size_t count,
			     const struct thaw_range *ranges, size_t range_count,
			     uint64_t store_pages, uint64_t *covered, struct thaw_error *err);

/* ---- parallel.c ---- */

/* Calls WORK(context, 0) on this thread and WORK(context, 1 .. threads-1) on others; returns when
 * all are done. It goes on without threads that cannot be started, so WORK must share by taking
 * pieces and not by its number. */
void thaw_parallel_run(unsigned threads, void (*work)(void *context, unsigned worker),
		       void *context);
/* Resolves a caller's THREADS for PIECES pieces of work: at least 1. */
unsigned thaw_parallel_threads(unsigned threads, uint64_t pieces);

/* ---- dedup.c ---- */

/* What to store: pages in the caller's memory, and where the guest has them. */
struct thaw_store {
	const uint8_t **pages;
	size_t page_count;
	struct thaw_extent *extents;
	size_t extent_count;
	uint64_t total_pages, nonzero_pages; /* of the segments */
};

/* CONTENT's ranges and segments have been checked. *OUT is set even on failure; free it with
 * thaw_store_free(). */
int thaw_store_build(const struct thaw_image_content *content, unsigned threads,
		     struct thaw_store *out, struct thaw_error *err);
void thaw_store_free(struct thaw_store *store);

/* ---- compress.c ---- */

/* An entry of the frame table, in memory. */
struct thaw_packed_frame {
	uint64_t checksum;
	uint32_t length, page_count;
};

struct thaw_compression {
	int fd;
	uint64_t offset; /* of the frame data in the file */
	const struct thaw_store *store;
	unsigned threads;
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

/* The number of pages in each frame of an image of PAGE_COUNT stored pages: the fewest that the
 * limit on frames allows. */
unsigned thaw_frame_pages_for(size_t page_count);
/* The number of such frames. */
size_t thaw_frame_count_for(size_t page_count);

/* Compresses the store's pages to the file and fills FRAMES, thaw_frame_count_for() of them.
 * *LENGTH receives the bytes written. */
int thaw_compression_run(const struct thaw_compression *compression,
			 struct thaw_packed_frame *frames, uint64_t *length,
			 struct thaw_error *err);

/* ---- read.c ---- */

struct thaw_image_file {
	int fd;
	struct thaw_image_meta meta;
	char *meta_arena;
	struct thaw_vcpu vcpu;
	uint8_t *vcpu_bytes; /* the record; vcpu.xsave points into it */
	struct thaw_range *ranges;
	struct thaw_extent *extents;
	struct thaw_image_frame *frames;
	size_t range_count, extent_count, frame_count;
	unsigned frame_pages; /* in each frame but the last */
	/* The extents that use a frame: users[users_from[frame]] up to users[users_from[frame +
	 * 1]]. */
	uint32_t *users_from, *users;
	struct thaw_image_sizes sizes;
};

/* frame.c: fills users_from and users from the checked tables. */
int thaw_image_index_frames(struct thaw_image_file *image, struct thaw_error *err);

#endif
