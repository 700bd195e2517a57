/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The golden files: images of version 1, written when the version was made, and their contents as
 * text.
 *
 * Today's reader must read them. If it does not, images in the field can no longer be read, and
 * the way out is a new version of the format, never a new golden file.
 *
 * Today's writer must make them, byte for byte. If it does not, it is no longer deterministic, or
 * it compresses at another level or in frames of another size. Only the latter two are a reason
 * for new files; the old ones stay beside them, to be read.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <zstd.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"

/* The libzstd that compressed the golden files. */
#define GOLDEN_ZSTD 10504u

static int open_golden(const char *name, const char *suffix)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), GOLDEN_DIRECTORY "/%s.%s", name, suffix);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s", path);
	return fd;
}

static struct fixture_bytes dump(int fd)
{
	struct thaw_error error = THAW_ERROR_INIT;
	struct fixture_bytes text;
	char *bytes;
	FILE *file = open_memstream(&bytes, &text.length);
	int result = fixture_dump(fd, file, &error);

	fclose(file);
	cr_assert_eq(result, 0, "%s", error.message);
	text.bytes = (uint8_t *)bytes;
	return text;
}

static bool same(const struct fixture_bytes *a, const struct fixture_bytes *b)
{
	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void expect_read(const char *name)
{
	thaw_autoclose int image = open_golden(name, "thaw");
	thaw_autoclose int text = open_golden(name, "txt");
	struct fixture_bytes have = dump(image), want = fixture_read_file(text);

	cr_expect_eq(thaw_image_verify(image, NULL), 0);
	cr_expect(same(&have, &want), "%s:\n%.*s", name, (int)have.length, have.bytes);
	free(have.bytes);
	free(want.bytes);
}

Test(golden, are_read)
{
	for (size_t i = 0; fixture_golden_names[i]; i++)
		expect_read(fixture_golden_names[i]);
}

/* From the first writers, in frames of 64 pages. */
Test(golden, old_one_is_read)
{
	expect_read("frames-of-64");
}

/* All lines except those that depend on the compression. */
static void strip_compressed(struct fixture_bytes *text)
{
	size_t kept = 0;

	for (size_t at = 0; at < text->length;) {
		const uint8_t *line = text->bytes + at,
			      *end = memchr(line, '\n', text->length - at);
		size_t length = (size_t)(end - line) + 1;

		if (strncmp((const char *)line, "frame ", 6) != 0 &&
		    strncmp((const char *)line, "sizes ", 6) != 0) {
			memmove(text->bytes + kept, line, length);
			kept += length;
		}
		at += length;
	}
	text->length = kept;
}

static void expect_same_content(int golden, const struct fixture_bytes *written, const char *name)
{
	thaw_autoclose int fd = fixture_file(written->bytes, written->length);
	struct fixture_bytes have = dump(fd), want = dump(golden);

	strip_compressed(&have);
	strip_compressed(&want);
	cr_expect(same(&have, &want), "%s", name);
	free(have.bytes);
	free(want.bytes);
}

Test(golden, are_written)
{
	for (size_t i = 0; fixture_golden_names[i]; i++) {
		const char *name = fixture_golden_names[i];
		thaw_autoclose int golden = open_golden(name, "thaw");
		struct fixture_bytes want = fixture_read_file(golden), have;
		struct fixture fixture;

		cr_assert_leq(want.length, 65536u);
		cr_assert(fixture_make_golden(&fixture, name));
		have = fixture_write(&fixture, 2);
		expect_same_content(golden, &have, name);
		/* Another libzstd may find other matches: the content must be the same, the bytes
		 * need not be. */
		if (ZSTD_versionNumber() == GOLDEN_ZSTD)
			cr_expect(same(&have, &want), "%s: other bytes", name);
		free(have.bytes);
		free(want.bytes);
		fixture_free(&fixture);
	}
}
