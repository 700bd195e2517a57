/* SPDX-License-Identifier: Apache-2.0 */
/* An image of made-up memory in a memory file, and what a load of it must look like. Shared by the
 * loader's tests. */
#ifndef THAW_TEST_LOADER_IMAGE_H
#define THAW_TEST_LOADER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/image.h"

/* Guest memory: RANGE_COUNT pieces far apart, each of PAGES pages, of which a third is random, a
 * third text-like, and the rest zero or equal to an earlier page. */
struct test_image {
	struct thaw_range range[3];
	uint8_t *bytes[3]; /* what the guest memory holds */
	uint64_t page_count;
	uint64_t nonzero_pages;
	uint64_t end; /* of the last range */
	int fd;	      /* the image file */
};

/* Makes an image whose ranges have PAGES pages each; the same SEED gives the same memory, and 0
 * memory that is all zero. Returns 0 or negative. */
int test_image_make(struct test_image *image, uint64_t pages, uint64_t seed,
		    struct thaw_error *err);
void test_image_free(struct test_image *image);

/* A memory file large enough for IMAGE. */
int test_image_memory(const struct test_image *image, unsigned flags);
/* The first guest address at which MEMORY_FD differs from the image (through a private mapping), 0
 * when none does. */
uint64_t test_image_difference(const struct test_image *image, int memory_fd);
/* Opens the image, loads it, closes it. */
struct thaw_loader;
int test_image_load(struct thaw_loader *loader, int image_fd, int memory_fd,
		    struct thaw_error *err);

#endif
