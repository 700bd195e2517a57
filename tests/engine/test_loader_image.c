/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up images for the loader's tests; see test_loader_image.h. */
#include "tests/engine/test_loader_image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/image/bulk.h"
#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"

#define RANGES 3u

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill_text(uint8_t *page, uint64_t *state)
{
	static const char *const words[] = {"snapshot ", "clone ",   "of ",   "the ",
					    "page\n",	 "memory, ", "thaw ", "and "};

	for (size_t at = 0; at < THAW_IMAGE_PAGE;) {
		const char *word = words[next_random(state) % 8];
		size_t length = strlen(word);

		if (length > THAW_IMAGE_PAGE - at)
			length = THAW_IMAGE_PAGE - at;
		memcpy(page + at, word, length);
		at += length;
	}
}

static void fill_page(uint8_t *bytes, uint64_t index, uint64_t *state)
{
	uint8_t *page = bytes + index * THAW_IMAGE_PAGE;

	switch (next_random(state) % 6) {
	case 0:
	case 1:
		for (size_t i = 0; i < THAW_IMAGE_PAGE; i += 8)
			memcpy(page + i, &(uint64_t){next_random(state)}, 8);
		break;
	case 2:
	case 3:
		fill_text(page, state);
		break;
	case 4:
		if (index)
			memcpy(page, bytes + next_random(state) % index * THAW_IMAGE_PAGE,
			       THAW_IMAGE_PAGE);
		break;
	default:
		break;
	}
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, THAW_IMAGE_PAGE - 1) == 0;
}

static int make_memory(struct test_image *image, uint64_t pages, uint64_t seed)
{
	static const uint64_t starts[RANGES] = {0x400000, 0x7ff000 + 0x10000000, 0x400001000};
	static const uint32_t prots[RANGES] = {THAW_PROT_READ | THAW_PROT_EXEC,
					       THAW_PROT_READ | THAW_PROT_WRITE, THAW_PROT_READ};
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t r = 0; r < RANGES; r++) {
		image->range[r] = (struct thaw_range){starts[r], pages * THAW_IMAGE_PAGE, prots[r]};
		image->bytes[r] = calloc(pages, THAW_IMAGE_PAGE);
		if (!image->bytes[r])
			return -1;
		for (uint64_t i = 0; i < pages; i++) {
			if (seed)
				fill_page(image->bytes[r], i, &state);
			image->nonzero_pages += !is_zero(image->bytes[r] + i * THAW_IMAGE_PAGE);
		}
		image->end = starts[r] + pages * THAW_IMAGE_PAGE;
	}
	image->page_count = pages * RANGES;
	return 0;
}

static int write_image(struct test_image *image, struct thaw_error *err)
{
	static uint8_t xsave[576]; /* the legacy area and an empty XSAVE header */
	char *args[] = {(char[]){"prog"}, NULL}, *env[] = {NULL};
	const struct thaw_image_meta meta = {
		.uuid = {1},
		.abi_version = THAW_ABI_VERSION,
		.memory_size = UINT64_C(1) << 30,
		.timeout_ns = 1000000000,
		.name = (char[]){"test"},
		.program = (char[]){"/prog"},
		.backend = (char[]){"process"},
		.cpu_level = (char[]){"host"},
		.creator = (char[]){"thaw test"},
		.args = args,
		.env = env,
	};
	struct thaw_vcpu vcpu = {.registers = {[THAW_RIP] = 0x400000, [THAW_RFLAGS] = 0x202},
				 .xsave_mask = 3,
				 .xsave_length = sizeof(xsave),
				 .xsave = xsave};
	struct thaw_memory_segment segments[RANGES];
	struct thaw_image_content content = {.meta = &meta,
					     .vcpu = &vcpu,
					     .ranges = image->range,
					     .range_count = RANGES,
					     .segments = segments,
					     .segment_count = RANGES};

	for (size_t r = 0; r < RANGES; r++)
		segments[r] = (struct thaw_memory_segment){image->range[r].start,
							   image->range[r].length, image->bytes[r]};
	return thaw_image_write(image->fd, &content, 0, NULL, NULL, NULL, err);
}

int test_image_make(struct test_image *image, uint64_t pages, uint64_t seed, struct thaw_error *err)
{
	*image = (struct test_image){.fd = memfd_create("image", MFD_CLOEXEC)};
	if (image->fd < 0 || make_memory(image, pages, seed) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "the test cannot make its image");
	return write_image(image, err);
}

void test_image_free(struct test_image *image)
{
	for (size_t r = 0; r < RANGES; r++)
		free(image->bytes[r]);
	if (image->fd >= 0)
		close(image->fd);
	*image = (struct test_image){.fd = -1};
}

int test_image_memory(const struct test_image *image, unsigned flags)
{
	const uint64_t huge_page = UINT64_C(2) << 20;
	int fd = memfd_create("memory", MFD_CLOEXEC | flags);

	if (fd >= 0 &&
	    ftruncate(fd, (off_t)((image->end + huge_page - 1) & ~(huge_page - 1))) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

uint64_t test_image_difference(const struct test_image *image, int memory_fd)
{
	const uint64_t huge_page = UINT64_C(2) << 20;

	for (size_t r = 0; r < RANGES; r++) {
		const struct thaw_range *range = &image->range[r];
		uint64_t from = range->start & ~(huge_page - 1);
		/* Whole huge pages: munmap of a part of one is refused. */
		size_t length =
			(range->start + range->length - from + huge_page - 1) & ~(huge_page - 1);
		uint8_t *map = mmap(NULL, length, PROT_READ, MAP_SHARED, memory_fd, (off_t)from);
		uint64_t different = 0;

		if (map == MAP_FAILED)
			return range->start;
		for (uint64_t at = 0; at < range->length && !different; at += THAW_IMAGE_PAGE)
			if (memcmp(map + (range->start - from) + at, image->bytes[r] + at,
				   THAW_IMAGE_PAGE) != 0)
				different = range->start + at;
		munmap(map, length);
		if (different)
			return different;
	}
	return 0;
}

int test_image_load(struct thaw_loader *loader, int image_fd, int memory_fd, struct thaw_error *err)
{
	struct thaw_image_file *image;
	int result;

	if (thaw_image_open(image_fd, &image, err) < 0)
		return -1;
	result = thaw_loader_run(loader, image, memory_fd, err);
	thaw_image_close(image);
	return result;
}
