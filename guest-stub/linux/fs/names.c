/* SPDX-License-Identifier: Apache-2.0 */
/* Making, removing, moving and linking names; the current directory. */
#include "guest-stub/linux/calls_declared.h"

#include <linux/fcntl.h>
#include <linux/fs.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/user.h"

/* 0 if the program may change the names in DIRECTORY; otherwise why not. */
static int may_change(struct place directory)
{
	if (directory.inode && directory.inode->special)
		return -EPERM;
	if (directory.inode && !directory.inode->links && directory.node != 0)
		return -ENOENT; /* the directory was removed */
	return place_may(directory, 3) ? 0 : -EACCES;
}

/* The same for removing FOUND. In a directory like /tmp only the owner of a file, or of the
 * directory, may. */
static int may_remove(const struct found *found)
{
	uint32_t owner, above, group;
	int error = may_change(found->parent);

	if (error || config.uid == 0 || !(place_mode(found->parent) & S_ISVTX))
		return error;
	place_owner(found->place, &owner, &group);
	place_owner(found->parent, &above, &group);
	return owner == config.uid || above == config.uid ? 0 : -EPERM;
}

/* ---- Making ---- */

static long make_at(int fd, uint64_t address, uint32_t mode, const char *target)
{
	char path[FS_PATH_MAX], *copy = NULL;
	struct found found;
	struct inode *inode;
	int error = fs_user_walk(fd, address, FS_PARENT, path, &found);

	if (!error && found.exists)
		error = -EEXIST;
	if (!error && found.slash && !S_ISDIR(mode))
		error = -ENOENT;
	if (!error)
		error = may_change(found.parent);
	if (!error && target) {
		copy = malloc(strlen(target) + 1);
		if (copy)
			memcpy(copy, target, strlen(target) + 1);
		else
			error = -ENOSPC;
	}
	if (!error)
		error = fs_create(&found, mode, &inode);
	if (!error && copy)
		inode->target = copy;
	else
		free(copy);
	fs_found_done(&found);
	return error;
}

static uint32_t masked(uint64_t mode, uint32_t kind)
{
	return kind | ((uint32_t)mode & 07777 & ~fs_umask);
}

long sys_mkdir(const uint64_t *a)
{
	return make_at(AT_FDCWD, a[0], masked(a[1], S_IFDIR), NULL);
}

long sys_mkdirat(const uint64_t *a)
{
	return make_at((int)a[0], a[1], masked(a[2], S_IFDIR), NULL);
}

static long make_node(int fd, uint64_t address, uint32_t mode)
{
	if ((mode & S_IFMT) != 0 && !S_ISREG(mode)) {
		log_once(LOG_KEY_MKNOD,
			 "refused: mknod: devices, pipes and sockets with names (EPERM)");
		return -EPERM;
	}
	return make_at(fd, address, masked(mode, S_IFREG), NULL);
}

long sys_mknod(const uint64_t *a)
{
	return make_node(AT_FDCWD, a[0], (uint32_t)a[1]);
}

long sys_mknodat(const uint64_t *a)
{
	return make_node((int)a[0], a[1], (uint32_t)a[2]);
}

static long make_link_to(uint64_t target_address, int fd, uint64_t address)
{
	char target[FS_PATH_MAX];
	long length = user_string(target, target_address, sizeof(target));

	if (length <= 0)
		return length ? length : -ENOENT;
	return make_at(fd, address, S_IFLNK | 0777, target);
}

long sys_symlink(const uint64_t *a)
{
	return make_link_to(a[0], AT_FDCWD, a[1]);
}

long sys_symlinkat(const uint64_t *a)
{
	return make_link_to(a[0], (int)a[1], a[2]);
}

static int link_found(const struct found *from, const struct found *to)
{
	struct inode *inode, *parent;
	int error;

	if (to->exists)
		return -EEXIST;
	if (to->slash)
		return -ENOENT;
	/* A pipe or a device has no inode that could get a name. */
	if (!from->place.inode && from->file)
		return -EXDEV;
	error = may_change(to->parent);
	if (error)
		return error;
	if (S_ISDIR(place_mode(from->place)))
		return -EPERM;
	inode = inode_of(from->place);
	parent = inode_of(to->parent);
	if (!inode || !parent)
		return -ENOSPC;
	return directory_add(parent, to->name, to->length, inode);
}

static long link_at(int from_fd, uint64_t from, int to_fd, uint64_t to, uint64_t flags)
{
	char from_path[FS_PATH_MAX], to_path[FS_PATH_MAX];
	struct found from_found, to_found = {0};
	int error;

	if (flags & ~(uint64_t)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	error = fs_user_find(from_fd, from,
			     (flags & AT_SYMLINK_FOLLOW ? FS_FOLLOW : 0) |
				     (flags & AT_EMPTY_PATH ? FS_EMPTY : 0),
			     from_path, &from_found);
	if (!error)
		error = fs_user_walk(to_fd, to, FS_PARENT, to_path, &to_found);
	if (!error)
		error = link_found(&from_found, &to_found);
	fs_found_done(&from_found);
	fs_found_done(&to_found);
	return error;
}

long sys_link(const uint64_t *a)
{
	return link_at(AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

long sys_linkat(const uint64_t *a)
{
	return link_at((int)a[0], a[1], (int)a[2], a[3], a[4]);
}

/* ---- Removing ---- */

/* Removes the name, and the file if that was its last link. */
static int take_away(const struct found *found)
{
	struct inode *parent = inode_of(found->parent), *inode = inode_of(found->place);
	int error;

	if (!parent || !inode)
		return -ENOSPC;
	error = directory_remove(parent, found->name, found->length);
	if (error)
		return error;
	inode->links--;
	/* The removed directory may stay open longer than its parent exists. */
	if (S_ISDIR(inode->mode))
		inode->directory.parent = NULL;
	inode->changed = fs_now();
	inode_settle(inode);
	return 0;
}

static int remove_found(const struct found *found, bool directory)
{
	static const int errors[] = {
		[FS_ROOT] = -EBUSY, [FS_DOT] = -EINVAL, [FS_DOT_DOT] = -ENOTEMPTY};
	bool is_directory;
	int error;

	if (found->last != FS_NAME)
		return directory ? errors[found->last] : -EISDIR;
	if (!found->exists)
		return -ENOENT;
	is_directory = S_ISDIR(place_mode(found->place));
	if (!directory && found->slash)
		return is_directory ? -EISDIR : -ENOTDIR;
	error = may_remove(found);
	if (error)
		return error;
	if (directory && !is_directory)
		return -ENOTDIR;
	if (!directory && is_directory)
		return -EISDIR;
	if (directory && found->place.inode && found->place.inode->special)
		return -EPERM;
	if (directory && !directory_is_empty(found->place))
		return -ENOTEMPTY;
	return take_away(found);
}

static long remove_at(int fd, uint64_t address, bool directory)
{
	char path[FS_PATH_MAX];
	struct found found;
	int error = fs_user_walk(fd, address, FS_PARENT, path, &found);

	if (!error)
		error = found.file ? -EPERM : remove_found(&found, directory);
	fs_found_done(&found);
	return error;
}

long sys_unlink(const uint64_t *a)
{
	return remove_at(AT_FDCWD, a[0], false);
}

long sys_rmdir(const uint64_t *a)
{
	return remove_at(AT_FDCWD, a[0], true);
}

long sys_unlinkat(const uint64_t *a)
{
	if (a[2] & ~(uint64_t)AT_REMOVEDIR)
		return -EINVAL;
	return remove_at((int)a[0], a[1], a[2] & AT_REMOVEDIR);
}

/* ---- Moving ---- */

/* Whether DIRECTORY is BELOW itself or an ancestor of it. */
static bool is_above(struct place directory, struct place below)
{
	for (;;) {
		struct place parent = directory_parent(below);

		if (place_same(directory, below))
			return true;
		if (place_same(parent, below))
			return false;
		below = parent;
	}
}

static int check_target(const struct found *from, const struct found *to, uint64_t flags)
{
	bool from_directory = S_ISDIR(place_mode(from->place)), to_directory;
	int error;

	if (to->exists && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if ((from->slash || to->slash) && !from_directory)
		return -ENOTDIR;
	if (from_directory && is_above(from->place, to->parent))
		return -EINVAL;
	/* The target contains the source, so it is not empty. */
	if (to->exists && is_above(to->place, from->parent))
		return -ENOTEMPTY;
	if (to->exists && place_same(from->place, to->place))
		return 0;
	error = may_change(to->parent);
	if (error || !to->exists)
		return error;
	to_directory = S_ISDIR(place_mode(to->place));
	if (from_directory && !to_directory)
		return -ENOTDIR;
	if (!from_directory && to_directory)
		return -EISDIR;
	if (to_directory && !directory_is_empty(to->place))
		return -ENOTEMPTY;
	return may_remove(to);
}

static int rename_found(struct found *from, struct found *to, uint64_t flags)
{
	struct inode *inode, *from_parent, *to_parent;
	int error;

	if (from->last != FS_NAME || to->last != FS_NAME)
		return -EBUSY;
	if (!from->exists)
		return -ENOENT;
	error = check_target(from, to, flags);
	if (!error)
		error = may_remove(from);
	if (error || (to->exists && place_same(from->place, to->place)))
		return error;
	inode = inode_of(from->place);
	from_parent = inode_of(from->parent);
	to_parent = inode_of(to->parent);
	if (!inode || !from_parent || !to_parent)
		return -ENOSPC;
	if (to->exists) {
		error = take_away(to);
		if (error)
			return error;
	}
	error = directory_add(to_parent, to->name, to->length, inode);
	if (error)
		return error;
	/* The old name exists, so only the memory to hide it can be missing. Then the file has two
	 * names. */
	error = directory_remove(from_parent, from->name, from->length);
	if (!error)
		inode->links--;
	inode->changed = fs_now();
	return error;
}

static long rename_at(int from_fd, uint64_t from, int to_fd, uint64_t to, uint64_t flags)
{
	char from_path[FS_PATH_MAX], to_path[FS_PATH_MAX];
	struct found from_found, to_found = {0};
	int error;

	if (flags & ~(uint64_t)RENAME_NOREPLACE)
		return -EINVAL;
	error = fs_user_walk(from_fd, from, FS_PARENT, from_path, &from_found);
	if (!error)
		error = fs_user_walk(to_fd, to, FS_PARENT, to_path, &to_found);
	if (!error)
		error = from_found.file || to_found.file
				? -EPERM
				: rename_found(&from_found, &to_found, flags);
	fs_found_done(&from_found);
	fs_found_done(&to_found);
	return error;
}

long sys_rename(const uint64_t *a)
{
	return rename_at(AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

long sys_renameat(const uint64_t *a)
{
	return rename_at((int)a[0], a[1], (int)a[2], a[3], 0);
}

long sys_renameat2(const uint64_t *a)
{
	return rename_at((int)a[0], a[1], (int)a[2], a[3], a[4]);
}

/* ---- The current directory ---- */

static int change_to(struct place place)
{
	struct inode *inode;

	if (!S_ISDIR(place_mode(place)))
		return -ENOTDIR;
	if (!place_may(place, 1))
		return -EACCES;
	inode = inode_of(place);
	if (!inode)
		return -ENOMEM;
	inode_hold(inode);
	if (fs_cwd)
		inode_drop(fs_cwd);
	fs_cwd = inode;
	return 0;
}

long sys_chdir(const uint64_t *a)
{
	char path[FS_PATH_MAX];
	struct found found;
	int error = fs_user_find(AT_FDCWD, a[0], FS_FOLLOW | FS_DIRECTORY, path, &found);

	if (!error)
		error = found.file && !found.place.inode ? -ENOTDIR : change_to(found.place);
	fs_found_done(&found);
	return error;
}

long sys_fchdir(const uint64_t *a)
{
	struct file *file = file_get((int)a[0]);
	struct inode *inode = file ? file_inode(file) : NULL;
	int error;

	if (!file)
		return -EBADF;
	error = inode ? change_to((struct place){inode, inode->node}) : -ENOTDIR;
	file_drop(file);
	return error;
}

long sys_getcwd(const uint64_t *a)
{
	char path[FS_PATH_MAX];
	long length = directory_path((struct place){fs_cwd, fs_cwd->node}, path, sizeof(path));
	int error;

	if (length < 0)
		return length;
	if (a[1] < (uint64_t)length + 1)
		return -ERANGE;
	error = user_put(a[0], path, (size_t)length + 1);
	return error ? error : length + 1;
}
