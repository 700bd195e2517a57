/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input, output and error, which look like pipes to the program. */
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/stat.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/idle.h"
#include "guest-stub/linux/task/ready.h"

/* The streams' inode numbers begin here. A tree has the same numbers, on another device. */
#define FIRST_NUMBER 3u

/* 0, or -EFAULT when other tasks took BUFFER away before the guest was frozen. */
static long await_request(const void *buffer, size_t length)
{
	if (host_is_ready())
		return 0;
	ready_point();
	return user_still_writable(buffer, length) ? 0 : -EFAULT;
}

static long input_look(struct file *file, void *buffer, size_t length)
{
	long error = await_request(buffer, length);

	(void)file;
	return error ? error : host_look(buffer, length);
}

static long input_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	long result = await_request(buffer, length);

	(void)position;
	if (result)
		return result;
	result = host_read(buffer, length);
	/* The request's end is an edge of its own, as when a pipe's writer closes after the reader
	 * has read all: a program that read less than it asked for waits for it. */
	if (result > 0 && !host_unread())
		file_wake(file, 0);
	return result;
}

static long output_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)position;
	return host_write(buffer, length);
}

static long error_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	(void)file, (void)position;
	host_error(buffer, length);
	return (long)length;
}

static int stream_stat(struct file *file, struct stat *out)
{
	*out = (struct stat){
		.st_dev = FS_DEVICE + 1,
		.st_ino = FIRST_NUMBER + (uint64_t)(uintptr_t)file->data,
		.st_nlink = 1,
		.st_mode = S_IFIFO | 0600,
		.st_uid = config.uid,
		.st_gid = config.gid,
		.st_blksize = THAW_PAGE_SIZE,
	};
	return 0;
}

/* Answers as a pipe whose writer has written the whole request and closed its end. */
static unsigned input_poll(struct file *file)
{
	(void)file;
	if (!host_is_ready())
		return 0;
	return host_unread() ? POLLIN | POLLRDNORM | POLLHUP : POLLHUP;
}

/* The request has come: the only edge that the program's own calls do not make. */
static void input_notice(struct file *file)
{
	if (file->noticed || !host_is_ready())
		return;
	file->noticed = true;
	file_wake(file, 0);
}

static bool input_awaits_request(const struct file *file)
{
	(void)file;
	return true;
}

static unsigned output_poll(struct file *file)
{
	(void)file;
	return POLLOUT | POLLWRNORM;
}

static long input_ioctl(struct file *file, uint64_t request, uint64_t argument)
{
	uint64_t unread;
	int count;

	(void)file;
	if (request != FIONREAD)
		return -ENOTTY;
	if (!host_is_ready())
		idle_look();
	unread = host_is_ready() ? host_unread() : 0;
	count = unread > INT32_MAX ? INT32_MAX : (int)unread;
	return user_put(argument, &count, sizeof(count));
}

static const struct file_operations input_operations = {
	.read = input_read,
	.look = input_look,
	.stat = stream_stat,
	.poll = input_poll,
	.ioctl = input_ioctl,
	.notice = input_notice,
	.awaits_request = input_awaits_request,
};

static const struct file_operations output_operations = {
	.write = output_write,
	.stat = stream_stat,
	.poll = output_poll,
};

static const struct file_operations error_operations = {
	.write = error_write,
	.stat = stream_stat,
	.poll = output_poll,
};

struct file *stream_new(int which)
{
	static const struct file_operations *const operations[] = {
		&input_operations, &output_operations, &error_operations};
	static const char *const paths[] = {"pipe:[3]", "pipe:[4]", "pipe:[5]"};
	struct file *file = file_new(operations[which], which == 0 ? O_RDONLY : O_WRONLY,
				     (void *)(uintptr_t)which);

	if (file)
		file->path = paths[which];
	return file;
}
