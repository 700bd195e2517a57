/* SPDX-License-Identifier: Apache-2.0 */
/* Boots and writes of an image on a host that interrupts and refuses. The linker's --wrap makes
 * calls fail that do not fail by themselves. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/engine/guests.h"

TestSuite(boot, .timeout = 60);

static atomic_int disturbed; /* so many reads and writes are still disturbed */
static atomic_bool no_memory;

ssize_t __real_pread64(int fd, void *bytes, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t length, off_t offset);
ssize_t __real_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

/* Of three calls one is interrupted, one stops half-way and one is left alone. */
static bool is_interrupted(size_t *length)
{
	int left = atomic_load(&disturbed);

	if (left <= 0)
		return false;
	atomic_store(&disturbed, left - 1);
	if (left % 3 == 1)
		*length = (*length + 1) / 2;
	errno = EINTR;
	return left % 3 == 0;
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t length, off_t offset)
{
	return is_interrupted(&length) ? -1 : __real_pread64(fd, bytes, length, offset);
}

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
	return is_interrupted(&length) ? -1 : __real_pwrite64(fd, bytes, length, offset);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return atomic_load(&no_memory) ? NULL : __real_calloc(count, size);
}

Test(boot, goes_on_after_signals)
{
	struct thaw_engine *engine;
	struct test_answer answer;

	atomic_store(&disturbed, 1000);
	engine = test_start("hello", NULL, 2);
	cr_assert_leq(atomic_load(&disturbed), 980, "too few calls to tell");
	atomic_store(&disturbed, 0);
	answer = test_ask_text(engine, "");
	cr_assert_str_eq(answer.body, "hello, world\n");
	free(answer.body);
	thaw_engine_close(engine);
}

/* Mappings as long as a guest's region. */
static unsigned whole_regions(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	unsigned found = 0;
	char line[512];

	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps))
		found += sscanf(line, "%lx-%lx", &start, &end) == 2 &&
			 end - start >= THAW_REGION_END;
	fclose(maps);
	return found;
}

Test(boot, writing_without_memory_leaves_no_mapping)
{
	struct thaw_engine *engine = test_start("hello", NULL, 2);
	struct thaw_error err = THAW_ERROR_INIT;
	int fd = memfd_create("test-image", MFD_CLOEXEC), result;
	unsigned before = whole_regions();

	atomic_store(&no_memory, true);
	result = thaw_engine_write(engine, fd, 1, NULL, NULL, NULL, &err);
	atomic_store(&no_memory, false);
	cr_assert_lt(result, 0);
	cr_expect_eq(err.kind, THAW_ERR_ENGINE, "%s", err.message);
	cr_expect_eq(whole_regions(), before);
	cr_expect_eq(thaw_engine_write(engine, fd, 1, NULL, NULL, NULL, &err), 0, "%s",
		     err.message);
	close(fd);
	thaw_engine_close(engine);
}
