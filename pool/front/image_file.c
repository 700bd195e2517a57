/* SPDX-License-Identifier: Apache-2.0 */
/* The files of images in the state directory. The front opens them and never looks into them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pool/common/paths.h"
#include "pool/front/internal.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/name.h"

bool thaw_image_file_name(const char *file, char out[THAW_NAME_MAX + 1])
{
	size_t length = strlen(file), suffix = strlen(THAW_IMAGE_SUFFIX);

	if (length <= suffix || length - suffix > THAW_NAME_MAX ||
	    strcmp(file + length - suffix, THAW_IMAGE_SUFFIX) != 0)
		return false;
	memcpy(out, file, length - suffix);
	out[length - suffix] = '\0';
	return thaw_name_valid(out);
}

bool thaw_identity_equal(const struct thaw_identity *a, const struct thaw_identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

int thaw_image_file_open(int state_fd, const char *name, int *fd, struct thaw_identity *identity,
			 struct thaw_error *err)
{
	char file[THAW_NAME_MAX + sizeof(THAW_IMAGE_SUFFIX)];
	thaw_autoclose int opened = -1;
	struct stat st;

	strcpy(stpcpy(file, name), THAW_IMAGE_SUFFIX);
	/* O_NONBLOCK: the file may be a pipe, and opening that would wait for its writer. */
	opened = openat(state_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (opened < 0 && errno == ENOENT)
		return thaw_fail(err, THAW_ERR_NOT_FOUND, "%s does not exist", file);
	if (opened < 0 && (errno == ELOOP || errno == EACCES || errno == ENXIO))
		return thaw_fail_errno(err, THAW_ERR_IMAGE, errno, "%s cannot be opened", file);
	if (opened < 0 || fstat(opened, &st) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "%s", file);
	if (!S_ISREG(st.st_mode))
		return thaw_fail(err, THAW_ERR_IMAGE, "%s is not a regular file", file);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "%s belongs to user %u and not to the daemon's user: change its "
				 "owner with chown",
				 file, st.st_uid);
	*identity = (struct thaw_identity){.device = st.st_dev,
					   .inode = st.st_ino,
					   .size = st.st_size,
					   .modified = st.st_mtim};
	*fd = thaw_take_fd(&opened);
	return 0;
}

DIR *thaw_list_directory(int directory_fd)
{
	thaw_autoclose int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	/* From here on the descriptor is the listing's. */
	if (directory)
		thaw_take_fd(&fd);
	return directory;
}
