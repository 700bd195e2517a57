/* SPDX-License-Identifier: Apache-2.0 */
/* "An image that freeze reported is on disk and whole, whatever is killed when": saves, disturbed
 * at every step. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/save.h"
#include "wrap.h"

#define NAME "f.thaw"
#define MANY 500

/* A directory for one test, an old image, and a new one to replace it. */
static char path[] = "/tmp/thaw-test-save-XXXXXX";
static int directory;
static struct fixture old, new;
static struct fixture_bytes old_bytes, new_bytes;

static void setup(void)
{
	cr_assert(mkdtemp(path));
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(directory, 0);
	cr_assert(fixture_make_golden(&old, "tiny"));
	cr_assert(fixture_make_golden(&new, "frames"));
	old_bytes = fixture_write(&old, 1);
	new_bytes = fixture_write(&new, 1);
}

/* Calls EACH with every name in the directory. */
static void each_name(void (*each)(const char *name, void *context), void *context)
{
	DIR *list = opendir(path);
	const struct dirent *entry;

	cr_assert(list);
	while ((entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			each(entry->d_name, context);
	closedir(list);
}

static void remove_name(const char *name, void *context)
{
	(void)context;
	if (unlinkat(directory, name, 0) < 0)
		unlinkat(directory, name, AT_REMOVEDIR);
}

static void teardown(void)
{
	each_name(remove_name, NULL);
	rmdir(path);
	close(directory);
	fixture_free(&old);
	fixture_free(&new);
	free(old_bytes.bytes);
	free(new_bytes.bytes);
}

TestSuite(save, .init = setup, .fini = teardown, .timeout = 120);

/* The kinds of file system and host: with unnamed files, without them, without /proc. */
static void set_way(int way)
{
	wrap.no_tmpfile = way == 1;
	wrap.no_proc = way == 2;
}
#define WAYS 3

/* The lowest free descriptor: the same before and after when none leaks. */
static int free_descriptor(void)
{
	int fd = dup(directory);

	cr_assert_geq(fd, 0);
	close(fd);
	return fd;
}

static int save(const struct fixture *fixture, struct thaw_error *err)
{
	int lowest = free_descriptor(), live = wrap.live, result;

	wrap_arm();
	result = thaw_image_save(directory, NAME, &fixture->content, 1, NULL, NULL, NULL, err);
	wrap_disarm();
	cr_assert_eq(free_descriptor(), lowest, "a descriptor is lost");
	cr_assert_eq(wrap.live, live, "memory is lost");
	return result;
}

static bool file_is(const char *name, const struct fixture_bytes *want)
{
	thaw_autoclose int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	struct fixture_bytes have;
	bool same;

	if (fd < 0)
		return false;
	have = fixture_read_file(fd);
	same = have.length == want->length && memcmp(have.bytes, want->bytes, have.length) == 0;
	free(have.bytes);
	return same;
}

/* No other name in the directory may hold anything that looks like an image. */
static void count_other(const char *name, void *context)
{
	size_t length = strlen(name);

	if (strcmp(name, NAME) == 0)
		return;
	cr_expect(length < 5 || strcmp(name + length - 5, ".thaw") != 0, "%s", name);
	++*(unsigned *)context;
}

static unsigned others(void)
{
	unsigned count = 0;

	each_name(count_other, &count);
	return count;
}

Test(save, puts_and_replaces)
{
	for (int way = 0; way < WAYS; way++) {
		struct thaw_error error = THAW_ERROR_INIT;
		struct stat status;

		set_way(way);
		unlinkat(directory, NAME, 0);
		cr_assert_eq(save(&old, &error), 0, "%s", error.message);
		cr_expect(file_is(NAME, &old_bytes));
		cr_assert_eq(save(&new, &error), 0, "%s", error.message);
		cr_expect(file_is(NAME, &new_bytes));
		cr_expect_eq(fstatat(directory, NAME, &status, 0), 0);
		cr_expect_eq(status.st_mode & 07777, 0600);
		cr_expect_eq(status.st_nlink, 1);
		cr_expect_eq(others(), 0);
	}
}

/* A power cut keeps what was flushed and nothing else. So the bytes are flushed before the file
 * gets its name, and the directory before the save returns. */
Test(save, what_is_reported_was_flushed_before)
{
	for (int way = 0; way < WAYS; way++) {
		const char *written, *flushed, *renamed;

		set_way(way);
		cr_assert_eq(save(&new, NULL), 0);
		written = strrchr(wrap.steps, 'w');
		flushed = strrchr(wrap.steps, 'f');
		renamed = strchr(wrap.steps, 'r');
		cr_assert(written && flushed && renamed, "way %d: %s", way, wrap.steps);
		cr_expect(written < flushed && flushed < renamed, "way %d: %s", way, wrap.steps);
		cr_expect(strchr(renamed, 'd'), "way %d: %s", way, wrap.steps);
	}
}

/* Only errors of removing files, and of trying the better way first, may pass unreported: then
 * the save must succeed, and the file must be in place. */
Test(save, every_call_fails_once)
{
	for (int way = 0; way < WAYS; way++) {
		set_way(way);
		for (wrap.fail_call = 1; wrap.fail_call < MANY; wrap.fail_call++) {
			struct thaw_error error = THAW_ERROR_INIT;
			int number = wrap.fail_call, result;

			wrap.fail_call = 0;
			cr_assert_eq(save(&old, NULL), 0);
			wrap.fail_call = number;
			result = save(&new, &error);
			if (!wrap_hit())
				break;
			if (result < 0)
				cr_assert_gt(strlen(error.message), 10);
			cr_assert(file_is(NAME, &new_bytes) ||
					  (result < 0 && file_is(NAME, &old_bytes)),
				  "way %d, call %d", way, number);
			cr_expect_eq(others(), 0, "way %d, call %d", way, number);
		}
		cr_expect(wrap.fail_call > 12 && wrap.fail_call < MANY, "%d", wrap.fail_call);
		wrap.fail_call = 0;
	}
}

/* Saves in a child that is killed at its call NUMBER. False when the child survived. */
static bool kill_saver(int number)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		wrap.mode = WRAP_KILL;
		wrap.fail_call = number;
		_exit(save(&new, NULL) < 0);
	}
	cr_assert_gt(child, 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	if (WIFEXITED(status)) {
		cr_assert_eq(WEXITSTATUS(status), 0);
		return false;
	}
	cr_assert_eq(WTERMSIG(status), SIGKILL);
	return true;
}

Test(save, killed_at_every_call)
{
	unsigned left = 0;

	for (int way = 0; way < WAYS; way++) {
		int number = 1;

		set_way(way);
		cr_assert_eq(save(&old, NULL), 0);
		for (; number < MANY && kill_saver(number); number++) {
			cr_assert(file_is(NAME, &old_bytes) || file_is(NAME, &new_bytes),
				  "way %d, call %d", way, number);
			cr_assert_leq(others(), 1u);
			left += others();
			/* The next save must remove what this one left. */
			cr_assert_eq(save(&old, NULL), 0);
			cr_assert(file_is(NAME, &old_bytes));
			cr_assert_eq(others(), 0, "way %d, call %d", way, number);
		}
		cr_expect(number > 12 && number < MANY, "%d", number);
		cr_expect(file_is(NAME, &new_bytes));
	}
	cr_expect_gt(left, 5u, "killing must have left something to clear away");
}

Test(save, clears_only_dead_savers)
{
	thaw_autoclose int alive =
		openat(directory, ".thaw-save-1-0.tmp", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	thaw_autoclose int dead =
		openat(directory, ".thaw-save-1-1.tmp", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	thaw_autoclose int other =
		openat(directory, "thaw-save-1-1.tmp", O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	cr_assert(alive >= 0 && dead >= 0 && other >= 0);
	cr_assert_eq(flock(alive, LOCK_EX), 0);
	cr_assert_eq(mkdirat(directory, ".thaw-save-2-0.tmp", 0700), 0);
	cr_assert_eq(symlinkat("thaw-save-1-1.tmp", directory, ".thaw-save-3-0.tmp"), 0);
	cr_assert_eq(mkfifoat(directory, ".thaw-save-4-0.tmp", 0600), 0);
	cr_assert_eq(save(&old, NULL), 0);
	cr_expect_eq(faccessat(directory, ".thaw-save-1-0.tmp", F_OK, 0), 0,
		     "a live saver's file stays");
	cr_expect_neq(faccessat(directory, ".thaw-save-1-1.tmp", F_OK, 0), 0,
		      "a dead saver's file goes");
	cr_expect_eq(faccessat(directory, "thaw-save-1-1.tmp", F_OK, 0), 0);
	cr_expect_eq(others(), 5);
}

Test(save, another_saver_with_the_same_names)
{
	for (int way = 0; way < WAYS; way++) {
		struct thaw_save first, second;
		struct thaw_error error = THAW_ERROR_INIT;

		set_way(way);
		wrap_arm();
		cr_assert_eq(thaw_save_begin(directory, &first, &error), 0, "%s", error.message);
		cr_assert_eq(thaw_save_begin(directory, &second, &error), 0, "%s", error.message);
		cr_assert_eq(thaw_image_write(first.fd, &old.content, 1, NULL, NULL, NULL, &error),
			     0);
		cr_assert_eq(thaw_image_write(second.fd, &new.content, 1, NULL, NULL, NULL, &error),
			     0);
		cr_assert_eq(thaw_save_commit(&first, NAME, &error), 0, "%s", error.message);
		cr_expect(file_is(NAME, &old_bytes));
		cr_assert_eq(thaw_save_commit(&second, NAME, &error), 0, "%s", error.message);
		cr_expect(file_is(NAME, &new_bytes));
		thaw_save_cancel(&first);
		thaw_save_cancel(&second);
		wrap_disarm();
		cr_expect(file_is(NAME, &new_bytes), "a cancel after a commit does nothing");
		cr_expect_eq(others(), 0);
	}
}

static void *save_often(void *context)
{
	for (unsigned i = 0; i < 20; i++)
		cr_expect_eq(thaw_image_save(directory, NAME,
					     &((const struct fixture *)context)->content, 2, NULL,
					     NULL, NULL, NULL),
			     0);
	return NULL;
}

Test(save, many_savers_of_one_name)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, save_often, i % 2 ? &old : &new), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	cr_expect(file_is(NAME, &old_bytes) || file_is(NAME, &new_bytes));
	cr_expect_eq(others(), 0);
}

Test(save, takes_only_names)
{
	static const char *const bad[] = {"",  "a/b.thaw", "/f.thaw",
					  ".", "..",	   ".thaw-save-1-0.tmp"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct thaw_error error = THAW_ERROR_INIT;

		cr_expect_lt(thaw_image_save(directory, bad[i], &old.content, 1, NULL, NULL, NULL,
					     &error),
			     0, "%s", bad[i]);
		cr_expect_eq(error.kind, THAW_ERR_USAGE, "%s: %s", bad[i], error.message);
	}
	cr_expect_eq(others(), 0);
}

Test(save, through_any_kind_of_directory_descriptor)
{
	thaw_autoclose int opaque = open(path, O_PATH | O_CLOEXEC);
	struct thaw_error error = THAW_ERROR_INIT;

	cr_assert_eq(thaw_image_save(opaque, NAME, &old.content, 1, NULL, NULL, NULL, &error), 0,
		     "%s", error.message);
	cr_expect(file_is(NAME, &old_bytes));
	cr_assert_eq(chdir(path), 0);
	cr_assert_eq(thaw_image_save(AT_FDCWD, NAME, &new.content, 1, NULL, NULL, NULL, &error), 0,
		     "%s", error.message);
	cr_expect(file_is(NAME, &new_bytes));
}

Test(save, refused_content_leaves_the_old_image)
{
	struct thaw_error error = THAW_ERROR_INIT;

	cr_assert_eq(save(&old, &error), 0);
	new.ranges[0].prot = THAW_PROT_READ | THAW_PROT_WRITE | THAW_PROT_EXEC;
	cr_expect_lt(save(&new, &error), 0);
	cr_expect_eq(error.kind, THAW_ERR_IMAGE);
	cr_expect(
		strstr(error.message, "no image can be made of this: range 0 has permissions 0x7"),
		"%s", error.message);
	cr_expect(file_is(NAME, &old_bytes));
	cr_expect_eq(others(), 0);
}
