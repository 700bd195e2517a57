/* SPDX-License-Identifier: Apache-2.0 */
/* Walks paths; see fs.h. */
#include "guest-stub/linux/linux.h"

#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"

struct inode *fs_cwd;
uint32_t fs_umask = 022;

struct walk {
	struct place at;
	unsigned flags;
	int links;
	struct found *out;
};

static struct place root(void)
{
	return place_of(0);
}

/* The path leads to the directory at which it has arrived. */
static void found_itself(struct walk *walk, enum fs_last last)
{
	walk->out->last = last;
	walk->out->parent = walk->at;
	walk->out->name = NULL;
	walk->out->length = 0;
	walk->out->exists = true;
	walk->out->place = walk->at;
}

static int descriptor_number(const char *name, size_t length)
{
	int fd = 0;

	if (length == 0 || length > 4 || (length > 1 && name[0] == '0'))
		return -1;
	for (size_t i = 0; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		fd = 10 * fd + (name[i] - '0');
	}
	return fd;
}

/* /proc/self/fd/N leads to an open file, even if its name has changed or gone. */
static int walk_descriptor(struct walk *walk, const char *name, size_t length, bool last)
{
	int fd = descriptor_number(name, length);
	struct file *file = fd < 0 ? NULL : file_get(fd);
	struct inode *inode = file ? file_inode(file) : NULL;

	if (!file)
		return -ENOENT;
	walk->out->parent = walk->at;
	walk->out->name = NULL;
	walk->out->exists = true;
	walk->out->file = file;
	if (inode)
		walk->out->place = walk->at = (struct place){inode, inode->node};
	if (last)
		return 0;
	walk->out->file = NULL;
	file_drop(file);
	return inode && S_ISDIR(inode->mode) ? 0 : -ENOTDIR;
}

/* /proc/self/fdinfo/N is a text about the open file. */
static int walk_descriptor_text(struct walk *walk, const char *name, size_t length, bool last)
{
	int error = proc_open_descriptor(descriptor_number(name, length), &walk->out->file);

	if (error)
		return error;
	walk->out->parent = walk->at;
	walk->out->name = NULL;
	walk->out->exists = true;
	if (last)
		return 0;
	file_drop(walk->out->file);
	walk->out->file = NULL;
	return -ENOTDIR;
}

static int walk_path(struct walk *walk, const char *path);

static int walk_link(struct walk *walk, struct place link)
{
	const unsigned flags = walk->flags;
	size_t length;
	const char *target = place_target(link, &length);
	int error;

	if (++walk->links > FS_LINKS_MAX)
		return -ELOOP;
	/* Links in the target are followed to their end. */
	walk->flags = (walk->flags | FS_FOLLOW) & ~(unsigned)FS_PARENT;
	error = walk_path(walk, target);
	walk->flags = flags;
	return error;
}

/* Walks one component, which is neither "." nor "..". */
static int walk_name(struct walk *walk, const char *name, size_t length, bool last, bool slash)
{
	struct place next = {0};
	int error;

	if (length > THAW_TREE_NAME_MAX)
		return -ENAMETOOLONG;
	if (walk->at.inode && walk->at.inode->special == &proc_fd_directory)
		return walk_descriptor(walk, name, length, last);
	if (walk->at.inode && walk->at.inode->special == &proc_fdinfo_directory)
		return walk_descriptor_text(walk, name, length, last);
	walk->out->last = FS_NAME;
	walk->out->exists = directory_find(walk->at, name, length, &next);
	if (!walk->out->exists || (last && !S_ISLNK(place_mode(next)))) {
		if (!last)
			return -ENOENT;
		walk->out->parent = walk->at;
		walk->out->name = name;
		walk->out->length = length;
		walk->out->place = next;
		walk->at = walk->out->exists ? next : walk->at;
		return 0;
	}
	if (!S_ISLNK(place_mode(next))) {
		walk->at = next;
		return 0;
	}
	if (last && (walk->flags & FS_PARENT || (!slash && !(walk->flags & FS_FOLLOW)))) {
		walk->out->parent = walk->at;
		walk->out->name = name;
		walk->out->length = length;
		walk->out->place = next;
		return 0;
	}
	error = walk_link(walk, next);
	if (error || last)
		return error;
	return walk->out->exists ? 0 : -ENOENT;
}

/* Walks PATH from walk->at, and leaves there where it arrives, and the last component in
 * walk->out. */
static int walk_path(struct walk *walk, const char *path)
{
	if (*path == '/') {
		walk->at = root();
		found_itself(walk, FS_ROOT);
	}
	for (;;) {
		const char *name;
		size_t length = 0;
		bool last, slash;
		int error = 0;

		while (*path == '/')
			path++;
		if (!*path)
			return 0;
		name = path;
		while (name[length] && name[length] != '/')
			length++;
		path += length;
		slash = *path == '/';
		while (*path == '/')
			path++;
		last = !*path;
		/* A file has no components, not even ".". */
		if (!S_ISDIR(place_mode(walk->at)))
			return -ENOTDIR;
		if (!place_may(walk->at, 1))
			return -EACCES;
		if (length == 1 && name[0] == '.') {
			found_itself(walk, FS_DOT);
		} else if (length == 2 && name[0] == '.' && name[1] == '.') {
			walk->at = directory_parent(walk->at);
			found_itself(walk, FS_DOT_DOT);
		} else {
			error = walk_name(walk, name, length, last, slash);
		}
		walk->out->slash = last && slash;
		if (error || last)
			return error;
	}
}

int fs_walk(struct place start, const char *path, unsigned flags, struct found *out)
{
	struct walk walk = {.at = start, .flags = flags, .out = out};
	int error;

	*out = (struct found){0};
	if (!*path)
		return -ENOENT;
	found_itself(&walk, FS_DOT);
	error = walk_path(&walk, path);
	if (!error && out->exists && !out->file && !(flags & FS_PARENT) &&
	    (out->slash || flags & FS_DIRECTORY) && !S_ISDIR(place_mode(out->place)))
		error = -ENOTDIR;
	if (error && out->file) {
		file_drop(out->file);
		out->file = NULL;
	}
	if (error == -ENOENT || (!error && !out->exists))
		sought_missing(start, path);
	return error;
}

/* Finds the open file FD itself. */
static int find_open(int fd, struct found *out)
{
	struct file *file = file_get(fd);
	struct inode *inode = file ? file_inode(file) : NULL;

	*out = (struct found){0};
	if (!file)
		return -EBADF;
	out->exists = true;
	if (inode)
		out->place = out->parent = (struct place){inode, inode->node};
	out->file = file;
	return 0;
}

static struct place cwd(void)
{
	return (struct place){fs_cwd, fs_cwd->node};
}

int fs_walk_at(int fd, const char *path, unsigned flags, struct found *out)
{
	struct file *file;
	struct inode *inode;
	int error;

	*out = (struct found){0};
	if (!*path && flags & FS_EMPTY && fd != AT_FDCWD)
		return find_open(fd, out);
	if (!*path && flags & FS_EMPTY)
		path = ".";
	if (*path == '/')
		return fs_walk(root(), path, flags, out);
	if (fd == AT_FDCWD)
		return fs_walk(cwd(), path, flags, out);
	file = file_get(fd);
	if (!file)
		return -EBADF;
	inode = file_inode(file);
	error = inode && S_ISDIR(inode->mode)
			? fs_walk((struct place){inode, inode->node}, path, flags, out)
			: -ENOTDIR;
	file_drop(file);
	return error;
}

int fs_find_at(int fd, const char *path, unsigned flags, struct found *out)
{
	int error = fs_walk_at(fd, path, flags, out);

	return error || out->exists ? error : -ENOENT;
}

int fs_user_walk(int fd, uint64_t address, unsigned flags, char *buffer, struct found *out)
{
	long length = user_string(buffer, address, FS_PATH_MAX);

	*out = (struct found){0};
	return length < 0 ? (int)length : fs_walk_at(fd, buffer, flags, out);
}

int fs_user_find(int fd, uint64_t address, unsigned flags, char *buffer, struct found *out)
{
	int error = fs_user_walk(fd, address, flags, buffer, out);

	return error || out->exists ? error : -ENOENT;
}

void fs_found_done(struct found *found)
{
	if (found->file)
		file_drop(found->file);
	found->file = NULL;
}
