/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the rules: an image with exactly one fault, and with checksums that do not
 * hide it. */
#ifndef THAW_TEST_RULES_H
#define THAW_TEST_RULES_H

#include <criterion/criterion.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

static inline struct fixture_bytes rules_golden(const char *name)
{
	struct fixture fixture;
	struct fixture_bytes image;

	cr_assert(fixture_make_golden(&fixture, name));
	image = fixture_write(&fixture, 1);
	fixture_free(&fixture);
	return image;
}

static inline struct fixture_parts rules_parts(const char *name)
{
	struct fixture_bytes image = rules_golden(name);
	struct fixture_parts parts = fixture_split(&image);

	free(image.bytes);
	return parts;
}

/* Verifies IMAGE. It must be refused with a message that contains WANT; with WANT NULL it must be
 * accepted. */
static inline void rules_expect_bytes(const struct fixture_bytes *image, const char *want)
{
	struct thaw_error error = THAW_ERROR_INIT;
	thaw_autoclose int fd = fixture_file(image->bytes, image->length);
	int result = thaw_image_verify(fd, &error);

	if (!want) {
		cr_expect_eq(result, 0, "%s", error.message);
		return;
	}
	cr_expect_lt(result, 0, "should be refused: %s", want);
	cr_expect_eq(error.kind, THAW_ERR_IMAGE);
	cr_expect(strstr(error.message, want), "wanted \"%s\", got \"%s\"", want, error.message);
}

static inline void rules_expect(const struct fixture_parts *parts, const char *want)
{
	struct fixture_bytes image = fixture_join(parts);

	rules_expect_bytes(&image, want);
	free(image.bytes);
}

/* Exchanges a section. Copies BYTES. */
static inline void rules_set(struct fixture_parts *parts, enum thaw_section_kind kind,
			     const void *bytes, size_t length)
{
	struct fixture_bytes *section = &parts->section[kind];

	section->bytes = realloc(section->bytes, length + 1);
	section->length = length;
	cr_assert(section->bytes);
	memcpy(section->bytes, bytes, length);
}

/* Sets a field of 4 or 8 bytes to a value for one check. */
static inline void rules_with64(struct fixture_parts *parts, enum thaw_section_kind kind, size_t at,
				uint64_t value, const char *want)
{
	uint8_t *field = parts->section[kind].bytes + at;
	uint64_t before = thaw_get64(field);

	thaw_put64(field, value);
	rules_expect(parts, want);
	thaw_put64(field, before);
}

static inline void rules_with32(struct fixture_parts *parts, enum thaw_section_kind kind, size_t at,
				uint32_t value, const char *want)
{
	uint8_t *field = parts->section[kind].bytes + at;
	uint32_t before = thaw_get32(field);

	thaw_put32(field, value);
	rules_expect(parts, want);
	thaw_put32(field, before);
}

#endif
