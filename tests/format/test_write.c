/* SPDX-License-Identifier: Apache-2.0 */
/* "Content that a reader would refuse is refused": the writer's refusals, in the reader's
 * words. */
#include "rules.h"

#define PAGE ((uint64_t)THAW_IMAGE_PAGE)

static struct fixture fixture;

static void setup(void)
{
	cr_assert(fixture_make_golden(&fixture, "typical"));
}

static void teardown(void)
{
	fixture_free(&fixture);
}

TestSuite(write, .init = setup, .fini = teardown);

/* The message after its beginning must be WANT; NULL: the content must be accepted and be
 * readable. */
static void expect(const char *want)
{
	static const char beginning[] = "no image can be made of this: ";
	struct thaw_error error = THAW_ERROR_INIT;
	thaw_autoclose int fd = fixture_file("", 0);
	int result = thaw_image_write(fd, &fixture.content, 1, NULL, NULL, NULL, &error);

	if (!want) {
		cr_expect_eq(result, 0, "%s", error.message);
		cr_expect_eq(thaw_image_verify(fd, &error), 0, "%s", error.message);
		return;
	}
	cr_expect_lt(result, 0, "should be refused: %s", want);
	cr_expect_eq(error.kind, THAW_ERR_IMAGE);
	cr_expect(strncmp(error.message, beginning, strlen(beginning)) == 0 &&
			  strstr(error.message, want),
		  "wanted \"%s\", got \"%s\"", want, error.message);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 0, "nothing is written");
}

Test(write, metadata)
{
	static char text[] = "a\nb", pair[] = "NOVALUE", upper[] = "Upper", empty[] = "";

	expect(NULL);
	fixture.meta.program = text;
	expect("the program's path is not UTF-8 text");
	fixture.meta.program = empty;
	expect("the program's path is empty");
	fixture.meta.program = NULL;
	expect("the program's path is empty");
	fixture.meta.program = fixture.text[1];
	fixture.env[1] = pair;
	expect("environment entry 1 is not KEY=VALUE");
	fixture.env[1] = NULL;
	fixture.args[1] = text;
	expect("argument 1 is not UTF-8 text");
	fixture.args[0] = NULL;
	expect("there is no argument 0");
	fixture.meta.args = NULL;
	expect("there is no list of arguments");
	fixture.meta.args = fixture.args;
	fixture.args[0] = empty;
	fixture.args[1] = NULL;
	expect(NULL);
	fixture.meta.name = upper;
	expect("the function's name");
}

Test(write, too_many_or_too_much)
{
	static char *many[THAW_IMAGE_STRINGS_MAX + 2];
	static char entry[] = "K=V", large[3000];

	for (size_t i = 0; i < THAW_IMAGE_STRINGS_MAX; i++)
		many[i] = entry;
	fixture.meta.env = many;
	expect(NULL);
	many[THAW_IMAGE_STRINGS_MAX] = entry;
	expect("more than 1024 environment entries");
	many[THAW_IMAGE_STRINGS_MAX] = NULL;
	memset(large, '=', sizeof(large) - 1);
	large[0] = 'K';
	for (size_t i = 0; i < THAW_IMAGE_STRINGS_MAX; i++)
		many[i] = large;
	expect("shorten arguments or environment");
}

Test(write, ranges_and_registers)
{
	fixture.meta.memory_size = fixture.memory_length - PAGE;
	expect("larger than the memory size");
	fixture.meta.memory_size = fixture.memory_length;
	expect(NULL);
	fixture.ranges[1].prot = 7;
	expect("range 1 has permissions");
	fixture.ranges[1].prot = 5;
	fixture.content.range_count = 0;
	expect("there are 0 ranges");
	fixture.content.range_count = 4;
	fixture.xsave[520] = 1;
	expect("not in the standard layout");
	fixture.xsave[520] = 0;
	fixture.meta.cpu.word[11] = 1;
	expect("word 11 of the CPU features");
}

/* The segments: 0x3c2000+2p, 0x400000+11p over two ranges that touch, 0x800000000+32p. */
Test(write, segments)
{
	static const char want[] = "is unaligned, out of order or outside the ranges";
	struct thaw_memory_segment whole[3];

	memcpy(whole, fixture.segments, sizeof(whole));
#define WITH(index, member, value)                                                                 \
	do {                                                                                       \
		fixture.segments[index].member = (value);                                          \
		expect(want);                                                                      \
		memcpy(fixture.segments, whole, sizeof(whole));                                    \
	} while (0)
	WITH(0, start, 0x3c2001);
	WITH(0, length, 0x1001);
	WITH(0, length, 0x3000);		/* beyond the range */
	WITH(0, start, 0x3bf000);		/* before it */
	WITH(0, start, 0x800000000);		/* out of order */
	WITH(1, length, 12 * PAGE);		/* beyond the ranges that touch */
	WITH(1, start, 0x3c3000);		/* overlaps */
	WITH(2, length, UINT64_MAX - PAGE + 1); /* overflows */
	WITH(2, start, 0x900000000);		/* in no range */
#undef WITH
	fixture.segments[1].length = 0; /* an empty segment is fine */
	expect(NULL);
	fixture.content.segment_count = 0;
	expect(NULL);
}

Test(write, to_an_empty_regular_file_only)
{
	static const char kept[] = "what was there";
	struct thaw_error error = THAW_ERROR_INIT;
	thaw_autoclose int full = fixture_file(kept, sizeof(kept));
	int ends[2];
	char have[sizeof(kept) + 1];

	cr_expect_lt(thaw_image_write(full, &fixture.content, 1, NULL, NULL, NULL, &error), 0);
	cr_expect(strstr(error.message, "an empty regular file"), "%s", error.message);
	cr_expect_eq(pread(full, have, sizeof(have), 0), (ssize_t)sizeof(kept));
	cr_expect_eq(memcmp(have, kept, sizeof(kept)), 0, "it is still there");
	cr_assert_eq(pipe(ends), 0);
	error = (struct thaw_error)THAW_ERROR_INIT;
	cr_expect_lt(thaw_image_write(ends[1], &fixture.content, 1, NULL, NULL, NULL, &error), 0);
	cr_expect(strstr(error.message, "an empty regular file"), "%s", error.message);
	close(ends[0]);
	close(ends[1]);
}

/* Every second page is the same and the others are zero: many extents of one stored page. */
Test(write, scattered_memory)
{
	thaw_autofree uint8_t *memory = calloc(2 * 20000, PAGE);
	struct thaw_image_sizes sizes;
	struct thaw_image_file *image;
	size_t count;

	cr_assert(memory);
	for (size_t page = 0; page < 2 * 20000; page += 2)
		memory[page * PAGE] = 1;
	fixture.ranges[0] = (struct thaw_range){0x400000, 2 * 20000 * PAGE, THAW_PROT_READ};
	fixture.meta.memory_size = 2 * 20000 * PAGE;
	fixture.segments[0] = (struct thaw_memory_segment){0x400000, 2 * 20000 * PAGE, memory};
	fixture.content.range_count = fixture.content.segment_count = 1;
	thaw_autoclose int fd = fixture_file("", 0);
	cr_assert_eq(thaw_image_write(fd, &fixture.content, 2, NULL, NULL, &sizes, NULL), 0);
	cr_expect_eq(sizes.stored_bytes, PAGE);
	cr_assert_eq(thaw_image_open(fd, &image, NULL), 0);
	thaw_image_extents(image, &count);
	cr_expect_eq(count, 20000u);
	thaw_image_close(image);
}
