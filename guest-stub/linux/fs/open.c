/* SPDX-License-Identifier: Apache-2.0 */
/* open(2) and its family. */
#include "guest-stub/linux/calls_declared.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/openat2.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/files.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

#define O_TMPFILE_ (020000000 | O_DIRECTORY)
/* The flags that an open file keeps. */
#define KEPT_FLAGS                                                                                 \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_PATH | O_NOFOLLOW | O_SYNC |          \
	 O_DIRECT | O_LARGEFILE | O_NOATIME)

static unsigned wanted(unsigned flags)
{
	static const unsigned masks[] = {4, 2, 6, 6};

	return masks[flags & O_ACCMODE] | (flags & O_TRUNC ? 2 : 0);
}

static int create(const struct found *found, uint32_t mode, struct inode **out)
{
	struct inode *parent, *inode;
	int error;

	if (found->parent.inode && !found->parent.inode->links && found->parent.node != 0)
		return -ENOENT; /* the directory was removed */
	if (found->parent.inode && found->parent.inode->special && !ids_by_number)
		return -EACCES;
	if (!place_may(found->parent, 3))
		return -EACCES;
	parent = inode_of(found->parent);
	inode = parent ? inode_new(mode) : NULL;
	if (!inode)
		return -ENOSPC;
	error = directory_add(parent, found->name, found->length, inode);
	if (error) {
		free(inode);
		return error;
	}
	*out = inode;
	return 0;
}

int fs_create(const struct found *found, uint32_t mode, struct inode **out)
{
	return create(found, mode, out);
}

static int open_new(struct found *found, unsigned flags, uint32_t mode, struct file **out)
{
	struct inode *inode;
	int error;

	if (!(flags & O_CREAT))
		return -ENOENT;
	if (found->slash) /* a link's target ends with it */
		return -EISDIR;
	error = create(found, S_IFREG | (mode & 07777 & ~fs_umask), &inode);
	if (error)
		return error;
	found->place = (struct place){inode, FS_NO_NODE};
	return fs_open_found(found, flags, out);
}

static int check_old(const struct found *found, unsigned flags)
{
	uint32_t mode = place_mode(found->place);

	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (S_ISLNK(mode) && !(flags & O_PATH))
		return -ELOOP;
	if (flags & O_DIRECTORY && !S_ISDIR(mode))
		return -ENOTDIR;
	if (flags & O_PATH)
		return 0;
	if (S_ISDIR(mode) && (wanted(flags) & 2 || flags & O_CREAT))
		return -EISDIR;
	return place_may(found->place, wanted(flags)) ? 0 : -EACCES;
}

static int open_old(const struct found *found, unsigned flags, struct file **out)
{
	int error = check_old(found, flags);

	if (error)
		return error;
	if (!(flags & O_PATH) &&
	    sought_absent(found->place, found->parent, found->name, found->length))
		return -ENOENT;
	error = fs_open_found(found, flags, out);
	if (!error && flags & O_TRUNC && !(flags & O_PATH) && (*out)->operations->truncate)
		(*out)->operations->truncate(*out, 0);
	return error;
}

/* Opens /proc/self/fd/N: a file with an inode is opened anew, any other file is shared. */
static int open_again(struct found *found, unsigned flags, struct file **out)
{
	int error;

	if (!file_inode(found->file)) {
		*out = found->file;
		return 0;
	}
	error = open_old(found, flags, out);
	file_drop(found->file);
	return error;
}

/* Opens a file without a name, in the directory that was found. */
static int open_nameless(const struct found *found, unsigned flags, uint32_t mode,
			 struct file **out)
{
	struct file *file;
	int error;

	if (!S_ISDIR(place_mode(found->place)))
		return -ENOTDIR;
	if (!(flags & 3))
		return -EINVAL;
	if (!place_may(found->place, 3))
		return -EACCES;
	error = file_anonymous("/tmp/#", &file);
	if (error)
		return error;
	file_inode(file)->mode = S_IFREG | (mode & 07777 & ~fs_umask);
	file->flags = flags & KEPT_FLAGS;
	*out = file;
	return 0;
}

static int open_found(struct found *found, unsigned flags, uint32_t mode, struct file **out)
{
	if (found->file)
		return open_again(found, flags, out);
	if ((flags & O_TMPFILE_) == O_TMPFILE_)
		return found->exists ? open_nameless(found, flags, mode, out) : -ENOENT;
	return found->exists ? open_old(found, flags, out) : open_new(found, flags, mode, out);
}

static int open_at(int fd, const char *path, unsigned flags, uint32_t mode, struct file **out)
{
	bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	size_t length = strlen(path);
	struct found found;
	int error;

	/* O_CREAT refuses a path that ends with a slash, whether it exists or not. */
	if (flags & O_CREAT && length && path[length - 1] == '/') {
		error = fs_walk_at(fd, path, FS_PARENT, &found);
		fs_found_done(&found);
		return error ? error : -EISDIR;
	}
	error = fs_walk_at(fd, path, follow ? FS_FOLLOW : 0, &found);
	return error ? error : open_found(&found, flags, mode, out);
}

int file_open(const char *path, int flags, unsigned mode, struct file **out)
{
	return open_at(AT_FDCWD, path, (unsigned)flags, mode, out);
}

static long open_user(int fd, uint64_t address, unsigned flags, uint32_t mode)
{
	char path[FS_PATH_MAX];
	long length = user_string(path, address, sizeof(path));
	struct file *file;
	int error;

	if (length < 0)
		return length;
	error = open_at(fd, path, flags, mode, &file);
	if (error)
		return error;
	return file_install(file, flags & O_CLOEXEC, 0);
}

long sys_open(const uint64_t *a)
{
	return open_user(AT_FDCWD, a[0], (unsigned)a[1], (uint32_t)a[2]);
}

long sys_openat(const uint64_t *a)
{
	return open_user((int)a[0], a[1], (unsigned)a[2], (uint32_t)a[3]);
}

long sys_creat(const uint64_t *a)
{
	return open_user(AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a[1]);
}

/* openat2() refuses flags that open() ignores. */
#define OPEN2_FLAGS                                                                                \
	((uint64_t)(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |    \
		    O_SYNC | O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY |             \
		    O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | __O_TMPFILE))

long sys_openat2(const uint64_t *a)
{
	struct open_how how;
	int error;

	if (a[3] < sizeof(how))
		return -EINVAL;
	if (a[3] > sizeof(how))
		return -E2BIG;
	error = user_get(&how, a[2], sizeof(how));
	if (error)
		return error;
	if (how.resolve || how.flags & ~OPEN2_FLAGS || how.mode & ~(uint64_t)07777 ||
	    (how.mode && !(how.flags & (O_CREAT | __O_TMPFILE))))
		return -EINVAL;
	return open_user((int)a[0], a[1], (unsigned)how.flags, (uint32_t)how.mode);
}

long sys_memfd_create(const uint64_t *a)
{
	char name[256], path[sizeof(name) + 8];
	long length = user_string(name, a[0], sizeof(name) - 6);
	struct file *file;
	int error;

	if (length < 0)
		return length == -EFAULT ? length : -EINVAL;
	if (a[1] & ~UINT64_C(0x1f))
		return -EINVAL;
	snprintf(path, sizeof(path), "/memfd:%s", name);
	error = file_anonymous(path, &file);
	if (!error) {
		struct inode *inode = file_inode(file);

		inode->file.home.seals = SHARED_SEALABLE;
		if (!(a[1] & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)))
			inode->file.home.seals |= SEAL_SEAL;
		if (a[1] & MFD_NOEXEC_SEAL) {
			inode->file.home.seals |= SEAL_EXEC;
			inode->mode &= ~0111u;
		}
	}
	return error ? error : file_install(file, a[1] & 1, 0);
}
