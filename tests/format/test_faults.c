/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation and every system call of writing, opening and verifying fails once. The result
 * must be an error with a message: never a crash, a hang, a leak, or an image.
 */
#include <criterion/criterion.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "wrap.h"

/* Far more than any operation makes: a loop that gets here does not end. */
#define MANY 500

static struct fixture fixture;
static struct fixture_bytes image;

static void setup(void)
{
	fixture_make_random(&fixture, 11);
	image = fixture_write(&fixture, 1);
}

static void teardown(void)
{
	fixture_free(&fixture);
	free(image.bytes);
}

TestSuite(faults, .init = setup, .fini = teardown, .timeout = 120);

static int write_image(int fd, unsigned threads, struct thaw_error *err)
{
	int live = wrap.live, result;

	wrap_arm();
	result = thaw_image_write(fd, &fixture.content, threads, NULL, NULL, NULL, err);
	wrap_disarm();
	cr_assert_eq(wrap.live, live, "memory is lost");
	return result;
}

/* The failure must be reported, and the file that remains must not pass. */
static void expect_failure(int result, const struct thaw_error *error, int number)
{
	cr_assert_lt(result, 0, "number %d", number);
	cr_assert_eq(error->kind, THAW_ERR_FAILURE, "number %d: %s", number, error->message);
	cr_assert_gt(strlen(error->message), 10);
}

static int fail_writes(int *counter, unsigned threads)
{
	for (*counter = 1; *counter < MANY; ++*counter) {
		struct thaw_error error = THAW_ERROR_INIT;
		thaw_autoclose int fd = fixture_file("", 0);
		int result = write_image(fd, threads, &error);

		if (!wrap_hit()) {
			cr_assert_eq(result, 0, "%s", error.message);
			return *counter;
		}
		expect_failure(result, &error, *counter);
		cr_assert_lt(thaw_image_verify(fd, NULL), 0);
	}
	return *counter;
}

Test(faults, allocations_of_writing)
{
	int needed = fail_writes(&wrap.fail_allocation, 1);

	cr_expect(needed > 10 && needed < MANY, "%d", needed);
	needed = fail_writes(&wrap.fail_allocation, 3);
	cr_expect(needed > 10 && needed < MANY, "%d", needed);
}

Test(faults, calls_of_writing)
{
	int needed = fail_writes(&wrap.fail_call, 1);

	cr_expect(needed > 7 && needed < MANY, "%d", needed);
	needed = fail_writes(&wrap.fail_call, 3);
	cr_expect(needed > 7 && needed < MANY, "%d", needed);
}

Test(faults, writing_without_threads)
{
	thaw_autoclose int fd = fixture_file("", 0);
	struct thaw_error error = THAW_ERROR_INIT;
	struct fixture_bytes alone;

	wrap.no_threads = true;
	cr_assert_eq(write_image(fd, 4, &error), 0, "%s", error.message);
	alone = fixture_read_file(fd);
	cr_expect(alone.length == image.length &&
		  memcmp(alone.bytes, image.bytes, alone.length) == 0);
	free(alone.bytes);
}

Test(faults, short_and_interrupted_transfers)
{
	thaw_autoclose int fd = fixture_file("", 0);
	struct thaw_error error = THAW_ERROR_INIT;
	struct fixture_bytes slow;

	wrap.short_transfers = true;
	cr_assert_eq(write_image(fd, 2, &error), 0, "%s", error.message);
	wrap_arm();
	cr_expect_eq(thaw_image_verify(fd, &error), 0, "%s", error.message);
	wrap_disarm();
	slow = fixture_read_file(fd);
	cr_expect(slow.length == image.length && memcmp(slow.bytes, image.bytes, slow.length) == 0);
	free(slow.bytes);
}

static int fail_opens(int *counter)
{
	thaw_autoclose int fd = fixture_file(image.bytes, image.length);

	for (*counter = 1; *counter < MANY; ++*counter) {
		struct thaw_error error = THAW_ERROR_INIT;
		struct thaw_image_file *file = NULL;
		int live = wrap.live, result;

		wrap_arm();
		result = thaw_image_open(fd, &file, &error);
		wrap_disarm();
		thaw_image_close(file);
		cr_assert_eq(wrap.live, live, "memory is lost");
		if (!wrap_hit()) {
			cr_assert_eq(result, 0, "%s", error.message);
			return *counter;
		}
		expect_failure(result, &error, *counter);
		cr_assert_null(file, "set on failure");
	}
	return *counter;
}

Test(faults, opening)
{
	int needed = fail_opens(&wrap.fail_allocation);

	cr_expect(needed > 10 && needed < MANY, "%d", needed);
	wrap.fail_allocation = 0;
	needed = fail_opens(&wrap.fail_call);
	cr_expect(needed > 6 && needed < MANY, "%d", needed);
}

static int fail_verifies(int *counter)
{
	thaw_autoclose int fd = fixture_file(image.bytes, image.length);

	for (*counter = 1; *counter < MANY; ++*counter) {
		struct thaw_error error = THAW_ERROR_INIT;
		int live = wrap.live, result;

		wrap_arm();
		result = thaw_image_verify(fd, &error);
		wrap_disarm();
		cr_assert_eq(wrap.live, live, "memory is lost");
		if (!wrap_hit()) {
			cr_assert_eq(result, 0, "%s", error.message);
			return *counter;
		}
		expect_failure(result, &error, *counter);
	}
	return *counter;
}

Test(faults, verifying)
{
	int needed = fail_verifies(&wrap.fail_allocation);

	cr_expect(needed > 12 && needed < MANY, "%d", needed);
	wrap.fail_allocation = 0;
	needed = fail_verifies(&wrap.fail_call);
	cr_expect(needed > 7 && needed < MANY, "%d", needed);
}

/* Another process truncates the file while it is read: as damaged as a file that was short from
 * the beginning. */
Test(faults, file_shrinks_while_it_is_read)
{
	thaw_autoclose int fd = fixture_file(image.bytes, image.length);
	unsigned shrunk = 0;

	wrap.mode = WRAP_END;
	/* Call 1 is fstat; the calls after it are reads. */
	for (wrap.fail_call = 2; wrap.fail_call < MANY; wrap.fail_call++, shrunk++) {
		struct thaw_error error = THAW_ERROR_INIT;
		int result;

		wrap_arm();
		result = thaw_image_verify(fd, &error);
		wrap_disarm();
		if (!wrap_hit())
			break;
		cr_assert_lt(result, 0);
		cr_assert_eq(error.kind, THAW_ERR_IMAGE, "%s", error.message);
		cr_assert(strstr(error.message, "damaged image: it ends"), "%s", error.message);
	}
	cr_expect_geq(shrunk, 7u, "header, five tables and a frame");
}
