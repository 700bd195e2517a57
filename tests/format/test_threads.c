/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads at once: more threads than cores write one image, then several threads read it
 * together. ThreadSanitizer shows races here; without it wrong bytes show.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

#define PAGES	2500u
#define START	0x400000u
#define READERS 4u
#define WRITERS 9u

static uint8_t *memory;
static struct thaw_image_file *image;

/* Zero pages, equal pages, and many that differ: about 38 frames. */
static void fill_memory(void)
{
	struct fixture_random random = {3};

	memory = calloc(PAGES, THAW_IMAGE_PAGE);
	thaw_assert(memory);
	for (size_t page = 0; page < PAGES; page++)
		if (page % 31)
			memset(memory + page * THAW_IMAGE_PAGE + page % 3000, 1 + (int)(page % 97),
			       page % 5 ? 700 + page % 300 : fixture_below(&random, 1000));
}

static int write_memory(int fd, unsigned threads)
{
	struct thaw_error error = THAW_ERROR_INIT;
	struct fixture fixture;
	int result;

	thaw_assert(fixture_make_golden(&fixture, "tiny"));
	fixture.ranges[0].length = fixture.segments[0].length = (uint64_t)PAGES * THAW_IMAGE_PAGE;
	fixture.segments[0].bytes = memory;
	fixture.meta.memory_size = fixture.ranges[0].length;
	result = thaw_image_write(fd, &fixture.content, threads, NULL, NULL, NULL, &error);
	if (result < 0)
		fprintf(stderr, "%s\n", error.message);
	fixture_free(&fixture);
	return result;
}

static int compare(void *context, uint64_t start, const void *bytes, size_t length)
{
	*(uint64_t *)context += length;
	return memcmp(memory + (start - START), bytes, length) == 0 ? 0 : -1;
}

static void *read_all(void *context)
{
	struct thaw_image_sizes sizes;
	uint64_t seen = 0;

	(void)context;
	thaw_image_get_sizes(image, &sizes);
	return fixture_load(image, compare, &seen, NULL) == 0 && seen == sizes.nonzero_bytes ? image
											     : NULL;
}

int main(void)
{
	thaw_autoclose int alone = fixture_file("", 0);
	thaw_autoclose int crowd = fixture_file("", 0);
	struct fixture_bytes a, b;
	pthread_t readers[READERS];
	int failures = 0;

	fill_memory();
	if (write_memory(alone, 1) < 0 || write_memory(crowd, WRITERS) < 0 ||
	    thaw_image_open(crowd, &image, NULL) < 0)
		return 1;
	a = fixture_read_file(alone);
	b = fixture_read_file(crowd);
	failures += a.length != b.length || memcmp(a.bytes, b.bytes, a.length) != 0;
	for (unsigned i = 0; i < READERS; i++)
		thaw_assert(pthread_create(&readers[i], NULL, read_all, NULL) == 0);
	for (unsigned i = 0; i < READERS; i++) {
		void *fine;

		pthread_join(readers[i], &fine);
		failures += !fine;
	}
	thaw_image_close(image);
	free(a.bytes);
	free(b.bytes);
	free(memory);
	return failures > 0;
}
