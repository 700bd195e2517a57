/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls about descriptors: close, dup, fcntl, ioctl, flock. */
#include "guest-stub/linux/calls_declared.h"

#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"

#define SETTABLE  (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)
#define PIPE_SIZE 65536
#define F_UNLCK_  2
#define SEALS	  (SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE | SEAL_FUTURE | SEAL_EXEC)

long sys_close(const uint64_t *a)
{
	return file_close((int)a[0]);
}

long sys_close_range(const uint64_t *a)
{
	unsigned first = (unsigned)a[0], last = (unsigned)a[1], flags = (unsigned)a[2];

	if (first > last || flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))
		return -EINVAL;
	for (unsigned fd = first; fd <= last && fd < (unsigned)file_end(); fd++) {
		if (!file_is_open((int)fd))
			continue;
		if (flags & CLOSE_RANGE_CLOEXEC)
			file_set_close_on_exec((int)fd, true);
		else
			file_close((int)fd);
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
	if (to < 0 || to >= file_limit()) {
		file_drop(file);
		return -EBADF;
	}
	file_install_at(to, file, closes);
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
		return file_is_open(from) ? to : -EBADF;
	return duplicate_to(from, to, false);
}

long sys_dup3(const uint64_t *a)
{
	if (a[2] & ~(uint64_t)O_CLOEXEC || (int)a[0] == (int)a[1])
		return -EINVAL;
	return duplicate_to((int)a[0], (int)a[1], a[2] & O_CLOEXEC);
}

/* ---- fcntl and ioctl ---- */

/* No other process exists that could hold a lock. */
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

static long add_seals(struct file *file, uint64_t seals)
{
	struct inode *inode = file_inode(file);
	struct home *home = inode && S_ISREG(inode->mode) ? &inode->file.home : NULL;

	if ((file->flags & O_ACCMODE) == O_RDONLY)
		return -EPERM;
	if (!home || !(home->seals & SHARED_SEALABLE) || seals & ~(uint64_t)SEALS)
		return -EINVAL;
	if (home->seals & SEAL_SEAL)
		return -EPERM;
	if (seals & SEAL_EXEC && inode->mode & 0111)
		seals |= SEAL_SHRINK | SEAL_GROW | SEAL_WRITE | SEAL_FUTURE;
	if (seals & SEAL_WRITE && !(home->seals & SEAL_WRITE) && shared_may_write(home))
		return -EBUSY;
	home->seals |= (uint32_t)seals;
	return 0;
}

static long get_seals(const struct file *file)
{
	const struct inode *inode = file_inode(file);

	if (!inode || !S_ISREG(inode->mode) || !(inode->file.home.seals & SHARED_SEALABLE))
		return -EINVAL;
	return inode->file.home.seals & SEALS;
}

static long control(int fd, struct file *file, unsigned command, uint64_t argument)
{
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if (argument >= (uint64_t)file_limit())
			return -EINVAL;
		return duplicate(fd, command == F_DUPFD_CLOEXEC, (int)argument);
	case F_GETFD:
		return file_closes_on_exec(fd) ? FD_CLOEXEC : 0;
	case F_SETFD:
		file_set_close_on_exec(fd, argument & FD_CLOEXEC);
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
	case F_ADD_SEALS:
		return add_seals(file, argument);
	case F_GET_SEALS:
		return get_seals(file);
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
	if (file->flags & O_PATH) {
		file_drop(file);
		return -EBADF;
	}
	switch ((unsigned)a[1]) {
	case FIOCLEX:
	case FIONCLEX:
		file_set_close_on_exec((int)a[0], (unsigned)a[1] == FIOCLEX);
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

	if (!file_is_open((int)a[0]))
		return -EBADF;
	return operation == 1 || operation == 2 || operation == 8 ? 0 : -EINVAL;
}
