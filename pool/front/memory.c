/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --image-dir: the memory of loaded images as files NAME-HASH.mem on tmpfs or hugetlbfs. They
 * outlive the workers and the daemon, so an image need not be loaded twice. HASH is of the first
 * 512 bytes of the image file: the front does not understand them, but they differ from image to
 * image. A file has no name until a worker has filled it and serves from it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "guest-stub/include/thaw/abi.h"
#include "pool/common/paths.h"
#include "pool/front/internal.h"
#include "snapshot-format/base/cleanup.h"

#define SUFFIX	    ".mem"
#define HASH_DIGITS 32u

int thaw_memory_directory(const char *path, int *fd, struct thaw_error *err)
{
	thaw_autoclose int opened = -1;
	struct statfs fs;

	if (thaw_paths_make(path, 0700, err) < 0)
		return -1;
	opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (opened < 0 || fstatfs(opened, &fs) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot open %s", path);
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)
		/* Guests run on these pages: they must be memory, and they must stay. */
		return thaw_fail(
			err, THAW_ERR_USAGE,
			"%s is neither tmpfs nor hugetlbfs: give --image-dir a directory on one",
			path);
	*fd = thaw_take_fd(&opened);
	return 0;
}

static int file_name(const char *name, int image_fd, struct thaw_memory_file *file,
		     struct thaw_error *err)
{
	uint8_t header[THAW_IMAGE_HEADER_SIZE];
	XXH128_hash_t hash;
	ssize_t got = pread(image_fd, header, sizeof(header), 0);

	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot read the image of %s",
				       name);
	hash = XXH3_128bits(header, (size_t)got);
	snprintf(file->name, sizeof(file->name), "%s-%016llx%016llx" SUFFIX, name,
		 (unsigned long long)hash.high64, (unsigned long long)hash.low64);
	return 0;
}

/* Opens the file of an earlier load. False: there is none, or another user could have made or
 * changed it. */
static bool open_filled(int directory_fd, struct thaw_memory_file *file)
{
	thaw_autoclose int fd = openat(directory_fd, file->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 0222) || (uint64_t)st.st_size != THAW_REGION_END)
		return false;
	file->read_fd = thaw_take_fd(&fd);
	file->filled = true;
	return true;
}

int thaw_memory_open(int directory_fd, const char *name, int image_fd, struct thaw_memory_file *out,
		     struct thaw_error *err)
{
	struct thaw_memory_file file = {.read_fd = -1, .write_fd = -1};
	thaw_autoclose int fd = -1;
	char again[64];

	if (file_name(name, image_fd, &file, err) < 0)
		return -1;
	if (!open_filled(directory_fd, &file)) {
		/* A file without a name leaves nothing behind, whichever process dies when. */
		fd = openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0400);
		if (fd < 0 || ftruncate(fd, (off_t)THAW_REGION_END) < 0)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot make a file for the memory of %s", name);
		snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
		file.read_fd = open(again, O_RDONLY | O_CLOEXEC);
		if (file.read_fd < 0)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot reopen the file for the memory of %s", name);
		file.write_fd = thaw_take_fd(&fd);
	}
	*out = file;
	return 0;
}

void thaw_memory_commit(int directory_fd, const char *name, struct thaw_memory_file *file)
{
	char path[64];

	if (!file->filled) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file->write_fd);
		/* A file that open_filled() refused may have the name: replace it. */
		unlinkat(directory_fd, file->name, 0);
		if (linkat(AT_FDCWD, path, directory_fd, file->name, AT_SYMLINK_FOLLOW) < 0)
			thaw_log(THAW_LOG_warning, "cannot keep the memory of %s as %s: %s", name,
				 file->name, strerror(errno));
		file->filled = true;
	}
	thaw_memory_forget(directory_fd, name, file->name);
}

void thaw_memory_close(struct thaw_memory_file *file)
{
	thaw_cleanup_close(&file->read_fd);
	thaw_cleanup_close(&file->write_fd);
	file->read_fd = file->write_fd = -1;
}

/* True when FILE is NAME-HASH.mem. The file of a function whose name begins with "NAME-" is not. */
static bool belongs(const char *file, const char *name)
{
	size_t length = strlen(name);

	return strncmp(file, name, length) == 0 && file[length] == '-' &&
	       strspn(file + length + 1, "0123456789abcdef") == HASH_DIGITS &&
	       strcmp(file + length + 1 + HASH_DIGITS, SUFFIX) == 0;
}

void thaw_memory_forget(int directory_fd, const char *name, const char *keep)
{
	DIR *directory = thaw_list_directory(directory_fd);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (belongs(entry->d_name, name) && (!keep || strcmp(entry->d_name, keep) != 0))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}
