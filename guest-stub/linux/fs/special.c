/* SPDX-License-Identifier: Apache-2.0 */
/* Devices, and files whose text is made when they are opened. */
#include <asm/stat.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/task/task.h"

#define DEVICE(major, minor) ((major) << 8 | (minor))

/* ---- Devices: data is the special ---- */

static long null_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)buffer, (void)length, (void)position;
	return 0;
}

static long zero_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)position;
	memset(buffer, 0, length);
	return (long)length;
}

static long random_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)position;
	draw_random(buffer, length, false);
	return (long)length;
}

static long null_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)buffer, (void)position;
	return (long)length;
}

static long full_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)buffer, (void)position;
	return length ? -ENOSPC : 0;
}

static int64_t null_seek(struct file *file, int64_t offset, int whence)
{
	(void)file, (void)offset, (void)whence;
	return 0;
}

static int device_stat(struct file *file, struct stat *out)
{
	const struct special *special = file->data;

	*out = (struct stat){
		.st_dev = FS_DEVICE,
		.st_ino = (uint64_t)THAW_TREE_NODES_MAX * 16 + special->device,
		.st_nlink = 1,
		.st_mode = S_IFCHR | 0666,
		.st_rdev = special->device,
		.st_blksize = THAW_PAGE_SIZE,
	};
	return 0;
}

static const struct file_operations null_operations = {
	.read = null_read, .write = null_write, .seek = null_seek, .stat = device_stat};
static const struct file_operations zero_operations = {.read = zero_read,
						       .write = null_write,
						       .seek = null_seek,
						       .stat = device_stat,
						       .mappable = true};
static const struct file_operations full_operations = {
	.read = zero_read, .write = full_write, .seek = null_seek, .stat = device_stat};
static const struct file_operations random_operations = {
	.read = random_read, .write = null_write, .seek = null_seek, .stat = device_stat};

static int device_open(const struct special *special, unsigned flags, struct file **out)
{
	if (!special->operations) {
		log_once(LOG_KEY_TERMINAL, "refused: open: no terminal (ENXIO)");
		return -ENXIO;
	}
	*out = file_new(special->operations, flags, (void *)(uintptr_t)special);
	return *out ? 0 : -ENOMEM;
}

static const struct {
	const char *path;
	struct special special;
} devices[] = {
	{"/dev/null", {device_open, &null_operations, NULL, DEVICE(1, 3)}},
	{"/dev/zero", {device_open, &zero_operations, NULL, DEVICE(1, 5)}},
	{"/dev/full", {device_open, &full_operations, NULL, DEVICE(1, 7)}},
	{"/dev/random", {device_open, &random_operations, NULL, DEVICE(1, 8)}},
	{"/dev/urandom", {device_open, &random_operations, NULL, DEVICE(1, 9)}},
	{"/dev/tty", {device_open, NULL, NULL, DEVICE(5, 0)}},
};

/* ---- Text ---- */

void text_put(struct text *text, const void *bytes, size_t length)
{
	if (text->room - text->length < length) {
		size_t room = 2 * text->room + length + 256;
		void *grown = realloc(text->bytes, room);

		if (!grown) {
			text->failed = true;
			return;
		}
		text->bytes = grown;
		text->room = room;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

void text_add(struct text *text, const char *format, ...)
{
	char piece[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(piece, sizeof(piece), format, arguments);
	va_end(arguments);
	if (length >= (int)sizeof(piece))
		length = (int)sizeof(piece) - 1;
	if (length > 0)
		text_put(text, piece, (size_t)length);
}

static long text_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	const struct text *text = file->data;
	uint64_t at = (uint64_t)*position;

	if (at >= text->length)
		return 0;
	if (length > text->length - at)
		length = text->length - at;
	memcpy(buffer, text->bytes + at, length);
	*position += (int64_t)length;
	return (long)length;
}

static int64_t text_seek(struct file *file, int64_t offset, int whence)
{
	const struct text *text = file->data;
	int64_t base = whence == 1 ? file->position : whence == 2 ? (int64_t)text->length : 0;

	if (whence < 0 || whence > 2 || __builtin_add_overflow(base, offset, &base) || base < 0)
		return -EINVAL;
	return file->position = base;
}

static int text_stat(struct file *file, struct stat *out)
{
	(void)file;
	*out = (struct stat){.st_dev = FS_DEVICE + 2,
			     .st_ino = 1,
			     .st_nlink = 1,
			     .st_mode = S_IFREG | 0444,
			     .st_blksize = 1024};
	return 0;
}

static void text_release(struct file *file)
{
	struct text *text = file->data;

	free(text->bytes);
	free(text);
}

static const struct file_operations text_operations = {
	.read = text_read, .seek = text_seek, .stat = text_stat, .release = text_release};

int fs_text_task;

int text_open(const struct special *special, unsigned flags, struct file **out)
{
	struct text *text;

	if (flags & O_ACCMODE)
		return -EACCES;
	text = calloc(1, sizeof(*text));
	if (!text)
		return -ENOMEM;
	fs_text_task = special->task ? special->task : LINUX_PID;
	special->text(text);
	*out = text->failed ? NULL : file_new(&text_operations, flags, text);
	if (*out)
		return 0;
	free(text->bytes);
	free(text);
	return -ENOMEM;
}

/* ---- Making them ---- */

void text_make_files(const struct text_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fs_make_special(files[i].path, S_IFREG | 0444, &files[i].special);
}

static void make(const char *path, uint32_t mode, const char *target, const struct special *special)
{
	struct found found;
	struct inode *inode = NULL;
	int error = fs_walk(place_of(0), path, 0, &found);

	if (!error && found.exists && S_ISDIR(mode) && S_ISDIR(place_mode(found.place))) {
		inode = special ? inode_of(found.place) : NULL;
		if (special && !inode)
			host_abort("no memory for %s", path);
		if (inode)
			inode->special = special;
		return;
	}
	/* In the tree, /dev/null can only be a regular file. */
	if (!error && found.exists)
		error = directory_remove(inode_of(found.parent), found.name, found.length);
	if (!error)
		error = fs_create(&found, mode, &inode);
	if (error)
		host_abort("%s cannot be made (error %d)", path, -error);
	inode->special = special;
	if (target)
		inode->target = target;
}

void fs_make_directory(const char *path, uint32_t mode, const struct special *special)
{
	make(path, S_IFDIR | mode, NULL, special);
}

void fs_make_link(const char *path, const char *target)
{
	char *copy = malloc(strlen(target) + 1);

	if (!copy)
		host_abort("no memory for %s", path);
	memcpy(copy, target, strlen(target) + 1);
	make(path, S_IFLNK | 0777, copy, NULL);
}

void fs_make_special(const char *path, uint32_t mode, const struct special *special)
{
	make(path, mode, NULL, special);
}

void special_init(void)
{
	fs_make_directory("/dev", 0755, NULL);
	fs_make_directory("/dev/shm", 01777, NULL);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		fs_make_special(devices[i].path, S_IFCHR | 0666, &devices[i].special);
	generation_init();
	fs_make_link("/dev/fd", "/proc/self/fd");
	fs_make_link("/dev/stdin", "/proc/self/fd/0");
	fs_make_link("/dev/stdout", "/proc/self/fd/1");
	fs_make_link("/dev/stderr", "/proc/self/fd/2");
}
