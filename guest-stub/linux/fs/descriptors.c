/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and the table of descriptors; see file.h. */
#include "guest-stub/linux/entry/calls_declared.h"

#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/fs/file.h"
#include "guest-stub/linux/fs/fs.h"

#define SETTABLE  (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)
#define PIPE_SIZE 65536
#define F_UNLCK_  2
#define KEPT_FLAGS                                                                                 \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_PATH | O_SYNC | O_DIRECT |            \
	 O_LARGEFILE | O_NOATIME)

static struct file *files[FILES_MAX];
static bool close_on_exec[FILES_MAX];
static int files_end; /* no descriptor from here on is open */

struct file *file_new(const struct file_operations *operations, uint32_t flags, void *data)
{
	struct file *file = malloc(sizeof(*file));

	if (!file)
		return NULL;
	*file = (struct file){.operations = operations,
			      .references = 1,
			      .flags = flags & KEPT_FLAGS,
			      .data = data};
	return file;
}

struct file *file_hold(struct file *file)
{
	file->references++;
	return file;
}

void file_drop(struct file *file)
{
	if (!file || --file->references)
		return;
	if (file->operations->release)
		file->operations->release(file);
	free(file);
}

struct file *file_get(int fd)
{
	if (fd < 0 || fd >= FILES_MAX || !files[fd])
		return NULL;
	return file_hold(files[fd]);
}

static void put(int fd, struct file *file, bool closes)
{
	files[fd] = file;
	close_on_exec[fd] = closes;
	if (fd >= files_end)
		files_end = fd + 1;
}

int file_install(struct file *file, bool closes, int from)
{
	for (int fd = from; fd < FILES_MAX; fd++)
		if (!files[fd]) {
			put(fd, file, closes);
			return fd;
		}
	file_drop(file);
	return -EMFILE;
}

static void close_one(int fd)
{
	struct file *file = files[fd];

	files[fd] = NULL;
	file_drop(file);
}

long sys_close(const uint64_t *a)
{
	unsigned fd = (unsigned)a[0];

	if (fd >= FILES_MAX || !files[fd])
		return -EBADF;
	close_one((int)fd);
	return 0;
}

long sys_close_range(const uint64_t *a)
{
	unsigned first = (unsigned)a[0], last = (unsigned)a[1], flags = (unsigned)a[2];

	if (first > last || flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))
		return -EINVAL;
	for (unsigned fd = first; fd <= last && fd < (unsigned)files_end; fd++) {
		if (!files[fd])
			continue;
		if (flags & CLOSE_RANGE_CLOEXEC)
			close_on_exec[fd] = true;
		else
			close_one((int)fd);
	}
	return 0;
}

/* ---- Duplicates ---- */

static long duplicate(int fd, bool closes, int from)
{
	struct file *file = file_get(fd);

	return file ? file_install(file, closes, from) : -EBADF;
}

static long duplicate_to(int from, int to, bool closes)
{
	struct file *file = file_get(from);

	if (!file)
		return -EBADF;
	if (to < 0 || to >= FILES_MAX) {
		file_drop(file);
		return -EBADF;
	}
	if (files[to])
		close_one(to);
	put(to, file, closes);
	return to;
}

long sys_dup(const uint64_t *a)
{
	return duplicate((int)a[0], false, 0);
}

long sys_dup2(const uint64_t *a)
{
	int from = (int)a[0], to = (int)a[1];

	if (from == to)
		return from >= 0 && from < FILES_MAX && files[from] ? to : -EBADF;
	return duplicate_to(from, to, false);
}

long sys_dup3(const uint64_t *a)
{
	if (a[2] & ~(uint64_t)O_CLOEXEC || (int)a[0] == (int)a[1])
		return -EINVAL;
	return duplicate_to((int)a[0], (int)a[1], a[2] & O_CLOEXEC);
}

/* ---- fcntl and ioctl ---- */

/* Nobody else could hold a lock. */
static long no_lock(uint64_t address)
{
	struct flock lock;
	int error = user_get(&lock, address, sizeof(lock));

	if (error)
		return error;
	lock.l_type = F_UNLCK_;
	return user_put(address, &lock, sizeof(lock));
}

static long set_flags(struct file *file, uint64_t flags)
{
	file->flags = (file->flags & ~(uint32_t)SETTABLE) | ((uint32_t)flags & SETTABLE);
	return 0;
}

static long control(int fd, struct file *file, unsigned command, uint64_t argument)
{
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if (argument >= FILES_MAX)
			return -EINVAL;
		return duplicate(fd, command == F_DUPFD_CLOEXEC, (int)argument);
	case F_GETFD:
		return close_on_exec[fd] ? FD_CLOEXEC : 0;
	case F_SETFD:
		close_on_exec[fd] = argument & FD_CLOEXEC;
		return 0;
	case F_GETFL:
		return (long)(file->flags | O_LARGEFILE);
	case F_SETFL:
		return set_flags(file, argument);
	case F_GETLK:
	case F_OFD_GETLK:
		return no_lock(argument);
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return user_readable(argument, sizeof(struct flock)) ? 0 : -EFAULT;
	case F_GETOWN:
	case F_SETOWN:
	case F_GETSIG:
	case F_SETSIG:
		return 0;
	case F_GETPIPE_SZ:
	case F_SETPIPE_SZ:
		return file->operations->seek ? -EBADF : PIPE_SIZE;
	default:
		return -EINVAL;
	}
}

long sys_fcntl(const uint64_t *a)
{
	struct file *file = file_get((int)a[0]);
	unsigned command = (unsigned)a[1];
	long result;

	if (!file)
		return -EBADF;
	if (file->flags & O_PATH && command != F_DUPFD && command != F_DUPFD_CLOEXEC &&
	    command != F_GETFD && command != F_SETFD && command != F_GETFL)
		result = -EBADF;
	else
		result = control((int)a[0], file, command, a[2]);
	file_drop(file);
	return result;
}

static long set_nonblock(struct file *file, uint64_t address)
{
	int on;
	int error = user_get(&on, address, sizeof(on));

	if (error)
		return error;
	file->flags = on ? file->flags | O_NONBLOCK : file->flags & ~(uint32_t)O_NONBLOCK;
	return 0;
}

long sys_ioctl(const uint64_t *a)
{
	struct file *file = file_get((int)a[0]);
	long result;

	if (!file)
		return -EBADF;
	switch ((unsigned)a[1]) {
	case FIOCLEX:
	case FIONCLEX:
		close_on_exec[(int)a[0]] = (unsigned)a[1] == FIOCLEX;
		result = 0;
		break;
	case FIONBIO:
		result = set_nonblock(file, a[2]);
		break;
	default:
		result = file->operations->ioctl
				 ? file->operations->ioctl(file, (unsigned)a[1], a[2])
				 : -ENOTTY;
	}
	file_drop(file);
	return result;
}

long sys_flock(const uint64_t *a)
{
	unsigned operation = (unsigned)a[1] & ~4u; /* LOCK_NB */
	int fd = (int)a[0];

	if (fd < 0 || fd >= FILES_MAX || !files[fd])
		return -EBADF;
	return operation == 1 || operation == 2 || operation == 8 ? 0 : -EINVAL;
}
