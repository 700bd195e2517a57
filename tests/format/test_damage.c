/* SPDX-License-Identifier: Apache-2.0 */
/* "A damaged image is refused with the reason; it is never run": every byte and every length. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"

/* Under sanitizers each try costs several times as much; one try in five still reaches every
 * part. */
static size_t stride(void)
{
	return getenv("THAW_TEST_SANITIZED") ? 5 : 1;
}

static int place_nowhere(void *context, uint64_t start, const void *bytes, size_t length)
{
	(void)context;
	(void)start;
	(void)bytes;
	(void)length;
	return 0;
}

/* Both ways of reading a whole file must refuse it, with a reason. */
static void expect_refused(const uint8_t *bytes, size_t length, const char *what, size_t at)
{
	struct thaw_error opened = THAW_ERROR_INIT, verified = THAW_ERROR_INIT;
	thaw_autoclose int fd = fixture_file(bytes, length);
	struct thaw_image_file *image = NULL;
	int result = thaw_image_open(fd, &image, &opened);

	if (result == 0)
		result = fixture_load(image, place_nowhere, NULL, &opened);
	thaw_image_close(image);
	cr_assert_lt(result, 0, "%s %zu: opened and loaded", what, at);
	cr_assert_eq(opened.kind, THAW_ERR_IMAGE, "%s %zu: %s", what, at, opened.message);
	cr_assert_lt(thaw_image_verify(fd, &verified), 0, "%s %zu: verified", what, at);
	cr_assert_eq(verified.kind, THAW_ERR_IMAGE);
	cr_assert_str_eq(opened.message, verified.message);
	cr_assert_gt(strlen(opened.message), 10);
}

static struct fixture_bytes golden(const char *name)
{
	struct fixture fixture;
	struct fixture_bytes image;

	cr_assert(fixture_make_golden(&fixture, name));
	image = fixture_write(&fixture, 1);
	fixture_free(&fixture);
	return image;
}

static void flip_all(const char *name)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	struct fixture_bytes image = golden(name);

	for (size_t at = 0; at < image.length; at += stride())
		for (size_t m = 0; m < sizeof(masks); m++) {
			image.bytes[at] ^= masks[m];
			expect_refused(image.bytes, image.length, "flipped byte", at);
			image.bytes[at] ^= masks[m];
		}
	free(image.bytes);
}

Test(damage, every_byte_of_a_tiny_image)
{
	flip_all("tiny");
}

Test(damage, every_byte_of_an_image_with_several_frames)
{
	flip_all("frames");
}

Test(damage, every_byte_of_an_image_without_data)
{
	flip_all("empty");
}

Test(damage, some_bytes_of_a_typical_image)
{
	struct fixture_bytes image = golden("typical");

	for (size_t at = 0; at < image.length; at += 7) {
		image.bytes[at] ^= 0x10;
		expect_refused(image.bytes, image.length, "flipped byte", at);
		image.bytes[at] ^= 0x10;
	}
	free(image.bytes);
}

Test(damage, every_truncation)
{
	for (size_t i = 0; fixture_golden_names[i]; i++) {
		struct fixture_bytes image = golden(fixture_golden_names[i]);

		for (size_t length = 0; length < image.length; length += stride())
			expect_refused(image.bytes, length, "cut at", length);
		free(image.bytes);
	}
}

Test(damage, anything_appended)
{
	for (size_t i = 0; fixture_golden_names[i]; i++) {
		struct fixture_bytes image = golden(fixture_golden_names[i]);
		uint8_t *longer = calloc(1, image.length + 4096);

		cr_assert(longer);
		memcpy(longer, image.bytes, image.length);
		expect_refused(longer, image.length + 1, "appended", 1);
		expect_refused(longer, image.length + 4096, "appended", 4096);
		free(longer);
		free(image.bytes);
	}
}
