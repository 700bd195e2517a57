/* SPDX-License-Identifier: Apache-2.0 */
/* Loading into hugetlbfs. One test, because the pool of huge pages is the host's and the cases
 * would compete for it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/image/bulk.h"
#include "snapshot-format/base/cleanup.h"
#include "tests/engine/test_loader_image.h"

#define POOL	  "/proc/sys/vm/nr_hugepages"
#define HUGE_PAGE (UINT64_C(2) << 20)
#define NEEDED	  16

static long pool_before = -1; /* to be restored; -1: nothing was changed */

static long free_huge_pages(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	long count = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Free: %ld", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

static void write_pool(long count)
{
	FILE *file = fopen(POOL, "we");

	if (file) {
		fprintf(file, "%ld", count);
		fclose(file);
	}
}

static void reserve(void)
{
	FILE *file = fopen(POOL, "re");
	long have = 0;

	if (free_huge_pages() >= NEEDED || !file)
		return;
	if (fscanf(file, "%ld", &have) == 1 && access(POOL, W_OK) == 0) {
		pool_before = have;
		write_pool(have + NEEDED);
	}
	fclose(file);
}

static void give_back(void)
{
	if (pool_before >= 0)
		write_pool(pool_before);
}

static int load(const struct test_image *image, unsigned threads, int memory,
		struct thaw_error *err)
{
	struct thaw_loader *loader;
	int result;

	cr_assert_eq(thaw_loader_open(threads, false, &loader, NULL), 0);
	result = test_image_load(loader, image->fd, memory, err);
	thaw_loader_close(loader);
	return result;
}

/* Huge pages that the image's ranges touch: the image is random enough to have data in each. */
static uint64_t touched(const struct test_image *image)
{
	uint64_t count = 0;

	for (size_t r = 0; r < 3; r++)
		count += (image->range[r].start + image->range[r].length + HUGE_PAGE - 1) /
				 HUGE_PAGE -
			 image->range[r].start / HUGE_PAGE;
	return count;
}

static void check_memory_file(const struct test_image *image)
{
	for (unsigned threads = 1; threads <= 4; threads *= 2) {
		thaw_autoclose int memory =
			test_image_memory(image, MFD_HUGETLB | MFD_ALLOW_SEALING);
		struct thaw_error err = THAW_ERROR_INIT;
		struct stat status;

		cr_assert_geq(memory, 0, "%s", strerror(errno));
		cr_assert_eq(load(image, threads, memory, &err), 0, "%s", err.message);
		cr_expect_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK),
			     0, "%s", strerror(errno));
		cr_expect_eq(test_image_difference(image, memory), 0);
		cr_assert_eq(fstat(memory, &status), 0);
		cr_expect_eq((uint64_t)status.st_blocks * 512, touched(image) * HUGE_PAGE);
	}
}

/* Makes a file on a mount of one huge page, in a namespace of its own: it stands for an exhausted
 * pool. */
static int file_on_full_mount(const struct test_image *image)
{
	char directory[] = "/tmp/thaw-huge-XXXXXX";
	int root, fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(directory))
		return -1;
	if (mount("hugetlbfs", directory, "hugetlbfs", 0, "size=2M,pagesize=2M") < 0) {
		rmdir(directory);
		return -1;
	}
	root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = openat(root, "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	close(root);
	umount2(directory, MNT_DETACH);
	rmdir(directory);
	cr_assert_eq(ftruncate(fd, (off_t)((image->end + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1))), 0,
		     "%s", strerror(errno));
	return fd;
}

static void check_exhaustion(const struct test_image *image)
{
	thaw_autoclose int memory = file_on_full_mount(image);
	struct thaw_error err = THAW_ERROR_INIT;

	if (memory < 0)
		cr_skip("huge pages work; an exhausted pool needs a mount namespace, which this "
			"host refuses: %s",
			strerror(errno));
	cr_expect_eq(load(image, 2, memory, &err), -1);
	cr_expect_eq(err.kind, THAW_ERR_ENGINE);
	cr_expect_not_null(strstr(err.message, "vm.nr_hugepages"), "%s", err.message);
}

Test(loader_huge, huge_pages_are_filled_and_running_out_of_them_is_an_error, .init = reserve,
     .fini = give_back)
{
	struct test_image image;

	if (free_huge_pages() < NEEDED)
		cr_skip("needs %d free huge pages: reserve them with vm.nr_hugepages, or run as "
			"root",
			NEEDED);
	cr_assert_eq(test_image_make(&image, 1200, 3, NULL), 0);
	check_memory_file(&image);
	check_exhaustion(&image);
	test_image_free(&image);
}
