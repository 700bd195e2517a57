/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where frames go; see target.h. Memory files and tmpfs are written with pwrite. Measured over 64
 * MiB on two cores, that costs 1.3 to 1.8 us a page; a shared mapping costs 3.3 us, because its
 * faults zero each page first, and is only as fast with a second thread. A fallocate before it
 * changes nothing. The inode's lock serialises the writers, at about an eighth of the processor
 * time that decoding takes.
 *
 * Nothing stays mapped and no page stays pinned, so the file can be sealed against writes
 * afterwards.
 */
#include "engine/image/target.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/base/round.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int check_size(const struct thaw_extent *extents, size_t count, int fd,
		      struct thaw_error *err)
{
	uint64_t end = count ? extents[count - 1].start + extents[count - 1].length : 0;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot look at the memory file");
	if ((uint64_t)status.st_size < end)
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the memory file is too small: %" PRIu64
				 " bytes, and the image's data ends at %" PRIu64,
				 (uint64_t)status.st_size, end);
	return 0;
}

/* Finds the huge pages that the extents touch; neighbours share a window. WINDOWS has room for one
 * window for each extent. */
static size_t plan_windows(const struct thaw_extent *extents, size_t count, uint64_t huge_page,
			   struct thaw_frame_window *windows)
{
	size_t planned = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t start = thaw_round_down(extents[i].start, huge_page);
		uint64_t end = thaw_round_up(extents[i].start + extents[i].length, huge_page);
		struct thaw_frame_window *last = planned ? &windows[planned - 1] : NULL;

		if (last && start <= last->start + last->length)
			last->length = end - last->start;
		else
			windows[planned++] =
				(struct thaw_frame_window){.start = start, .length = end - start};
	}
	return planned;
}

static int allocate_window(int fd, const struct thaw_frame_window *window, struct thaw_error *err)
{
	int result;

	do
		result = fallocate(fd, 0, (off_t)window->start, (off_t)window->length);
	while (result < 0 && errno == EINTR);
	if (result == 0)
		return 0;
	if (errno == ENOSPC || errno == ENOMEM)
		return thaw_fail(
			err, THAW_ERR_ENGINE,
			"no huge pages left: reserve more with vm.nr_hugepages, or raise the "
			"size= of the hugetlbfs mount");
	return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
			       "cannot allocate huge pages for the image");
}

static int open_window(int fd, struct thaw_frame_window *window, struct thaw_error *err)
{
	void *bytes;

	if (allocate_window(fd, window, err) < 0)
		return -1;
	bytes = mmap(NULL, window->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     (off_t)window->start);
	if (bytes == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot map the memory file");
	window->bytes = bytes;
	return 0;
}

int thaw_frame_target_open(struct thaw_frame_target *target, const struct thaw_image_file *image,
			   int fd, struct thaw_error *err)
{
	size_t count;
	const struct thaw_extent *extents = thaw_image_extents(image, &count);
	struct statfs file_system;

	*target = (struct thaw_frame_target){.fd = fd};
	if (check_size(extents, count, fd, err) < 0)
		return -1;
	if (fstatfs(fd, &file_system) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot look at the memory file's file system");
	if (file_system.f_type != HUGETLBFS_MAGIC || !count)
		return 0;
	target->windows = calloc(count, sizeof(*target->windows));
	if (!target->windows)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "loading the image");
	target->window_count =
		plan_windows(extents, count, (uint64_t)file_system.f_bsize, target->windows);
	for (size_t i = 0; i < target->window_count; i++)
		if (open_window(fd, &target->windows[i], err) < 0)
			return -1;
	return 0;
}

void thaw_frame_target_close(struct thaw_frame_target *target)
{
	for (size_t i = 0; i < target->window_count; i++)
		if (target->windows[i].bytes)
			munmap(target->windows[i].bytes, target->windows[i].length);
	free(target->windows);
	*target = (struct thaw_frame_target){.fd = -1};
}

static int place_mapped(const struct thaw_frame_target *target, uint64_t start, const void *bytes,
			size_t length)
{
	size_t low = 0, high = target->window_count;
	const struct thaw_frame_window *window;

	/* Finds the last window that begins at START or before. */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (target->windows[middle].start <= start)
			low = middle;
		else
			high = middle;
	}
	window = &target->windows[low];
	thaw_assert(start >= window->start && start - window->start <= window->length &&
		    length <= window->length - (start - window->start));
	memcpy(window->bytes + (start - window->start), bytes, length);
	return 0;
}

int thaw_frame_target_place(void *context, uint64_t start, const void *bytes, size_t length)
{
	const struct thaw_frame_target *target = context;

	if (target->windows)
		return place_mapped(target, start, bytes, length);
	return thaw_write_at(target->fd, bytes, length, start) < 0 ? -errno : 0;
}
