/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as an image. They are tried as they are, and again with all checksums
 * corrected, so that changes get past the hashes to the checks behind them.
 *
 * A refusal must have a reason and must be the same for every way of reading. An accepted image
 * must keep the promises that SPEC.md makes to a loader, and the writer must be able to write it.
 */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

/* Beyond these limits an input costs time and shows nothing new. */
#define INPUT_MAX   (1u << 20)
#define REWRITE_MAX (256u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct placed {
	const struct thaw_image_file *image;
	uint64_t bytes;
	struct thaw_memory_segment *segments; /* NULL: only counts */
};

/* Each piece must lie within one extent. Keeps the memory where there is a place for it. */
static int place(void *context, uint64_t start, const void *bytes, size_t length)
{
	struct placed *placed = context;
	size_t count;
	const struct thaw_extent *extents = thaw_image_extents(placed->image, &count);

	for (size_t i = 0; i < count; i++) {
		uint64_t into = start - extents[i].start;

		if (start < extents[i].start || into >= extents[i].length)
			continue;
		thaw_assert(length <= extents[i].length - into);
		if (placed->segments)
			memcpy((uint8_t *)(uintptr_t)placed->segments[i].bytes + into, bytes,
			       length);
		placed->bytes += length;
		return 0;
	}
	thaw_assert(false);
}

static void check_tables(const struct thaw_image_file *image)
{
	size_t range_count, extent_count, range = 0;
	const struct thaw_range *ranges = thaw_image_ranges(image, &range_count);
	const struct thaw_extent *extents = thaw_image_extents(image, &extent_count);
	uint64_t end = 0, mapped = 0;

	for (size_t i = 0; i < range_count; i++) {
		thaw_assert(ranges[i].start >= end && ranges[i].length > 0);
		thaw_assert((ranges[i].prot & 6) != 6 && (ranges[i].prot & 1) &&
			    ranges[i].prot < 8);
		end = ranges[i].start + ranges[i].length;
		thaw_assert(end > ranges[i].start && end <= THAW_IMAGE_ADDRESS_END);
		mapped += ranges[i].length;
	}
	thaw_assert(mapped <= thaw_image_meta(image)->memory_size);
	for (size_t i = 0; i < extent_count; i++) {
		while (ranges[range].start + ranges[range].length <= extents[i].start)
			thaw_assert(++range < range_count);
		thaw_assert(extents[i].start >= ranges[range].start);
		thaw_assert(extents[i].start + extents[i].length <=
			    ranges[range].start + ranges[range].length);
	}
}

/* The loaded memory, written and read again, must be the same memory. */
static void write_again(const struct thaw_image_file *image, uint64_t nonzero)
{
	thaw_autofree uint8_t *memory = calloc(1, nonzero + 1);
	thaw_autoclose int fd = fixture_file("", 0);
	struct placed placed = {.image = image};
	struct thaw_image_content content = {.meta = thaw_image_meta(image),
					     .vcpu = thaw_image_vcpu(image)};
	const struct thaw_extent *extents = thaw_image_extents(image, &content.segment_count);
	thaw_autofree struct thaw_memory_segment *segments =
		calloc(content.segment_count + 1, sizeof(*segments));
	struct thaw_error error = THAW_ERROR_INIT;
	struct thaw_image_sizes sizes;
	uint64_t offset = 0;

	thaw_assert(memory && segments);
	for (size_t i = 0; i < content.segment_count; offset += extents[i++].length)
		segments[i] = (struct thaw_memory_segment){extents[i].start, extents[i].length,
							   memory + offset};
	placed.segments = segments;
	thaw_assert(fixture_load(image, place, &placed, &error) == 0);
	content.ranges = thaw_image_ranges(image, &content.range_count);
	content.segments = segments;
	thaw_assert(thaw_image_write(fd, &content, 1, NULL, NULL, &sizes, &error) == 0);
	thaw_assert(sizes.nonzero_bytes <= nonzero);
	thaw_assert(thaw_image_verify(fd, &error) == 0);
}

static void check_accepted(const struct thaw_image_file *image)
{
	struct thaw_error error = THAW_ERROR_INIT;
	struct placed placed = {.image = image};
	struct thaw_image_sizes sizes;
	int loaded;

	check_tables(image);
	thaw_image_get_sizes(image, &sizes);
	loaded = fixture_load(image, place, &placed, &error);
	thaw_assert(loaded == thaw_image_verify(thaw_image_fd(image), NULL));
	if (loaded < 0) {
		thaw_assert(error.kind == THAW_ERR_IMAGE && error.message[0]);
		return;
	}
	thaw_assert(placed.bytes == sizes.nonzero_bytes);
	if (sizes.nonzero_bytes <= REWRITE_MAX)
		write_again(image, sizes.nonzero_bytes);
}

static void check(const uint8_t *data, size_t size)
{
	thaw_autoclose int fd = fixture_file(data, size);
	struct thaw_error error = THAW_ERROR_INIT;
	struct thaw_image_file *image;

	if (thaw_image_open(fd, &image, &error) == 0) {
		check_accepted(image);
		thaw_image_close(image);
		return;
	}
	thaw_assert(error.kind == THAW_ERR_IMAGE && error.message[0]);
	thaw_assert(thaw_image_verify(fd, NULL) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	thaw_autofree uint8_t *copy = NULL;

	if (size > INPUT_MAX)
		return 0;
	copy = malloc(size + 1);
	thaw_assert(copy);
	check(data, size);
	memcpy(copy, data, size);
	fixture_reseal(copy, size);
	check(copy, size);
	return 0;
}
