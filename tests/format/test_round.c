/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever goes into an image comes out of it, and the same content makes the same bytes. */
#include <criterion/criterion.h>
#include <zstd.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

#define SEEDS 40u

struct target {
	const struct fixture *fixture;
	uint8_t *memory;
	uint64_t placed;
};

static int place(void *context, uint64_t start, const void *bytes, size_t length)
{
	struct target *target = context;
	const uint8_t *at = fixture_at(target->fixture, start);

	cr_assert(at, "placed at %#lx, outside all ranges", (unsigned long)start);
	memcpy(target->memory + (at - target->fixture->memory), bytes, length);
	target->placed += length;
	return 0;
}

static void same_strings(char *const *a, char *const *b)
{
	for (; *a && *b; a++, b++)
		cr_expect_str_eq(*a, *b);
	cr_expect(!*a && !*b);
}

static void same_meta(const struct thaw_image_meta *a, const struct thaw_image_meta *b)
{
	cr_expect_arr_eq(a->uuid, b->uuid, 16);
	cr_expect_eq(a->created_ns, b->created_ns);
	cr_expect_eq(a->abi_version, b->abi_version);
	cr_expect_eq(a->memory_size, b->memory_size);
	cr_expect_eq(a->timeout_ns, b->timeout_ns);
	cr_expect_eq(a->boot_ns, b->boot_ns);
	cr_expect_eq(a->generation, b->generation);
	cr_expect_arr_eq(a->cpu.word, b->cpu.word, sizeof(a->cpu.word));
	cr_expect_str_eq(a->name, b->name);
	cr_expect_str_eq(a->program, b->program);
	cr_expect_str_eq(a->backend, b->backend);
	cr_expect_str_eq(a->cpu_level, b->cpu_level);
	cr_expect_str_eq(a->creator, b->creator);
	same_strings(a->args, b->args);
	same_strings(a->env, b->env);
}

static void same_vcpu(const struct thaw_vcpu *a, const struct thaw_vcpu *b)
{
	cr_expect_arr_eq(a->registers, b->registers, sizeof(a->registers));
	cr_expect_eq(a->xsave_mask, b->xsave_mask);
	cr_assert_eq(a->xsave_length, b->xsave_length);
	if (a->xsave_length > 0)
		cr_expect_arr_eq(a->xsave, b->xsave, a->xsave_length);
}

static void same_ranges(const struct thaw_image_file *image, const struct fixture *fixture)
{
	size_t count;
	const struct thaw_range *ranges = thaw_image_ranges(image, &count);

	cr_assert_eq(count, fixture->content.range_count);
	for (size_t i = 0; i < count; i++) {
		cr_expect_eq(ranges[i].start, fixture->ranges[i].start);
		cr_expect_eq(ranges[i].length, fixture->ranges[i].length);
		cr_expect_eq(ranges[i].prot, fixture->ranges[i].prot);
	}
}

static void same_memory(const struct thaw_image_file *image, const struct fixture *fixture,
			const struct thaw_image_sizes *written)
{
	struct target target = {.fixture = fixture, .memory = calloc(1, fixture->memory_length)};
	struct thaw_error error = THAW_ERROR_INIT;
	struct thaw_image_sizes sizes;

	cr_assert_eq(fixture_load(image, place, &target, &error), 0, "%s", error.message);
	cr_expect(memcmp(target.memory, fixture->memory, fixture->memory_length) == 0);
	thaw_image_get_sizes(image, &sizes);
	cr_expect_eq(memcmp(&sizes, written, sizeof(sizes)), 0);
	cr_expect_eq(sizes.mapped_bytes, fixture->memory_length);
	cr_expect_eq(sizes.nonzero_bytes, target.placed, "each page with data is placed once");
	free(target.memory);
}

static void round_trip(uint64_t seed)
{
	thaw_autoclose int fd = fixture_file("", 0);
	struct thaw_error error = THAW_ERROR_INIT;
	struct thaw_image_file *image;
	struct thaw_image_sizes sizes;
	struct fixture fixture;

	fixture_make_random(&fixture, seed);
	cr_assert_eq(thaw_image_write(fd, &fixture.content, 2, NULL, NULL, &sizes, &error), 0,
		     "seed %lu: %s", (unsigned long)seed, error.message);
	cr_assert_eq(thaw_image_open(fd, &image, &error), 0, "seed %lu: %s", (unsigned long)seed,
		     error.message);
	cr_expect_eq(thaw_image_fd(image), fd);
	same_meta(thaw_image_meta(image), &fixture.meta);
	same_vcpu(thaw_image_vcpu(image), &fixture.vcpu);
	same_ranges(image, &fixture);
	same_memory(image, &fixture, &sizes);
	cr_expect_eq(thaw_image_verify(fd, &error), 0, "seed %lu: %s", (unsigned long)seed,
		     error.message);
	thaw_image_close(image);
	fixture_free(&fixture);
}

Test(round, trips)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++)
		round_trip(seed);
}

Test(round, W2_same_bytes_whatever_the_threads)
{
	for (uint64_t seed = 100; seed < 110; seed++) {
		struct fixture fixture;
		struct fixture_bytes alone, two, many;

		fixture_make_random(&fixture, seed);
		alone = fixture_write(&fixture, 1);
		two = fixture_write(&fixture, 2);
		many = fixture_write(&fixture, 7);
		cr_expect(alone.length == two.length &&
			  memcmp(alone.bytes, two.bytes, two.length) == 0);
		cr_expect(alone.length == many.length &&
			  memcmp(alone.bytes, many.bytes, many.length) == 0);
		free(alone.bytes);
		free(two.bytes);
		free(many.bytes);
		fixture_free(&fixture);
	}
}

/* One large mapping, so that scanning and packing really use several threads. */
#define LARGE_PAGES 3000u

static void make_large(struct fixture *fixture, uint8_t *memory)
{
	cr_assert(fixture_make_golden(fixture, "tiny"));
	fixture->ranges[0].length = fixture->segments[0].length =
		(uint64_t)LARGE_PAGES * THAW_IMAGE_PAGE;
	fixture->segments[0].bytes = memory;
	fixture->meta.memory_size = fixture->ranges[0].length;
	/* Two thirds of the pages have 10 copies each; the rest are zero. */
	for (size_t page = 0; page < LARGE_PAGES; page++)
		if (page % 3)
			memset(memory + page * THAW_IMAGE_PAGE + page / 10 % 200,
			       1 + (int)(page / 30 % 200), 50);
}

struct progress {
	uint64_t last, total;
	unsigned calls;
};

static void note_progress(void *context, uint64_t done, uint64_t total)
{
	struct progress *progress = context;

	cr_expect_geq(done, progress->last);
	cr_expect_leq(done, total);
	progress->last = done;
	progress->total = total;
	progress->calls++;
}

Test(round, W1_folds_and_reports)
{
	uint8_t *memory = calloc(LARGE_PAGES, THAW_IMAGE_PAGE);
	thaw_autoclose int alone = fixture_file("", 0);
	thaw_autoclose int crowd = fixture_file("", 0);
	struct thaw_error error = THAW_ERROR_INIT;
	struct progress progress = {0};
	struct thaw_image_sizes sizes;
	struct fixture_bytes a, b;
	struct fixture fixture;

	cr_assert(memory);
	make_large(&fixture, memory);
	cr_assert_eq(thaw_image_write(alone, &fixture.content, 1, note_progress, &progress, &sizes,
				      &error),
		     0);
	cr_expect_eq(progress.last, LARGE_PAGES);
	cr_expect_eq(progress.total, LARGE_PAGES);
	cr_expect_geq(progress.calls, 2u);
	cr_expect_eq(sizes.nonzero_bytes, 2000u * THAW_IMAGE_PAGE);
	cr_expect_leq(sizes.stored_bytes, 500u * THAW_IMAGE_PAGE);
	cr_assert_eq(thaw_image_write(crowd, &fixture.content, 5, NULL, NULL, NULL, &error), 0);
	cr_expect_eq(thaw_image_verify(crowd, &error), 0);
	a = fixture_read_file(alone);
	b = fixture_read_file(crowd);
	cr_expect(a.length == b.length && memcmp(a.bytes, b.bytes, a.length) == 0);
	free(a.bytes);
	free(b.bytes);
	free(memory);
	fixture_free(&fixture);
}

static int stop_at_second(void *context, uint64_t start, const void *bytes, size_t length)
{
	unsigned *calls = context;

	(void)start;
	(void)bytes;
	(void)length;
	return ++*calls == 2 ? -7 : 0;
}

Test(round, scatter_stops_when_told)
{
	struct fixture fixture;
	struct fixture_bytes bytes;
	struct thaw_image_file *image;
	static uint8_t raw[THAW_FRAME_RAW_MAX];
	unsigned calls = 0;

	cr_assert(fixture_make_golden(&fixture, "typical"));
	bytes = fixture_write(&fixture, 1);
	thaw_autoclose int fd = fixture_file(bytes.bytes, bytes.length);
	cr_assert_eq(thaw_image_open(fd, &image, NULL), 0);
	cr_expect_eq(thaw_image_frame_scatter(image, 0, raw, stop_at_second, &calls), -7);
	cr_expect_eq(calls, 2);
	thaw_image_close(image);
	free(bytes.bytes);
	fixture_free(&fixture);
}

Test(round, decodes_with_a_kept_context)
{
	static uint8_t raw[THAW_FRAME_RAW_MAX], compressed[THAW_FRAME_LENGTH_MAX];
	const size_t frame_size = THAW_IMAGE_FRAME_PAGES_MIN * (size_t)THAW_IMAGE_PAGE;
	ZSTD_DCtx *dctx = ZSTD_createDCtx();
	const struct thaw_image_frame *frames;
	struct thaw_image_file *image;
	struct fixture_bytes bytes;
	struct fixture fixture;
	size_t count;

	cr_assert(fixture_make_golden(&fixture, "frames"));
	bytes = fixture_write(&fixture, 1);
	thaw_autoclose int fd = fixture_file(bytes.bytes, bytes.length);
	cr_assert_eq(thaw_image_open(fd, &image, NULL), 0);
	frames = thaw_image_frames(image, &count);
	cr_assert_eq(count, 3);
	cr_assert_eq(thaw_image_frame_pages(image), THAW_IMAGE_FRAME_PAGES_MIN);
	cr_expect_eq(frames[2].page_count, 2);
	for (size_t i = count; i-- > 0;) {
		memcpy(compressed, bytes.bytes + frames[i].offset, frames[i].length);
		cr_expect_eq(thaw_image_frame_decode(image, i, compressed, raw, dctx, NULL), 0);
		cr_expect_eq(memcmp(raw, fixture.memory + i * frame_size,
				    frames[i].page_count * THAW_IMAGE_PAGE),
			     0);
	}
	ZSTD_freeDCtx(dctx);
	thaw_image_close(image);
	free(bytes.bytes);
	fixture_free(&fixture);
}

/* The fewest pages per frame with which the frame table stays within its limit. */
Test(round, frames_are_as_small_as_their_number_allows)
{
	const size_t most = THAW_FRAMES_MAX;

	cr_expect_eq(thaw_frame_pages_for(0), 8);
	cr_expect_eq(thaw_frame_pages_for(8 * most), 8);
	cr_expect_eq(thaw_frame_pages_for(8 * most + 1), 16);
	cr_expect_eq(thaw_frame_pages_for(16 * most + 1), 32);
	cr_expect_eq(thaw_frame_pages_for(32 * most + 1), 64);
	cr_expect_eq(thaw_frame_pages_for(THAW_IMAGE_MEMORY_MAX / THAW_IMAGE_PAGE), 64);
	cr_expect_leq(thaw_frame_count_for(THAW_IMAGE_MEMORY_MAX / THAW_IMAGE_PAGE), most);
}

Test(round, wants_an_empty_regular_file)
{
	struct thaw_error error = THAW_ERROR_INIT;
	struct fixture fixture;
	int pipe_fds[2];

	cr_assert(fixture_make_golden(&fixture, "tiny"));
	thaw_autoclose int used = fixture_file("x", 1);
	cr_expect_lt(thaw_image_write(used, &fixture.content, 1, NULL, NULL, NULL, &error), 0);
	cr_expect_eq(error.kind, THAW_ERR_FAILURE);
	cr_assert_eq(pipe(pipe_fds), 0);
	cr_expect_lt(thaw_image_write(pipe_fds[1], &fixture.content, 1, NULL, NULL, NULL, NULL), 0);
	cr_expect_lt(thaw_image_open(pipe_fds[0], &(struct thaw_image_file *){NULL}, &error), 0);
	cr_expect_eq(error.kind, THAW_ERR_IMAGE);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	fixture_free(&fixture);
}
