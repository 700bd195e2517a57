/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that appear whole or not at all.
 *
 * The file has no name at first (O_TMPFILE), so a killed saver leaves nothing behind. linkat()
 * cannot replace a name, so the file gets a temporary one, and rename() replaces the old file.
 * Without O_TMPFILE, or without /proc to link through, the file has the temporary name from the
 * start. Temporary names do not end in .thaw, so nothing takes one for an image. A saver holds a
 * lock on its file: a temporary file that can be locked belongs to a dead saver and is removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/image.h"
#include "snapshot-format/save.h"

#define TEMPORARY_PREFIX ".thaw-save-"
#define TEMPORARY_SUFFIX ".tmp"
#define TEMPORARY_TRIES	 100u

/* ---- Temporary names ---- */

static bool is_temporary(const char *name)
{
	const size_t prefix = sizeof(TEMPORARY_PREFIX) - 1, suffix = sizeof(TEMPORARY_SUFFIX) - 1;
	size_t length = strlen(name);

	return length > prefix + suffix && memcmp(name, TEMPORARY_PREFIX, prefix) == 0 &&
	       strcmp(name + length - suffix, TEMPORARY_SUFFIX) == 0;
}

static void name_temporary(struct thaw_save *save, unsigned attempt)
{
	/* Another saver may have the same process id, in another PID namespace: hence several
	 * attempts. */
	snprintf(save->temporary, sizeof(save->temporary),
		 TEMPORARY_PREFIX "%ld-%u" TEMPORARY_SUFFIX, (long)getpid(), attempt);
}

static void clear_if_dead(int directory_fd, const char *name)
{
	/* O_NOFOLLOW and O_NONBLOCK: opening must have no effect, whatever has such a name. */
	thaw_autoclose int fd =
		openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &status) < 0)
		return;
	/* Checked under the lock: a file without a name has been removed by another saver, and
	 * the name may belong to a new file; a file that has its name keeps it until we
	 * unlock. */
	if (status.st_nlink > 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid())
		unlinkat(directory_fd, name, 0);
}

/* A temporary file that cannot be removed stays: that is no reason to fail a save. */
static void clear_temporaries(int directory_fd)
{
	int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(directory)))
		if (is_temporary(entry->d_name))
			clear_if_dead(directory_fd, entry->d_name);
	closedir(directory);
}

/* ---- Steps ---- */

/* linkat() reaches a file without a name through this path. */
static void descriptor_path(int fd, char *path, size_t size)
{
	snprintf(path, size, "/proc/self/fd/%d", fd);
}

static int open_unnamed(int directory_fd)
{
	char path[32];
	int fd = openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	descriptor_path(fd, path, sizeof(path));
	if (faccessat(AT_FDCWD, path, F_OK, 0) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Before the new file is locked, another saver may take it for a dead one and remove it: then it
 * has no name, and the next attempt makes another. */
static int open_named(struct thaw_save *save)
{
	for (unsigned attempt = 0; attempt < TEMPORARY_TRIES; attempt++) {
		struct stat status;
		int fd;

		name_temporary(save, attempt);
		fd = openat(save->directory_fd, save->temporary,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			break;
		/* On a file system without locks no saver removes files by them. */
		(void)flock(fd, LOCK_EX);
		if (fstat(fd, &status) < 0 || status.st_nlink > 0)
			return fd;
		close(fd);
	}
	save->temporary[0] = '\0';
	return -1;
}

int thaw_save_begin(int directory_fd, struct thaw_save *save, struct thaw_error *err)
{
	*save = (struct thaw_save)THAW_SAVE_INIT;
	save->directory_fd = directory_fd;
	clear_temporaries(directory_fd);
	save->fd = open_unnamed(directory_fd);
	if (save->fd < 0)
		save->fd = open_named(save);
	if (save->fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot make a file for the image");
	return 0;
}

/* Gives an unnamed file a temporary name. It is locked first: other savers see it from then
 * on. */
static int link_temporary(struct thaw_save *save)
{
	char path[32];

	if (save->temporary[0])
		return 0;
	(void)flock(save->fd, LOCK_EX);
	descriptor_path(save->fd, path, sizeof(path));
	for (unsigned attempt = 0; attempt < TEMPORARY_TRIES; attempt++) {
		name_temporary(save, attempt);
		if (linkat(AT_FDCWD, path, save->directory_fd, save->temporary,
			   AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	save->temporary[0] = '\0';
	return -1;
}

static int flush_directory(int directory_fd)
{
	/* Opened anew: the caller's descriptor may be O_PATH or AT_FDCWD, which cannot be
	 * flushed. */
	thaw_autoclose int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

/* Accepts a name in the directory itself that no later save would remove. */
static bool name_allowed(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !is_temporary(name);
}

int thaw_save_commit(struct thaw_save *save, const char *file_name, struct thaw_error *err)
{
	if (!name_allowed(file_name))
		return thaw_fail(err, THAW_ERR_USAGE, "\"%s\" cannot be the name of an image file",
				 file_name);
	if (fsync(save->fd) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot flush %s", file_name);
	if (link_temporary(save) < 0 ||
	    renameat(save->directory_fd, save->temporary, save->directory_fd, file_name) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot put %s in its place",
				       file_name);
	save->temporary[0] = '\0';
	if (flush_directory(save->directory_fd) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
				       "cannot flush the directory of %s", file_name);
	close(thaw_take_fd(&save->fd));
	return 0;
}

void thaw_save_cancel(struct thaw_save *save)
{
	if (save->temporary[0])
		unlinkat(save->directory_fd, save->temporary, 0);
	save->temporary[0] = '\0';
	if (save->fd >= 0)
		close(thaw_take_fd(&save->fd));
}

int thaw_image_save(int directory_fd, const char *file_name,
		    const struct thaw_image_content *content, unsigned threads,
		    void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		    struct thaw_image_sizes *sizes, struct thaw_error *err)
{
	__attribute__((cleanup(thaw_save_cancel))) struct thaw_save save = THAW_SAVE_INIT;

	if (thaw_save_begin(directory_fd, &save, err) < 0 ||
	    thaw_image_write(save.fd, content, threads, progress, context, sizes, err) < 0)
		return -1;
	return thaw_save_commit(&save, file_name, err);
}
