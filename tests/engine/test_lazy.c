/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that are used while they are brought into memory: what is wanted is there first, what is
 * asked for comes, all of it comes in the end, and damage is known before anything may run. The
 * linker puts __wrap_pread64() between the engine and the C library.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/image/lazy.h"
#include "tests/engine/test_loader_image.h"

#define PAGE	THAW_IMAGE_PAGE
#define PAGES	1100u /* in each range: some seven hundred stored in all */
#define THREADS 4u

static atomic_int reads;
static int fail_read;	    /* from this one on; 0: none */
static atomic_bool is_held; /* reads wait, but for those of one thread */
static pthread_t favoured;

ssize_t __real_pread64(int fd, void *buffer, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t length, off_t offset);

ssize_t __wrap_pread64(int fd, void *buffer, size_t length, off_t offset)
{
	int number = atomic_fetch_add(&reads, 1) + 1;

	while (atomic_load(&is_held) && !pthread_equal(pthread_self(), favoured))
		usleep(1000);
	if (fail_read && number >= fail_read) {
		errno = EIO;
		return -1;
	}
	return __real_pread64(fd, buffer, length, offset);
}

struct trial {
	struct test_image made;
	struct thaw_image_file *image;
	struct thaw_memory_map map;
	int memory_fd;
	struct thaw_lazy_load *lazy;
	atomic_int finished;
	char failure[256];
};

static void on_finished(void *context, const struct thaw_error *failure)
{
	struct trial *trial = context;

	atomic_fetch_add(&trial->finished, 1);
	if (failure)
		snprintf(trial->failure, sizeof(trial->failure), "%.250s", failure->message);
}

static void open_trial(struct trial *trial)
{
	struct thaw_guest_memory memory = {.fd = -1};
	struct thaw_error err = THAW_ERROR_INIT;

	*trial = (struct trial){.memory_fd = -1};
	cr_assert_eq(test_image_make(&trial->made, PAGES, 7, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_image_open(trial->made.fd, &trial->image, &err), 0, "%s", err.message);
	trial->memory_fd = test_image_memory(&trial->made, 0);
	memory.fd = trial->memory_fd;
	memory.ranges = thaw_image_ranges(trial->image, &memory.range_count);
	memory.extents = thaw_image_extents(trial->image, &memory.extent_count);
	cr_assert_eq(thaw_memory_map_make(&memory, true, &trial->map, &err), 0, "%s", err.message);
}

static int begin(struct trial *trial, const struct thaw_wanted *wanted, size_t count,
		 struct thaw_error *err)
{
	const struct thaw_lazy_config config = {.image = trial->image,
						.map = &trial->map,
						.memory_fd = trial->memory_fd,
						.threads = 3,
						.wanted = wanted,
						.wanted_count = count,
						.finished = on_finished,
						.context = trial};

	return thaw_lazy_begin(&config, &trial->lazy, err);
}

static void close_trial(struct trial *trial)
{
	thaw_lazy_end(trial->lazy);
	free(trial->map.pieces);
	thaw_image_close(trial->image);
	test_image_free(&trial->made);
	close(trial->memory_fd);
}

/* Whether the memory file has the image's page at ADDRESS; asked with read(2), which fills no hole.
 */
static bool has_page(const struct trial *trial, unsigned range, uint64_t address)
{
	uint8_t page[PAGE];

	cr_assert_eq(__real_pread64(trial->memory_fd, page, PAGE, (off_t)address), (ssize_t)PAGE);
	return memcmp(page, trial->made.bytes[range] + (address - trial->made.range[range].start),
		      PAGE) == 0;
}

Test(lazy, all_of_it_comes_in_the_end)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct trial trial;

	open_trial(&trial);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	cr_expect_eq(thaw_lazy_await_checked(trial.lazy, &err), 0, "%s", err.message);
	cr_expect_eq(thaw_lazy_await_complete(trial.lazy, &err), 0, "%s", err.message);
	cr_expect(thaw_lazy_complete(trial.lazy));
	cr_expect_eq(trial.finished, 1);
	cr_expect_str_empty(trial.failure);
	cr_expect_eq(test_image_difference(&trial.made, trial.memory_fd), 0);
	close_trial(&trial);
}

Test(lazy, wanted_pages_are_there_first)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_wanted wanted[5];
	unsigned absent = 0;
	struct trial trial;
	uint64_t start;

	open_trial(&trial);
	start = trial.made.range[2].start;
	wanted[0] = (struct thaw_wanted){start + 900 * PAGE, 3};
	wanted[1] = (struct thaw_wanted){trial.made.range[0].start, 1};
	/* What is not in the image is of no account, however absurd. */
	wanted[2] = (struct thaw_wanted){0, 1};
	wanted[3] = (struct thaw_wanted){UINT64_MAX - 5, UINT64_MAX};
	wanted[4] = (struct thaw_wanted){trial.made.end, 100};
	/* The helpers are kept from reading, so that nothing but the beginning brings pages. */
	favoured = pthread_self();
	atomic_store(&is_held, true);
	cr_assert_eq(begin(&trial, wanted, 5, &err), 0, "%s", err.message);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(has_page(&trial, 2, start + (900 + i) * PAGE));
	cr_expect(has_page(&trial, 0, trial.made.range[0].start));
	for (unsigned page = 0; page < PAGES; page++)
		absent += !has_page(&trial, 1, trial.made.range[1].start + page * PAGE);
	cr_expect_gt(absent, PAGES / 4, "the second range, which nobody wants, is not there");
	atomic_store(&is_held, false);
	close_trial(&trial);
}

Test(lazy, what_is_asked_for_comes_with_its_neighbourhood)
{
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t start = 0, from, to;
	struct trial trial;

	open_trial(&trial);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	/* The last range is above 4 GiB. */
	cr_assert_gt(trial.made.range[2].start, UINT32_MAX);
	for (unsigned i = 0; i < 3 * PAGES; i += 111) {
		const struct thaw_range *range = &trial.made.range[i % 3];
		uint64_t address = range->start + i / 3 * PAGE + 5;

		start = range->start;
		cr_assert_eq(thaw_lazy_bring(trial.lazy, address, address + 1, &from, &to, &err), 0,
			     "%s", err.message);
		if (from == to) { /* a long run of zeroes, which is no data */
			cr_expect_eq(trial.made.bytes[i % 3][i / 3 * PAGE], 0);
			continue;
		}
		cr_expect_geq(from, range->start);
		cr_expect_leq(from, address);
		cr_expect_gt(to, address);
		cr_expect_leq(to, range->start + range->length);
		cr_expect_eq((from | to) % PAGE, 0);
		for (uint64_t at = from; at < to; at += PAGE)
			cr_expect(has_page(&trial, i % 3, at));
	}
	/* Anything may be asked. */
	cr_expect_eq(thaw_lazy_bring(trial.lazy, 0, UINT64_MAX, &from, &to, &err), 0);
	cr_expect_eq(from, to);
	cr_expect_eq(test_image_difference(&trial.made, trial.memory_fd), 0);
	cr_expect_eq(thaw_lazy_bring(trial.lazy, UINT64_MAX, 0, &from, &to, &err), 0);
	cr_expect_eq(from, to);
	cr_expect_eq(thaw_lazy_bring(trial.lazy, start + PAGE, start, &from, &to, &err), 0);
	close_trial(&trial);
}

/* All else is not there, so that nothing but the frame of the page can be in the run. */
Test(lazy, the_run_holds_what_was_asked_for_and_no_more)
{
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t start, from, to;
	struct trial trial;
	size_t asked = 0;

	open_trial(&trial);
	favoured = pthread_self();
	atomic_store(&is_held, true);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	for (unsigned i = 0; i < 3; i++) {
		start = trial.made.range[i].start;
		for (uint64_t page = 1000; page < 1010; page++) {
			uint64_t address = start + page * PAGE;

			if (!trial.made.bytes[i][page * PAGE])
				continue;
			cr_assert_eq(thaw_lazy_bring(trial.lazy, address, address + PAGE, &from,
						     &to, &err),
				     0, "%s", err.message);
			cr_expect(from <= address && address < to, "%lx is not in %lx to %lx",
				  address, from, to);
			cr_expect_geq(from, start);
			cr_expect_leq(to, start + trial.made.range[i].length);
			for (uint64_t at = from; at < to; at += PAGE)
				cr_expect(has_page(&trial, i, at));
			asked++;
		}
	}
	cr_expect_gt(asked, 6);
	atomic_store(&is_held, false);
	close_trial(&trial);
}

struct asker {
	struct trial *trial;
	pthread_t thread;
	unsigned seed, wrong;
};

static void *ask_around(void *context)
{
	struct asker *asker = context;
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t from, to;

	for (unsigned i = 0; i < 300; i++) {
		unsigned range = (unsigned)rand_r(&asker->seed) % 3;
		uint64_t address = asker->trial->made.range[range].start +
				   (unsigned)rand_r(&asker->seed) % PAGES * PAGE;

		asker->wrong += thaw_lazy_bring(asker->trial->lazy, address, address + PAGE, &from,
						&to, &err) != 0 ||
				!has_page(asker->trial, range, address);
	}
	return NULL;
}

Test(lazy, many_may_ask_at_once)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct asker askers[THREADS];
	struct trial trial;

	open_trial(&trial);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	for (unsigned i = 0; i < THREADS; i++) {
		askers[i] = (struct asker){.trial = &trial, .seed = i + 1};
		cr_assert_eq(pthread_create(&askers[i].thread, NULL, ask_around, &askers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(askers[i].thread, NULL);
		cr_expect_eq(askers[i].wrong, 0);
	}
	cr_expect_eq(thaw_lazy_await_complete(trial.lazy, &err), 0, "%s", err.message);
	cr_expect_eq(trial.finished, 1);
	close_trial(&trial);
}

/* One byte of frame NUMBER is another. */
static void damage(const struct trial *trial, size_t number)
{
	size_t count;
	const struct thaw_image_frame *frames = thaw_image_frames(trial->image, &count);
	off_t at = (off_t)(frames[number].offset + frames[number].length / 2);
	uint8_t byte;

	cr_assert_lt(number, count);
	cr_assert_eq(__real_pread64(trial->made.fd, &byte, 1, at), 1);
	byte ^= 1;
	cr_assert_eq(pwrite(trial->made.fd, &byte, 1, at), 1);
}

Test(lazy, damage_anywhere_is_known_before_anything_runs)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct trial trial;
	size_t count;

	open_trial(&trial);
	thaw_image_frames(trial.image, &count);
	damage(&trial, count - 1);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	cr_expect_lt(thaw_lazy_await_checked(trial.lazy, &err), 0);
	cr_expect_eq(err.kind, THAW_ERR_IMAGE);
	cr_expect(strstr(err.message, "checksum"), "%s", err.message);
	cr_expect_lt(thaw_lazy_await_complete(trial.lazy, &err), 0);
	cr_expect_not(thaw_lazy_complete(trial.lazy));
	cr_expect_eq(trial.finished, 1);
	cr_expect(strstr(trial.failure, "checksum"), "%s", trial.failure);
	close_trial(&trial);
}

Test(lazy, damage_of_what_is_wanted_is_told_at_once)
{
	struct thaw_wanted wanted;
	struct thaw_error err = THAW_ERROR_INIT;
	struct trial trial;

	open_trial(&trial);
	wanted = (struct thaw_wanted){trial.made.range[0].start, 64};
	damage(&trial, 0);
	cr_expect_lt(begin(&trial, &wanted, 1, &err), 0);
	cr_expect_eq(err.kind, THAW_ERR_IMAGE);
	close_trial(&trial);
}

/* Each of the two helpers is kept from reading the frame that it took first, whichever that is; who
 * waits does the rest, and finds one of three. */
Test(lazy, who_waits_for_the_comparison_takes_part)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct trial trial;
	size_t count;

	open_trial(&trial);
	thaw_image_frames(trial.image, &count);
	damage(&trial, 0);
	damage(&trial, count / 2);
	damage(&trial, count - 1);
	favoured = pthread_self();
	atomic_store(&is_held, true);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	cr_expect_lt(thaw_lazy_await_checked(trial.lazy, &err), 0);
	atomic_store(&is_held, false);
	close_trial(&trial);
}

Test(lazy, a_file_that_cannot_be_read_any_more_is_a_failure_and_no_wait)
{
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t from, to;
	struct trial trial;
	size_t count;

	open_trial(&trial);
	thaw_image_frames(trial.image, &count);
	/* All are compared; then some are decoded. */
	atomic_store(&reads, 0);
	fail_read = (int)count + 5;
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	cr_expect_lt(thaw_lazy_await_complete(trial.lazy, &err), 0);
	cr_expect(strstr(err.message, "cannot read"), "%s", err.message);
	cr_expect_eq(trial.finished, 1);
	cr_expect_lt(thaw_lazy_bring(trial.lazy, trial.made.range[0].start, trial.made.end, &from,
				     &to, &err),
		     0);
	close_trial(&trial);
}

/* A while after the end has begun. */
static void *release(void *context)
{
	usleep(100000);
	atomic_store(&is_held, false);
	return context;
}

Test(residency, an_end_does_not_wait_for_the_rest)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct trial trial;
	pthread_t releaser;
	int whole, begun;

	open_trial(&trial);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	cr_assert_eq(thaw_lazy_await_complete(trial.lazy, &err), 0, "%s", err.message);
	whole = atomic_load(&reads);
	close_trial(&trial);

	open_trial(&trial);
	favoured = pthread_self();
	atomic_store(&is_held, true);
	atomic_store(&reads, 0);
	cr_assert_eq(begin(&trial, NULL, 0, &err), 0, "%s", err.message);
	while (!atomic_load(&reads))
		usleep(1000);
	cr_expect_not(thaw_lazy_complete(trial.lazy));
	cr_assert_eq(pthread_create(&releaser, NULL, release, NULL), 0);
	thaw_lazy_end(trial.lazy);
	begun = atomic_load(&reads);
	pthread_join(releaser, NULL);
	trial.lazy = NULL;
	cr_expect_eq(trial.finished, 0);
	cr_expect_lt(begun, whole / 2, "%d reads of %d: it went on to the end", begun, whole);
	close_trial(&trial);
}
