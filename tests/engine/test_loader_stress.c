/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many loads by many threads, some of damaged images, in one plain process: for the thread
 * sanitizer, under which Criterion's children crash, and for leaks of descriptors. THAW_TEST_SCALE
 * multiplies the count, but for the rounds that every number of threads takes once.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/image/bulk.h"
#include "snapshot-format/base/cleanup.h"
#include "tests/engine/test_loader_image.h"

#define ROUNDS	     24u
#define ROUNDS_LEAST 9u

static _Noreturn void fail(const char *what, const char *detail)
{
	fprintf(stderr, "%s: %s\n", what, detail);
	exit(1);
}

static unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

/* Flips a bit of a byte near the end of the file, where the frames are. */
static void flip(int fd)
{
	off_t at = lseek(fd, 0, SEEK_END) - 100000;
	uint8_t byte;

	if (pread(fd, &byte, 1, at) != 1 || pwrite(fd, &(uint8_t){byte ^ 1}, 1, at) != 1)
		fail("the image cannot be damaged", "");
}

static void load_once(const struct test_image *image, unsigned round, bool damaged)
{
	thaw_autoclose int memory = test_image_memory(image, MFD_ALLOW_SEALING);
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_loader *loader;
	int result;

	if (thaw_loader_open(1 + round % 9, round % 3 == 0, &loader, &err) < 0)
		fail("open", err.message);
	result = test_image_load(loader, image->fd, memory, &err);
	thaw_loader_close(loader);
	if (damaged && (result == 0 || err.kind != THAW_ERR_IMAGE))
		fail("a damaged image was not refused", err.message);
	if (!damaged && result < 0)
		fail("load", err.message);
	if (!damaged && test_image_difference(image, memory) != 0)
		fail("load", "the memory differs");
}

int main(void)
{
	const char *scale = getenv("THAW_TEST_SCALE");
	unsigned rounds = (unsigned)(ROUNDS * (scale ? strtod(scale, NULL) : 1.0)), before;
	struct thaw_error err = THAW_ERROR_INIT;
	struct test_image image;

	if (test_image_make(&image, 800, 42, &err) < 0)
		fail("the test cannot make its image", err.message);
	before = count_descriptors();
	if (rounds < ROUNDS_LEAST)
		rounds = ROUNDS_LEAST;
	for (unsigned round = 0; round < rounds; round++) {
		load_once(&image, round, false);
		flip(image.fd);
		load_once(&image, round, true);
		flip(image.fd);
	}
	if (count_descriptors() != before)
		fail("descriptors", "some were left open");
	test_image_free(&image);
	return 0;
}
