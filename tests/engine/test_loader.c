/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk loading: every byte arrives, holes stay holes, the loader refuses damage and works around
 * what the host refuses. The linker puts the __wrap_ functions below between the engine and the C
 * library, so that the failures are real returns of the real calls and the engine has no seam for
 * tests.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/image/bulk.h"
#include "engine/image/ring.h"
#include "snapshot-format/base/cleanup.h"
#include "tests/engine/test_loader_image.h"

/* ---- Failures on demand; each test is a process of its own ---- */

static struct {
	bool armed;
	atomic_int reads, submissions, allocations, threads; /* calls since armed */
	int fail_read;	     /* this read and all later ones fail with EIO */
	int fail_submission; /* likewise, with EPERM */
	int fail_allocation; /* this one fails */
	bool short_reads, interrupted_reads, short_submissions, no_threads, no_waiting;
} fault;

static void arm(void)
{
	fault.reads = fault.submissions = fault.allocations = fault.threads = 0;
	fault.armed = true;
}

ssize_t __real_pread64(int fd, void *buffer, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t length, off_t offset);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
			      unsigned wait, sigset_t *mask);
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
			      unsigned wait, sigset_t *mask);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *context);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

ssize_t __wrap_pread64(int fd, void *buffer, size_t length, off_t offset)
{
	int call = fault.armed ? ++fault.reads : 0;

	if (call && fault.fail_read && call >= fault.fail_read) {
		errno = EIO;
		return -1;
	}
	if (call && fault.interrupted_reads && call % 2) {
		errno = EINTR;
		return -1;
	}
	return __real_pread64(fd, buffer, call && fault.short_reads && length > 777 ? 777 : length,
			      offset);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	int call = fault.armed ? ++fault.submissions : 0;

	if (call && fault.fail_submission && call >= fault.fail_submission)
		return -EPERM;
	if (call && fault.short_submissions)
		ring->sq.sqes[(ring->sq.sqe_tail - 1) & *ring->sq.kring_mask].len /= 3;
	return __real_io_uring_submit(ring);
}

int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
			      unsigned wait, sigset_t *mask)
{
	if (fault.armed && fault.no_waiting && wait)
		return -EPERM;
	return __real___io_uring_get_cqe(ring, cqe, submit, wait, mask);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *context)
{
	if (fault.armed)
		fault.threads++;
	return fault.armed && fault.no_threads ? EAGAIN
					       : __real_pthread_create(thread, attr, run, context);
}

static bool allocation_fails(void)
{
	return fault.armed && ++fault.allocations == fault.fail_allocation;
}

void *__wrap_malloc(size_t size)
{
	return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_calloc(count, size);
}

/* ---- Loading, and examining the result ---- */

static void make(struct test_image *image, uint64_t pages, uint64_t seed)
{
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(test_image_make(image, pages, seed, &err), 0, "%s", err.message);
}

static struct thaw_loader *open_loader(unsigned threads, bool no_uring)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_loader *loader;

	cr_assert_eq(thaw_loader_open(threads, no_uring, &loader, &err), 0, "%s", err.message);
	if (no_uring)
		cr_assert_not(thaw_loader_uses_uring(loader));
	else if (!thaw_loader_uses_uring(loader))
		cr_skip("this host refuses io_uring, so the loader reads without it");
	return loader;
}

static int load_with(unsigned threads, bool no_uring, int image_fd, int memory_fd,
		     struct thaw_error *err)
{
	struct thaw_loader *loader = open_loader(threads, no_uring);
	int result;

	arm();
	result = test_image_load(loader, image_fd, memory_fd, err);
	fault.armed = false;
	thaw_loader_close(loader);
	return result;
}

/* Loads with the failures that were set, and expects a load like any other. */
static void expect_loaded(const struct test_image *image, unsigned threads, bool no_uring)
{
	thaw_autoclose int memory = test_image_memory(image, MFD_ALLOW_SEALING);
	struct thaw_error err = THAW_ERROR_INIT;
	uint64_t different;

	cr_assert_eq(load_with(threads, no_uring, image->fd, memory, &err), 0, "%s", err.message);
	cr_assert_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0,
		     "threads %u: it cannot be sealed: %s", threads, strerror(errno));
	different = test_image_difference(image, memory);
	cr_assert_eq(different, 0, "threads %u, no_uring %d: differs at %#lx", threads, no_uring,
		     different);
}

static void expect_refused(const struct test_image *image, unsigned threads, bool no_uring,
			   enum thaw_error_kind kind, const char *reason)
{
	thaw_autoclose int memory = test_image_memory(image, MFD_ALLOW_SEALING);
	struct thaw_error err = THAW_ERROR_INIT;

	cr_assert_eq(load_with(threads, no_uring, image->fd, memory, &err), -1, "not refused");
	cr_expect_eq(err.kind, kind, "kind %d: %s", err.kind, err.message);
	cr_expect_not_null(strstr(err.message, reason), "got: %s\nwanted: %s", err.message, reason);
	cr_expect_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE), 0,
		     "a failed load holds on to the memory");
}

static const unsigned thread_counts[] = {0, 1, 2, 8};
#define EACH_THREAD_COUNT(i)                                                                       \
	size_t i = 0;                                                                              \
	i < sizeof(thread_counts) / sizeof(thread_counts[0]);                                      \
	i++

Test(loader, every_byte_arrives_with_io_uring)
{
	static const uint64_t sizes[] = {1, 90, 500};
	struct test_image image;

	for (size_t s = 0; s < 3; s++) {
		make(&image, sizes[s], s + 1);
		for (EACH_THREAD_COUNT(i))
			expect_loaded(&image, thread_counts[i], false);
		test_image_free(&image);
	}
}

Test(loader, every_byte_arrives_with_plain_reads)
{
	static const uint64_t sizes[] = {1, 90, 500};
	struct test_image image;

	for (size_t s = 0; s < 3; s++) {
		make(&image, sizes[s], s + 1);
		for (EACH_THREAD_COUNT(i))
			expect_loaded(&image, thread_counts[i], true);
		cr_expect_eq(fault.submissions, 0);
		test_image_free(&image);
	}
}

Test(loader, one_loader_loads_many_images)
{
	struct thaw_loader *loader = open_loader(2, false);
	struct test_image image;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		make(&image, 300, seed);
		thaw_autoclose int memory = test_image_memory(&image, 0);

		cr_assert_eq(test_image_load(loader, image.fd, memory, NULL), 0);
		cr_expect_eq(test_image_difference(&image, memory), 0);
		test_image_free(&image);
	}
	thaw_loader_close(loader);
}

Test(loader, memory_that_is_all_zero_takes_none)
{
	struct test_image image;
	struct stat status;

	make(&image, 100, 0);
	thaw_autoclose int memory = test_image_memory(&image, 0);

	cr_assert_eq(load_with(2, false, image.fd, memory, NULL), 0);
	cr_assert_eq(fstat(memory, &status), 0);
	cr_expect_eq(status.st_blocks, 0);
	test_image_free(&image);
}

static bool shmem_rounds_up(void)
{
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "re");
	char line[128] = "";

	if (file) {
		if (!fgets(line, sizeof(line), file))
			line[0] = '\0';
		fclose(file);
	}
	return strstr(line, "[always]") || strstr(line, "[force]");
}

Test(loader, holes_stay_holes)
{
	struct test_image image;
	uint64_t allocated = 0;
	off_t at = 0;

	if (shmem_rounds_up())
		cr_skip("this host gives memory files huge pages unasked");
	make(&image, 300, 5);
	thaw_autoclose int memory = test_image_memory(&image, 0);

	cr_assert_eq(load_with(2, false, image.fd, memory, NULL), 0);
	while ((at = lseek(memory, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(memory, at, SEEK_HOLE);

		allocated += (uint64_t)(end - at);
		at = end;
	}
	cr_expect_eq(allocated, image.nonzero_pages * THAW_IMAGE_PAGE, "%lu bytes for %lu pages",
		     allocated, image.nonzero_pages);
	test_image_free(&image);
}

/* ---- Threads ---- */

/* Kernel threads of io_uring (iou-wrk-...) are listed as this process's, but are not. */
static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	unsigned count = 0;

	cr_assert_not_null(tasks);
	while ((task = readdir(tasks))) {
		char path[300], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		file = task->d_name[0] == '.' ? NULL : fopen(path, "re");
		if (!file)
			continue;
		count += fgets(name, sizeof(name), file) && strncmp(name, "iou-", 4) != 0;
		fclose(file);
	}
	closedir(tasks);
	return count;
}

Test(loader, no_thread_is_left)
{
	unsigned before = count_threads();
	struct test_image image;

	make(&image, 400, 6);
	expect_loaded(&image, 8, false);
	cr_expect_eq(fault.threads, 7);
	cr_expect_eq(count_threads(), before);
	test_image_free(&image);
}

Test(loader, little_work_starts_no_thread)
{
	struct test_image image;

	make(&image, 40, 7);
	expect_loaded(&image, 8, true);
	cr_expect_eq(fault.threads, 0, "%d threads", fault.threads);
	test_image_free(&image);
}

Test(loader, without_threads_the_caller_does_it_all)
{
	struct test_image image;

	make(&image, 400, 8);
	fault.no_threads = true;
	expect_loaded(&image, 8, false);
	expect_loaded(&image, 8, true);
	test_image_free(&image);
}

/* ---- Reads that go wrong ---- */

Test(loader, the_ring_reads_ahead)
{
	struct test_image image;

	make(&image, 600, 9);
	expect_loaded(&image, 1, false);
	cr_expect_geq(fault.submissions, THAW_READ_RING_DEPTH, "%d submissions", fault.submissions);
	test_image_free(&image);
}

Test(loader, short_reads_are_finished)
{
	struct test_image image;

	make(&image, 300, 10);
	fault.short_reads = fault.short_submissions = true;
	for (EACH_THREAD_COUNT(i)) {
		expect_loaded(&image, thread_counts[i], false);
		expect_loaded(&image, thread_counts[i], true);
	}
	test_image_free(&image);
}

Test(loader, interrupted_reads_are_repeated)
{
	struct test_image image;

	make(&image, 300, 11);
	fault.interrupted_reads = true;
	expect_loaded(&image, 1, true);
	expect_loaded(&image, 8, true);
	test_image_free(&image);
}

Test(loader, a_ring_that_breaks_half_way_is_not_missed)
{
	struct test_image image;

	make(&image, 800, 12);
	for (fault.fail_submission = 1; fault.fail_submission < 5; fault.fail_submission++) {
		expect_loaded(&image, 1, false);
		cr_expect_eq(fault.submissions, fault.fail_submission,
			     "a broken ring was used again");
		expect_loaded(&image, 8, false);
	}
	test_image_free(&image);
}

Test(loader, a_broken_ring_says_that_it_is_not_used)
{
	struct thaw_loader *loader = open_loader(1, false);
	struct test_image image;

	make(&image, 400, 13);
	thaw_autoclose int memory = test_image_memory(&image, 0);

	fault.fail_submission = 1;
	arm();
	cr_expect_eq(test_image_load(loader, image.fd, memory, NULL), 0);
	cr_expect_not(thaw_loader_uses_uring(loader));
	thaw_loader_close(loader);
	test_image_free(&image);
}

/* A file whose pages are not in memory, so that reads take time. */
static int cold_copy(const struct test_image *image)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat status;

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	cr_assert_eq(fstat(image->fd, &status), 0);
	for (off_t at = 0; at < status.st_size;)
		cr_assert_gt(sendfile(fd, image->fd, &at, (size_t)status.st_size), 0, "%s",
			     strerror(errno));
	cr_assert_eq(fsync(fd), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

Test(loader, what_is_in_flight_is_awaited_when_waiting_is_refused)
{
	struct test_image image;

	make(&image, 400, 14);
	fault.no_waiting = true;
	for (unsigned threads = 1; threads <= 8; threads += 7) {
		thaw_autoclose int memory = test_image_memory(&image, 0);
		thaw_autoclose int cold = cold_copy(&image);
		struct thaw_error err = THAW_ERROR_INIT;

		cr_assert_eq(load_with(threads, false, cold, memory, &err), 0, "%s", err.message);
		cr_expect_eq(test_image_difference(&image, memory), 0);
	}
	test_image_free(&image);
}

Test(loader, an_io_error_is_told)
{
	struct test_image image;
	struct thaw_image_file *file;

	make(&image, 400, 15);
	cr_assert_eq(thaw_image_open(image.fd, &file, NULL), 0);
	for (EACH_THREAD_COUNT(i)) {
		struct thaw_loader *loader = open_loader(thread_counts[i], true);
		thaw_autoclose int memory = test_image_memory(&image, 0);
		struct thaw_error err = THAW_ERROR_INIT;

		fault.fail_read = 2;
		arm();
		cr_expect_eq(thaw_loader_run(loader, file, memory, &err), -1);
		fault.armed = false;
		cr_expect_eq(err.kind, THAW_ERR_FAILURE);
		cr_expect_not_null(strstr(err.message, "cannot read the image file"), "%s",
				   err.message);
		thaw_loader_close(loader);
	}
	thaw_image_close(file);
	test_image_free(&image);
}

Test(loader, a_file_that_shrinks_while_it_is_loaded_is_refused)
{
	struct test_image image;
	struct thaw_image_file *file;
	struct stat status;

	make(&image, 400, 16);
	cr_assert_eq(fstat(image.fd, &status), 0);
	cr_assert_eq(thaw_image_open(image.fd, &file, NULL), 0);
	cr_assert_eq(ftruncate(image.fd, status.st_size - 5000), 0);
	for (int no_uring = 0; no_uring < 2; no_uring++) {
		struct thaw_loader *loader = open_loader(2, no_uring);
		thaw_autoclose int memory = test_image_memory(&image, 0);
		struct thaw_error err = THAW_ERROR_INIT;

		cr_expect_eq(thaw_loader_run(loader, file, memory, &err), -1);
		cr_expect_eq(err.kind, THAW_ERR_IMAGE);
		cr_expect_not_null(strstr(err.message, "cut short"), "%s", err.message);
		thaw_loader_close(loader);
	}
	thaw_image_close(file);
	test_image_free(&image);
}

Test(loader, a_damaged_frame_is_refused_wherever_it_is)
{
	struct test_image image;
	struct thaw_image_file *file;
	size_t count;

	make(&image, 400, 17);
	cr_assert_eq(thaw_image_open(image.fd, &file, NULL), 0);
	thaw_image_frames(file, &count);
	for (size_t i = 0; i < 5; i++) {
		const struct thaw_image_frame *frame =
			&thaw_image_frames(file, &count)[i * (count - 1) / 4];
		off_t at = (off_t)(frame->offset + (i * 97) % frame->length);
		uint8_t byte;

		cr_assert_eq(pread(image.fd, &byte, 1, at), 1);
		cr_assert_eq(pwrite(image.fd, &(uint8_t){byte ^ 0x40}, 1, at), 1);
		for (EACH_THREAD_COUNT(t)) {
			expect_refused(&image, thread_counts[t], false, THAW_ERR_IMAGE, "checksum");
			expect_refused(&image, thread_counts[t], true, THAW_ERR_IMAGE, "checksum");
		}
		cr_assert_eq(pwrite(image.fd, &byte, 1, at), 1);
	}
	expect_loaded(&image, 2, false);
	thaw_image_close(file);
	test_image_free(&image);
}

/* ---- Memory that cannot be written ---- */

Test(loader, a_memory_file_that_is_too_small_is_refused)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct test_image image;

	make(&image, 100, 18);
	thaw_autoclose int memory = test_image_memory(&image, 0);

	cr_assert_eq(ftruncate(memory, (off_t)image.end / 2), 0);
	cr_expect_eq(load_with(2, true, image.fd, memory, &err), -1);
	cr_expect_eq(err.kind, THAW_ERR_ENGINE);
	cr_expect_not_null(strstr(err.message, "too small"), "%s", err.message);
	test_image_free(&image);
}

Test(loader, a_failing_write_is_told)
{
	struct test_image image;

	make(&image, 400, 19);
	for (EACH_THREAD_COUNT(i)) {
		thaw_autoclose int memory = test_image_memory(&image, MFD_ALLOW_SEALING);
		struct thaw_error err = THAW_ERROR_INIT;

		cr_assert_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE), 0);
		cr_expect_eq(load_with(thread_counts[i], false, image.fd, memory, &err), -1);
		cr_expect_eq(err.kind, THAW_ERR_ENGINE);
		cr_expect_not_null(strstr(err.message, "cannot write the memory"), "%s",
				   err.message);
	}
	test_image_free(&image);
}

Test(loader, each_failing_allocation_is_told_or_harmless)
{
	struct test_image image;
	struct thaw_image_file *file;
	unsigned told = 0;

	make(&image, 300, 20);
	cr_assert_eq(thaw_image_open(image.fd, &file, NULL), 0);
	for (fault.fail_allocation = 1;; fault.fail_allocation++) {
		struct thaw_loader *loader = open_loader(1, false);
		thaw_autoclose int memory = test_image_memory(&image, 0);
		struct thaw_error err = THAW_ERROR_INIT;
		int result;

		arm();
		result = thaw_loader_run(loader, file, memory, &err);
		fault.armed = false;
		thaw_loader_close(loader);
		if (fault.allocations < fault.fail_allocation)
			break;
		if (result < 0) {
			cr_expect_eq(err.kind, THAW_ERR_ENGINE, "%s", err.message);
			told++;
		} else {
			cr_expect_eq(test_image_difference(&image, memory), 0);
		}
	}
	cr_expect_gt(told, 1);
	cr_expect_gt(fault.fail_allocation, 5);
	thaw_image_close(file);
	test_image_free(&image);
}

Test(loader, opening_without_memory_is_told)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_loader *loader = NULL;

	fault.fail_allocation = 1;
	arm();
	cr_expect_eq(thaw_loader_open(1, true, &loader, &err), -1);
	fault.armed = false;
	cr_expect_null(loader);
	thaw_loader_close(NULL);
}

/* ---- The ring ---- */

/* No seccomp filter sees a ring's operations, so a jailed process may keep only a ring that can do
 * nothing but read. */
Test(loader, the_ring_can_do_nothing_but_read)
{
	struct thaw_read_ring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;

	thaw_read_ring_open(&ring);
	if (!ring.usable)
		cr_skip("this host refuses io_uring");
	sqe = io_uring_get_sqe(&ring.ring);
	io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
	cr_assert_eq(io_uring_submit(&ring.ring), 1);
	cr_assert_eq(io_uring_wait_cqe(&ring.ring, &cqe), 0);
	cr_expect_eq(cqe->res, -EACCES, "%d", cqe->res);
	io_uring_cqe_seen(&ring.ring, cqe);
	sqe = io_uring_get_sqe(&ring.ring);
	io_uring_prep_nop(sqe);
	cr_assert_eq(io_uring_submit(&ring.ring), 1);
	cr_assert_eq(io_uring_wait_cqe(&ring.ring, &cqe), 0);
	cr_expect_eq(cqe->res, -EACCES, "%d", cqe->res);
	io_uring_cqe_seen(&ring.ring, cqe);
	cr_expect_lt(
		io_uring_register((unsigned)ring.ring.ring_fd, IORING_REGISTER_FILES, &(int){0}, 1),
		0);
	thaw_read_ring_close(&ring);
}
