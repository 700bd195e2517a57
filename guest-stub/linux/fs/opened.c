/* SPDX-License-Identifier: Apache-2.0 */
/* Open regular files and directories, and the names that they keep. */
#include <asm/ioctls.h>
#include <asm/stat.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/files.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"

#define SEEK_SET_  0
#define SEEK_CUR_  1
#define SEEK_END_  2
#define SEEK_DATA_ 3
#define SEEK_HOLE_ 4

/* ---- Regular files: data is the inode ---- */

static long file_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	long got = content_read(file->data, buffer, length, *position);

	if (got > 0)
		*position += got;
	return got;
}

static long file_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	struct inode *inode = file->data;
	long put;

	if (file->flags & O_APPEND)
		*position = (int64_t)inode->file.size;
	put = content_write(inode, buffer, length, *position);
	if (put > 0)
		*position += put;
	return put;
}

static int64_t seek_to(struct file *file, int64_t offset, int whence, int64_t end)
{
	int64_t base = 0;

	switch (whence) {
	case SEEK_SET_:
		break;
	case SEEK_CUR_:
		base = file->position;
		break;
	case SEEK_END_:
		base = end;
		break;
	case SEEK_DATA_: /* all of it is data */
	case SEEK_HOLE_:
		if (offset < 0 || offset >= end)
			return -ENXIO;
		base = whence == SEEK_HOLE_ ? end - offset : 0;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, offset, &base))
		return -EOVERFLOW;
	if (base < 0)
		return -EINVAL;
	file->position = base;
	return base;
}

static int64_t file_seek(struct file *file, int64_t offset, int whence)
{
	const struct inode *inode = file->data;

	return seek_to(file, offset, whence, (int64_t)inode->file.size);
}

static int inode_stat(struct file *file, struct stat *out)
{
	struct inode *inode = file->data;

	place_stat((struct place){inode, inode->node}, out);
	return 0;
}

static int file_truncate(struct file *file, int64_t length)
{
	return content_resize(file->data, length);
}

static long file_ioctl(struct file *file, uint64_t request, uint64_t argument)
{
	const struct inode *inode = file->data;
	int64_t left = (int64_t)inode->file.size - file->position;
	int count = left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;

	return request == FIONREAD ? user_put(argument, &count, sizeof(count)) : -ENOTTY;
}

static struct home *file_home(struct file *file)
{
	return content_home(file->data);
}

static void inode_release(struct file *file)
{
	inode_drop(file->data);
}

static const struct file_operations file_operations = {
	.read = file_read,
	.write = file_write,
	.seek = file_seek,
	.stat = inode_stat,
	.truncate = file_truncate,
	.ioctl = file_ioctl,
	.release = inode_release,
	.home = file_home,
	.mappable = true,
};

/* ---- O_PATH ---- */

static const struct file_operations path_operations = {
	.stat = inode_stat,
	.release = inode_release,
};

/* ---- Directories ---- */

/* An entry of a directory. The first read lists all of them, so that a program may add and remove
 * names while it reads. */
struct listed {
	uint64_t number;
	uint8_t type;
	uint8_t length;
	char name[];
};

struct directory {
	struct inode *inode;
	uint8_t *list; /* of struct listed; NULL before the first read */
	size_t used, room;
	size_t at; /* of the next entry in the list */
};

struct directory_entry { /* the kernel's */
	uint64_t number;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
} __attribute__((packed));
#define ENTRY_NAME 19u
_Static_assert(offsetof(struct directory_entry, name) == ENTRY_NAME, "layout");

static size_t listed_size(size_t length)
{
	return (sizeof(struct listed) + length + 1 + 7) & ~(size_t)7;
}

static bool list_add(struct directory *directory, const char *name, size_t length, uint64_t number,
		     uint32_t mode)
{
	size_t size = listed_size(length);
	struct listed *listed;

	if (directory->room - directory->used < size) {
		size_t room = directory->room ? 2 * directory->room : 1024;
		void *grown = realloc(directory->list, room);

		if (!grown)
			return false;
		directory->list = grown;
		directory->room = room;
	}
	listed = (struct listed *)(void *)(directory->list + directory->used);
	listed->number = number;
	listed->type = (uint8_t)((mode & S_IFMT) >> 12);
	listed->length = (uint8_t)length;
	memcpy(listed->name, name, length);
	listed->name[length] = '\0';
	directory->used += size;
	return true;
}

static bool list_place(struct directory *directory, const char *name, size_t length,
		       struct place place)
{
	uint64_t number = place.inode ? place.inode->number : place.node + 1;

	return list_add(directory, name, length, number, place_mode(place));
}

static bool list_descriptors(struct directory *directory, uint32_t mode)
{
	char name[16];

	for (int fd = 0; fd < FILES_MAX; fd++) {
		struct file *file = file_get(fd);
		bool added = true;

		if (!file)
			continue;
		added = list_add(directory, name, (size_t)snprintf(name, sizeof(name), "%d", fd),
				 (uint64_t)fd + 1, mode);
		file_drop(file);
		if (!added)
			return false;
	}
	return true;
}

static int list(struct directory *directory)
{
	struct inode *inode = directory->inode;
	const struct place self = {inode, inode->node};
	struct directory_name name;
	uint32_t tree_at = 0, own_at = 0;
	bool added = list_place(directory, ".", 1, self) &&
		     list_place(directory, "..", 2, directory_parent(self));

	if (inode->special == &proc_fd_directory || inode->special == &proc_fdinfo_directory)
		added = added &&
			list_descriptors(directory,
					 inode->special == &proc_fd_directory ? S_IFLNK : S_IFREG);
	while (added && directory_next(inode, &tree_at, &own_at, &name))
		added = list_place(directory, name.name, name.length, name.place);
	if (added)
		return 0;
	free(directory->list);
	directory->list = NULL;
	directory->used = directory->room = 0;
	return -ENOMEM;
}

static long directory_entries(struct file *file, void *buffer, size_t length)
{
	struct directory *directory = file->data;
	size_t done = 0;

	if (!directory->list) {
		int error = list(directory);

		if (error)
			return error;
		sought_listed((struct place){directory->inode, directory->inode->node});
	}
	while (directory->at < directory->used) {
		const struct listed *listed =
			(const struct listed *)(void *)(directory->list + directory->at);
		size_t size = (ENTRY_NAME + listed->length + 1u + 7) & ~(size_t)7;
		struct directory_entry *entry = (void *)((uint8_t *)buffer + done);

		if (size > length - done)
			return done ? (long)done : -EINVAL;
		directory->at += listed_size(listed->length);
		*entry = (struct directory_entry){listed->number, (int64_t)directory->at,
						  (uint16_t)size, listed->type};
		memset(entry->name, 0, size - ENTRY_NAME);
		memcpy(entry->name, listed->name, listed->length);
		done += size;
	}
	file->position = (int64_t)directory->at;
	return (long)done;
}

/* Seeks to the start, which lists the names anew, or to the offset that an entry gave for the
 * next. */
static int64_t directory_seek(struct file *file, int64_t offset, int whence)
{
	struct directory *directory = file->data;
	int64_t to = seek_to(file, offset, whence, (int64_t)directory->used);
	size_t at = 0;

	if (to < 0)
		return to;
	if (to == 0) {
		free(directory->list);
		directory->list = NULL;
		directory->used = directory->room = 0;
	}
	/* An offset between two entries becomes that of the next. */
	while (at < directory->used && at < (size_t)to)
		at += listed_size(((const struct listed *)(void *)(directory->list + at))->length);
	directory->at = at;
	return to;
}

static int directory_stat(struct file *file, struct stat *out)
{
	struct inode *inode = ((struct directory *)file->data)->inode;

	place_stat((struct place){inode, inode->node}, out);
	return 0;
}

static long directory_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)buffer, (void)length, (void)position;
	return -EISDIR;
}

static void directory_release(struct file *file)
{
	struct directory *directory = file->data;

	inode_drop(directory->inode);
	free(directory->list);
	free(directory);
}

static const struct file_operations directory_operations = {
	.read = directory_read,
	.seek = directory_seek,
	.stat = directory_stat,
	.entries = directory_entries,
	.release = directory_release,
};

/* ---- Opening ---- */

struct inode *file_inode(const struct file *file)
{
	if (file->operations == &directory_operations)
		return ((const struct directory *)file->data)->inode;
	if (file->operations == &file_operations || file->operations == &path_operations)
		return file->data;
	return NULL;
}

static int open_directory(struct inode *inode, unsigned flags, struct file **out)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -ENOMEM;
	directory->inode = inode;
	*out = file_new(&directory_operations, flags, directory);
	if (!*out) {
		free(directory);
		return -ENOMEM;
	}
	inode_hold(inode);
	return 0;
}

static int open_inode(const struct file_operations *operations, struct inode *inode, unsigned flags,
		      struct file **out)
{
	*out = file_new(operations, flags, inode);
	if (!*out)
		return -ENOMEM;
	inode_hold(inode);
	return 0;
}

/* The paths of opened files. Mappings keep them, so they are never freed, and each is kept once. */
struct path {
	struct path *next;
	char text[];
};

static const char *keep(const char *text, size_t length)
{
	static struct path *paths[64];
	struct path **bucket, *path;
	uint32_t hash = 0;

	for (size_t i = 0; i < length; i++)
		hash = hash * 31 + (uint8_t)text[i];
	bucket = &paths[hash % 64];
	for (path = *bucket; path; path = path->next)
		if (strcmp(path->text, text) == 0)
			return path->text;
	path = malloc(sizeof(*path) + length + 1);
	if (!path)
		return NULL;
	memcpy(path->text, text, length + 1);
	path->next = *bucket;
	*bucket = path;
	return path->text;
}

/* The path of NAME in DIRECTORY, kept; NULL when it has none, or memory is out. */
static const char *path_of(struct place directory, const char *name, size_t length)
{
	char *buffer = malloc(FS_PATH_MAX + THAW_TREE_NAME_MAX + 2);
	const char *path = NULL;
	long used;

	if (!buffer)
		return NULL;
	used = directory_path(directory, buffer, FS_PATH_MAX);
	if (used >= 0) {
		if (used > 1 && length)
			buffer[used++] = '/';
		memcpy(buffer + used, name, length);
		buffer[used + (long)length] = '\0';
		path = keep(buffer, (size_t)used + length);
	}
	free(buffer);
	return path;
}

static void name_file(struct file *file, struct inode *inode, const struct found *found)
{
	if (!inode->path)
		inode->path = found->name ? path_of(found->parent, found->name, found->length)
			      : S_ISDIR(inode->mode)
				      ? path_of((struct place){inode, inode->node}, "", 0)
				      : NULL;
	file->path = inode->path;
}

int fs_open_found(const struct found *found, unsigned flags, struct file **out)
{
	struct inode *inode;
	int error;

	inode = inode_of(found->place);
	if (!inode)
		return -ENOMEM;
	if (flags & O_PATH)
		error = S_ISDIR(inode->mode) ? open_directory(inode, flags, out)
					     : open_inode(&path_operations, inode, flags, out);
	else if (S_ISDIR(inode->mode))
		error = open_directory(inode, flags, out);
	else if (inode->special)
		error = inode->special->open(inode->special, flags, out);
	else
		error = open_inode(&file_operations, inode, flags, out);
	if (!error && !(*out)->path)
		name_file(*out, inode, found);
	return error;
}

int file_anonymous(const char *name, struct file **out)
{
	struct inode *inode = inode_new(S_IFREG | 0777);
	char path[THAW_TREE_NAME_MAX + 32];
	int error;

	if (!inode)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s (deleted)", name);
	inode->path = keep(path, strlen(path));
	error = open_inode(&file_operations, inode, O_RDWR, out);
	if (error) {
		free(inode);
		return error;
	}
	(*out)->path = inode->path;
	return 0;
}
