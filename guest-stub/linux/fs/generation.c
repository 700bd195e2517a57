/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/thaw/generation: announces a thaw to libraries that listen. Its counter is 0 at boot and another
 * number in each invocation. It can be read, as a line of decimal digits; waited for; and mapped, as
 * the page of VMGenID, whose first eight bytes are the counter.
 */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/poll.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/host.h"

#define DEVICE	  (10u << 8 | 250) /* a miscellaneous device; the number is of no driver */
#define LINE_SIZE 24u		   /* of a 64-bit number with its newline */

/* Data of an open file: the generation that a read told, and the one that was an edge to those who
 * wait. */
struct listener {
	uint64_t told, announced;
};

static long generation_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	struct listener *listener = file->data;
	char line[LINE_SIZE];
	uint64_t size;

	/* A reader that came to the end of an earlier number's line gets the new one's whole. */
	if (listener->told != host_generation() && position == &file->position)
		*position = 0;
	listener->told = host_generation();
	size = (uint64_t)snprintf(line, sizeof(line), "%lu\n", (unsigned long)listener->told);
	if ((uint64_t)*position >= size)
		return 0;
	if (length > size - (uint64_t)*position)
		length = size - (uint64_t)*position;
	memcpy(buffer, line + *position, length);
	*position += (int64_t)length;
	return (long)length;
}

static long generation_fill(struct file *file, void *buffer, size_t length, int64_t *position)
{
	const uint64_t generation = host_generation();

	(void)file;
	memset(buffer, 0, length);
	if (*position == 0 && length >= sizeof(generation))
		memcpy(buffer, &generation, sizeof(generation));
	*position += (int64_t)length;
	return (long)length;
}

static unsigned generation_poll(struct file *file)
{
	const struct listener *listener = file->data;

	return listener->told != host_generation() ? POLLIN | POLLRDNORM : 0;
}

static void generation_notice(struct file *file)
{
	struct listener *listener = file->data;

	if (listener->announced == host_generation())
		return;
	listener->announced = host_generation();
	file_wake(file, POLLIN | POLLRDNORM);
}

static int64_t generation_seek(struct file *file, int64_t offset, int whence)
{
	int64_t base = whence == 1 ? file->position : 0;

	if (whence < 0 || whence > 1 || __builtin_add_overflow(base, offset, &base) || base < 0)
		return -EINVAL;
	return file->position = base;
}

static int generation_stat(struct file *file, struct stat *out)
{
	(void)file;
	*out = (struct stat){
		.st_dev = FS_DEVICE,
		.st_ino = (uint64_t)THAW_TREE_NODES_MAX * 16 + DEVICE,
		.st_nlink = 1,
		.st_mode = S_IFCHR | 0444,
		.st_rdev = DEVICE,
		.st_blksize = THAW_PAGE_SIZE,
	};
	return 0;
}

static void generation_release(struct file *file)
{
	free(file->data);
}

static const struct file_operations generation_operations = {
	.read = generation_read,
	.fill = generation_fill,
	.seek = generation_seek,
	.poll = generation_poll,
	.notice = generation_notice,
	.stat = generation_stat,
	.release = generation_release,
	.mappable = true,
};

static int generation_open(const struct special *special, unsigned flags, struct file **out)
{
	struct listener *listener;

	(void)special;
	if (flags & O_ACCMODE)
		return -EACCES;
	listener = malloc(sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->told = listener->announced = host_generation();
	*out = file_new(&generation_operations, flags, listener);
	if (*out)
		return 0;
	free(listener);
	return -ENOMEM;
}

void generation_init(void)
{
	static const struct special special = {.open = generation_open, .device = DEVICE};

	fs_make_directory("/dev/thaw", 0755, NULL);
	fs_make_special("/dev/thaw/generation", S_IFCHR | 0444, &special);
}
