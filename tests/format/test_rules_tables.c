/* SPDX-License-Identifier: Apache-2.0 */
/* Rules R, E and F of SPEC.md: ranges, extents, frames. */
#include <xxhash.h>
#include <zstd.h>

#include "rules.h"

#define PAGE ((uint64_t)THAW_IMAGE_PAGE)
#define END  THAW_IMAGE_ADDRESS_END

/* ---- Ranges ---- */

/* A range of the typical image: 0x3c0000+4p rw, 0x400000+8p rx, 0x408000+3p r, 0x800000000+32p rw.
 */
static struct fixture_parts parts;

static void setup(void)
{
	parts = rules_parts("typical");
}

static void teardown(void)
{
	fixture_parts_free(&parts);
}

TestSuite(tables, .init = setup, .fini = teardown);

static void range64(unsigned range, unsigned at, uint64_t value, const char *want)
{
	rules_with64(&parts, THAW_SECTION_RANGES, range * THAW_RANGE_ENTRY + at, value, want);
}

static void range32(unsigned range, unsigned at, uint32_t value, const char *want)
{
	rules_with32(&parts, THAW_SECTION_RANGES, range * THAW_RANGE_ENTRY + at, value, want);
}

Test(tables, R1_reserved)
{
	range32(2, 20, 1, "range 2 has reserved bytes");
}

Test(tables, R1_count)
{
	static uint8_t table[(THAW_IMAGE_RANGES_MAX + 1) * THAW_RANGE_ENTRY];
	struct fixture_parts empty = rules_parts("empty");

	for (uint64_t i = 0; i <= THAW_IMAGE_RANGES_MAX; i++) {
		thaw_put64(table + i * THAW_RANGE_ENTRY, (i + 1) * 2 * PAGE);
		thaw_put64(table + i * THAW_RANGE_ENTRY + 8, PAGE);
		thaw_put32(table + i * THAW_RANGE_ENTRY + 16, THAW_PROT_READ);
	}
	/* The memory size is the third field, after 16 and 12 bytes, behind its own header. */
	thaw_put64(empty.section[THAW_SECTION_META].bytes + 16 + 12 + 8, THAW_IMAGE_MEMORY_MAX);
	rules_set(&empty, THAW_SECTION_RANGES, table, sizeof(table) - THAW_RANGE_ENTRY);
	rules_expect(&empty, NULL);
	rules_set(&empty, THAW_SECTION_RANGES, table, sizeof(table));
	rules_expect(&empty, "the range table has 98328 bytes");
	fixture_parts_free(&empty);
}

Test(tables, R2_alignment_and_bounds)
{
	static const char want[] = "is empty, unaligned or out of bounds";

	range64(0, 0, 0x3c0001, want);
	range64(0, 8, 0x4001, want);
	range64(0, 8, 0, want);
	range64(3, 8, END, want);
	range64(3, 0, END, want);
	range64(3, 0, UINT64_MAX - PAGE + 1, want);
	range64(3, 8, UINT64_MAX - PAGE + 1, want);
	range64(3, 0, END - 32 * PAGE,
		"is not within one range"); /* fits, but its extents now lie elsewhere */
}

Test(tables, R3_order)
{
	range64(1, 0, 0x3c3000, "range 1 overlaps");
	range64(1, 0, 0x1000, "range 1 overlaps");
	range64(1, 8, 9 * PAGE, "range 2 overlaps");
}

Test(tables, R4_permissions)
{
	static const uint32_t bad[] = {0, 2, 4, 6, 7, 8, 9, 0x80000001, UINT32_MAX};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		range32(1, 16, bad[i], "range 1 has permissions");
	range32(1, 16, 1, NULL);
	range32(1, 16, 3, NULL);
	range32(1, 16, 5, NULL);
}

Test(tables, R5_sum)
{
	/* The memory size has 64 pages more than the ranges. */
	range64(3, 8, (32 + 64) * PAGE, NULL);
	range64(3, 8, (32 + 65) * PAGE, "larger than the memory size");
	range64(3, 8, UINT64_C(1) << 46, "larger than the memory size");
}

/* ---- Extents ---- */

static void expect_extents(struct fixture_parts *in, const struct thaw_extent *extents,
			   size_t count, const char *want)
{
	uint8_t *table = malloc(count * THAW_EXTENT_ENTRY + 1);

	cr_assert(table);
	for (size_t i = 0; i < count; i++) {
		thaw_put64(table + i * THAW_EXTENT_ENTRY, extents[i].start);
		thaw_put64(table + i * THAW_EXTENT_ENTRY + 8, extents[i].length);
		thaw_put64(table + i * THAW_EXTENT_ENTRY + 16, extents[i].store_page);
	}
	rules_set(in, THAW_SECTION_EXTENTS, table, count * THAW_EXTENT_ENTRY);
	rules_expect(in, want);
	free(table);
}

/* The typical image has 8 stored pages. */
#define EXTENTS(want, ...)                                                                         \
	do {                                                                                       \
		const struct thaw_extent list_[] = {__VA_ARGS__};                                  \
		expect_extents(&parts, list_, sizeof(list_) / sizeof(list_[0]), want);             \
	} while (0)

Test(tables, E1_alignment)
{
	EXTENTS(NULL, {0x400000, 8 * PAGE, 0});
	EXTENTS("extent 0 is empty", {0x400000, 0, 0});
	EXTENTS("extent 0 is empty", {0x400001, 8 * PAGE, 0});
	EXTENTS("extent 0 is empty", {0x400000, 8 * PAGE + 1, 0});
	EXTENTS("extent 0 is empty", {UINT64_MAX - PAGE + 1, 8 * PAGE, 0});
	EXTENTS("extent 0 is empty", {0x400000, UINT64_MAX - PAGE + 1, 0});
}

Test(tables, E2_order_and_place)
{
	EXTENTS("extent 1 overlaps", {0x400000, 8 * PAGE, 0}, {0x407000, PAGE, 0});
	EXTENTS("extent 1 overlaps", {0x400000, 8 * PAGE, 0}, {0x3c0000, PAGE, 0});
	EXTENTS("extent 0 is not within one range", {0x10000, 8 * PAGE, 0});
	EXTENTS("extent 0 is not within one range", {0x3ff000, 8 * PAGE, 0});
	EXTENTS("extent 0 is not within one range",
		{0x401000, 8 * PAGE, 0}); /* into a range that touches */
	EXTENTS("extent 0 is not within one range", {0x800020000, PAGE, 0});
	EXTENTS("extent 1 is not within one range", {0x400000, 8 * PAGE, 0}, {0x40b000, PAGE, 0});
	EXTENTS(NULL, {0x400000, 8 * PAGE, 0}, {0x408000, 3 * PAGE, 0});
}

Test(tables, E3_stored_pages_are_there)
{
	EXTENTS("extent 0 names stored pages that are not there", {0x400000, 8 * PAGE, 1});
	EXTENTS("extent 1 names stored pages", {0x400000, 8 * PAGE, 0}, {0x408000, PAGE, 8});
	EXTENTS("extent 1 names stored pages", {0x400000, 8 * PAGE, 0},
		{0x408000, PAGE, UINT64_MAX});
	EXTENTS("extent 0 names stored pages", {0x800000000, 9 * PAGE, 0});
	EXTENTS("extent 0 names stored pages", {0x800000000, 32 * PAGE, UINT64_MAX - 31});
}

Test(tables, E4_stored_pages_are_used)
{
	EXTENTS("stored page 7 belongs to no extent", {0x400000, 7 * PAGE, 0});
	EXTENTS("stored page 3 belongs to no extent", {0x400000, 3 * PAGE, 0},
		{0x403000, 4 * PAGE, 4});
	expect_extents(&parts, NULL, 0, "stored page 0 belongs to no extent");
}

Test(tables, E4_extents_without_frames)
{
	struct fixture_parts empty = rules_parts("empty");

	expect_extents(&empty, &(struct thaw_extent){0x10000, PAGE, 0}, 1, "names stored pages");
	fixture_parts_free(&empty);
}

/* ---- Frames ---- */

static struct fixture_parts frames;

static void frames_setup(void)
{
	frames = rules_parts("frames");
}

static void frames_teardown(void)
{
	fixture_parts_free(&frames);
}

TestSuite(frames, .init = frames_setup, .fini = frames_teardown);

/* Two frames of eight pages, and a third with two. */
Test(frames, F1_full_but_the_last)
{
	const size_t first = 4, second = first + THAW_FRAME_ENTRY, last = second + THAW_FRAME_ENTRY;

	rules_expect(&frames, NULL);
	for (uint32_t pages = 0; pages <= 130; pages++) {
		bool may_be_first = pages == 16 || pages == 32 || pages == 64;

		if (pages == 8)
			continue;
		rules_with32(&frames, THAW_SECTION_FRAMES, first, pages,
			     may_be_first ? "frame 1 has 8 pages" : "frame 0 has");
		rules_with32(&frames, THAW_SECTION_FRAMES, second, pages, "frame 1 has");
	}
	rules_with32(&frames, THAW_SECTION_FRAMES, last, 0, "frame 2 has 0 pages");
	rules_with32(&frames, THAW_SECTION_FRAMES, last, 9, "frame 2 has 9 pages");
	rules_with32(&frames, THAW_SECTION_FRAMES, last, 1, "names stored pages");
	rules_with32(&frames, THAW_SECTION_FRAMES, last, 3, "belongs to no extent");
}

Test(frames, F2_F3_lengths)
{
	uint32_t first = thaw_get32(frames.section[THAW_SECTION_FRAMES].bytes);

	rules_with32(&frames, THAW_SECTION_FRAMES, 0, 9, "frame 0 has 9 bytes");
	rules_with32(&frames, THAW_SECTION_FRAMES, 0, 0, "frame 0 has 0 bytes");
	rules_with32(&frames, THAW_SECTION_FRAMES, 0, 263169, "frame 0 has 263169 bytes");
	rules_with32(&frames, THAW_SECTION_FRAMES, 0, 263168, "its frames have");
	rules_with32(&frames, THAW_SECTION_FRAMES, 0, first + 1, "its frames have");
	rules_with32(&frames, THAW_SECTION_FRAMES, 0, first - 1, "its frames have");
}

Test(frames, F4_checksum)
{
	struct fixture_bytes image = rules_golden("frames");

	image.bytes[image.length - 1] ^= 1;
	rules_expect_bytes(&image, "frame 2's checksum");
	free(image.bytes);
}

/* The tiny image with DATA as its one frame. */
static void with_frame(const void *data, size_t length, const char *want)
{
	struct fixture_parts tiny = rules_parts("tiny");
	uint8_t entry[THAW_FRAME_ENTRY];

	thaw_put32(entry, (uint32_t)length);
	thaw_put32(entry + 4, 1);
	thaw_put64(entry + 8, XXH3_64bits(data, length));
	rules_set(&tiny, THAW_SECTION_FRAMES, entry, sizeof(entry));
	rules_set(&tiny, THAW_SECTION_DATA, data, length);
	rules_expect(&tiny, want);
	fixture_parts_free(&tiny);
}

/* Compresses LENGTH bytes with one wrong parameter. */
static size_t compress(uint8_t *out, size_t room, size_t length, ZSTD_cParameter parameter,
		       int value)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	uint8_t *raw = calloc(1, length + 1);
	size_t used;

	memset(raw, 'x', length / 2);
	cr_assert_not(ZSTD_isError(ZSTD_CCtx_setParameter(zstd, parameter, value)));
	used = ZSTD_compress2(zstd, out, room, raw, length);
	cr_assert_not(ZSTD_isError(used));
	ZSTD_freeCCtx(zstd);
	free(raw);
	return used;
}

static uint8_t packed[THAW_FRAME_LENGTH_MAX];

Test(frames, F5_size)
{
	with_frame(packed, compress(packed, sizeof(packed), PAGE, ZSTD_c_compressionLevel, 1),
		   NULL);
	with_frame(packed, compress(packed, sizeof(packed), PAGE, ZSTD_c_compressionLevel, 19),
		   NULL);
	with_frame(packed, compress(packed, sizeof(packed), PAGE - 1, ZSTD_c_compressionLevel, 1),
		   "does not hold 1 pages");
	with_frame(packed, compress(packed, sizeof(packed), PAGE + 1, ZSTD_c_compressionLevel, 1),
		   "does not hold 1 pages");
	with_frame(packed, compress(packed, sizeof(packed), 2 * PAGE, ZSTD_c_compressionLevel, 1),
		   "does not hold 1 pages");
	with_frame(packed, compress(packed, sizeof(packed), PAGE, ZSTD_c_contentSizeFlag, 0),
		   "does not hold 1 pages");
}

/* A gigabyte of zeros in a few dozen KiB. */
Test(frames, F5_bomb)
{
	size_t room = 1u << 20;
	uint8_t *bomb = malloc(room);
	size_t length = compress(bomb, room, UINT64_C(1) << 30, ZSTD_c_compressionLevel, 1);

	cr_assert_leq(length, THAW_FRAME_LENGTH_MAX);
	with_frame(bomb, length, "does not hold 1 pages");
	free(bomb);
}

/* A frame that claims one page and holds more or less: only decoding shows it. */
Test(frames, F6_lies_about_its_size)
{
	size_t length = compress(packed, sizeof(packed), 2 * PAGE, ZSTD_c_compressionLevel, 1);

	/* A single segment with a size of two bytes, which is stored less 256. */
	cr_assert_eq(packed[4], 0x60);
	cr_assert_eq(packed[5] | packed[6] << 8, (int)(2 * PAGE - 256));
	packed[5] = (PAGE - 256) & 0xff;
	packed[6] = (PAGE - 256) >> 8;
	with_frame(packed, length, "cannot be decoded");
	length = compress(packed, sizeof(packed), PAGE - 1, ZSTD_c_compressionLevel, 1);
	packed[5] = (PAGE - 256) & 0xff;
	packed[6] = (PAGE - 256) >> 8;
	with_frame(packed, length, "cannot be decoded");
}

Test(frames, F5_descriptor)
{
	size_t length = compress(packed, sizeof(packed), PAGE, ZSTD_c_checksumFlag, 1);

	with_frame(packed, length, "not a plain single segment");
	length = compress(packed, sizeof(packed), PAGE, ZSTD_c_compressionLevel, 3);
	packed[4] |= 0x10; /* unused: a decoder must ignore it, an image must not have it */
	with_frame(packed, length, "not a plain single segment");
}

/* A window descriptor would let the frame choose the decoder's memory. */
Test(frames, F5_window)
{
	size_t length = compress(packed + 1, sizeof(packed) - 1, PAGE, ZSTD_c_compressionLevel, 3);

	memmove(packed, packed + 1, 5);
	packed[4] &= (uint8_t)~0x20;
	packed[5] = 0xf8; /* 2 TiB */
	with_frame(packed, length + 1, "frame 0 ");
	packed[5] = 0x08; /* 2 KiB, which libzstd would accept */
	with_frame(packed, length + 1, "not a plain single segment");
}

Test(frames, F5_exactly_one)
{
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
	size_t length = compress(packed, sizeof(packed), PAGE, ZSTD_c_compressionLevel, 3);

	packed[length] = 0;
	with_frame(packed, length + 1, "not exactly one zstd frame");
	memcpy(packed + length, skippable, sizeof(skippable));
	with_frame(packed, length + sizeof(skippable), "not exactly one zstd frame");
	memcpy(packed + length, packed, length);
	with_frame(packed, 2 * length, "not exactly one zstd frame");
	with_frame(packed, length - 1, "frame 0 ");
	with_frame(skippable, sizeof(skippable), "not a zstd frame");
	memcpy(packed, "\x27\xb5\x2f\xfd", 4); /* version 0.7 of the format */
	with_frame(packed, length, "not a zstd frame");
}

/* ---- The most memory that tables can represent ---- */

/* A small file for much memory: one stored page for every page that the limits allow. It must
 * still be read and checked. */
Test(tables, E4_one_page_for_many)
{
	enum { COUNT = 1 << 16 };
	struct fixture_parts tiny = rules_parts("tiny");
	struct thaw_extent *extents = calloc(COUNT, sizeof(*extents));
	uint8_t *range = tiny.section[THAW_SECTION_RANGES].bytes;

	cr_assert(extents);
	for (uint64_t i = 0; i < COUNT; i++)
		extents[i] = (struct thaw_extent){0x400000 + i * PAGE, PAGE, 0};
	thaw_put64(tiny.section[THAW_SECTION_META].bytes + 16 + 12 + 8, COUNT * PAGE);
	thaw_put64(range + 8, COUNT * PAGE);
	expect_extents(&tiny, extents, COUNT, NULL);
	thaw_put64(range + 8, (COUNT - 1) * PAGE);
	expect_extents(&tiny, extents, COUNT, "extent 65535 is not within one range");
	free(extents);
	fixture_parts_free(&tiny);
}
