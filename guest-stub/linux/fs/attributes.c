/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of files: stat, access and readlink, and what changes modes, owners, times and
 * lengths. */
#include "guest-stub/linux/calls_declared.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/time.h"

#define TMPFS_MAGIC_ 0x01021994
#define UTIME_NOW_   0x3fffffff
#define UTIME_OMIT_  0x3ffffffe
#define BLOCKS	     (1ul << 18) /* the size that statfs() reports: a gigabyte */

/* ---- stat ---- */

static int stat_found(const struct found *found, struct stat *out)
{
	if (found->file && !found->place.inode) {
		*out = (struct stat){
			.st_dev = FS_DEVICE, .st_nlink = 1, .st_blksize = THAW_PAGE_SIZE};
		return found->file->operations->stat
			       ? found->file->operations->stat(found->file, out)
			       : 0;
	}
	place_stat(found->place, out);
	return 0;
}

static int stat_at(int fd, uint64_t address, uint64_t flags, struct stat *out)
{
	char path[FS_PATH_MAX];
	struct found found;
	int error;

	if (flags &
	    ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	/* A NULL path means the descriptor itself. */
	if (!address && flags & AT_EMPTY_PATH)
		error = fs_find_at(fd, "", FS_EMPTY, &found);
	else
		error = fs_user_find(fd, address,
				     (flags & AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW) |
					     (flags & AT_EMPTY_PATH ? FS_EMPTY : 0),
				     path, &found);
	if (!error)
		error = stat_found(&found, out);
	fs_found_done(&found);
	return error;
}

static long stat_to(int fd, uint64_t address, uint64_t flags, uint64_t out)
{
	struct stat status;
	int error = stat_at(fd, address, flags, &status);

	return error ? error : user_put(out, &status, sizeof(status));
}

long sys_stat(const uint64_t *a)
{
	return stat_to(AT_FDCWD, a[0], 0, a[1]);
}

long sys_lstat(const uint64_t *a)
{
	return stat_to(AT_FDCWD, a[0], AT_SYMLINK_NOFOLLOW, a[1]);
}

long sys_fstat(const uint64_t *a)
{
	struct found found;
	struct stat status;
	int error;

	if ((int)a[0] < 0)
		return -EBADF;
	error = fs_find_at((int)a[0], "", FS_EMPTY, &found);
	if (!error)
		error = stat_found(&found, &status);
	fs_found_done(&found);
	return error ? error : user_put(a[1], &status, sizeof(status));
}

long sys_newfstatat(const uint64_t *a)
{
	return stat_to((int)a[0], a[1], a[3], a[2]);
}

static struct statx_timestamp timestamp(unsigned long seconds, unsigned long nanoseconds)
{
	return (struct statx_timestamp){.tv_sec = (int64_t)seconds,
					.tv_nsec = (uint32_t)nanoseconds};
}

long sys_statx(const uint64_t *a)
{
	struct stat status;
	struct statx out;
	int error = stat_at((int)a[0], a[1], a[2], &status);

	if (error)
		return error;
	out = (struct statx){
		.stx_mask = STATX_BASIC_STATS,
		.stx_blksize = (uint32_t)status.st_blksize,
		.stx_nlink = (uint32_t)status.st_nlink,
		.stx_uid = status.st_uid,
		.stx_gid = status.st_gid,
		.stx_mode = (uint16_t)status.st_mode,
		.stx_ino = status.st_ino,
		.stx_size = (uint64_t)status.st_size,
		.stx_blocks = (uint64_t)status.st_blocks,
		.stx_atime = timestamp(status.st_atime, status.st_atime_nsec),
		.stx_mtime = timestamp(status.st_mtime, status.st_mtime_nsec),
		.stx_ctime = timestamp(status.st_ctime, status.st_ctime_nsec),
		.stx_rdev_major = (uint32_t)(status.st_rdev >> 8),
		.stx_rdev_minor = (uint32_t)(status.st_rdev & 0xff),
		.stx_dev_minor = FS_DEVICE,
	};
	return user_put(a[4], &out, sizeof(out));
}

static long put_statfs(uint64_t address)
{
	const struct statfs out = {
		.f_type = TMPFS_MAGIC_,
		.f_bsize = THAW_PAGE_SIZE,
		.f_frsize = THAW_PAGE_SIZE,
		.f_blocks = BLOCKS,
		.f_bfree = BLOCKS / 2,
		.f_bavail = BLOCKS / 2,
		.f_files = BLOCKS,
		.f_ffree = BLOCKS / 2,
		.f_namelen = THAW_TREE_NAME_MAX,
	};

	return user_put(address, &out, sizeof(out));
}

long sys_statfs(const uint64_t *a)
{
	char path[FS_PATH_MAX];
	struct found found;
	int error = fs_user_find(AT_FDCWD, a[0], FS_FOLLOW, path, &found);

	fs_found_done(&found);
	return error ? error : put_statfs(a[1]);
}

long sys_fstatfs(const uint64_t *a)
{
	struct file *file = file_get((int)a[0]);

	if (!file)
		return -EBADF;
	file_drop(file);
	return put_statfs(a[1]);
}

/* ---- access, readlink ---- */

static long access_at(int fd, uint64_t address, uint64_t mode, uint64_t flags)
{
	char path[FS_PATH_MAX];
	struct found found;
	int error;

	if (mode & ~UINT64_C(7) ||
	    flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH))
		return -EINVAL;
	error = fs_user_find(fd, address,
			     (flags & AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW) |
				     (flags & AT_EMPTY_PATH ? FS_EMPTY : 0),
			     path, &found);
	if (!error && !(found.file && !found.place.inode) &&
	    !place_may(found.place, (unsigned)mode))
		error = -EACCES;
	fs_found_done(&found);
	return error;
}

long sys_access(const uint64_t *a)
{
	return access_at(AT_FDCWD, a[0], a[1], 0);
}

long sys_faccessat(const uint64_t *a)
{
	return access_at((int)a[0], a[1], a[2], 0);
}

long sys_faccessat2(const uint64_t *a)
{
	return access_at((int)a[0], a[1], a[2], a[3]);
}

static long read_link(const struct found *found, const char **text, size_t *length)
{
	if (found->file) { /* of /proc/self/fd */
		*text = found->file->path ? found->file->path : "anon_inode:[file]";
		*length = strlen(*text);
		return 0;
	}
	if (!S_ISLNK(place_mode(found->place)))
		return -EINVAL;
	*text = place_target(found->place, length);
	return 0;
}

static long readlink_at(int fd, uint64_t address, uint64_t buffer, uint64_t size)
{
	char path[FS_PATH_MAX];
	struct found found;
	const char *text = NULL;
	size_t length = 0;
	long error;

	if ((int64_t)size <= 0)
		return -EINVAL;
	error = fs_user_find(fd, address, FS_EMPTY, path, &found);
	if (!error && !path[0]) /* an empty path: only an open link will do */
		error = found.place.inode && S_ISLNK(found.place.inode->mode) ? 0 : -ENOENT;
	if (!error && !path[0])
		text = place_target(found.place, &length);
	else if (!error)
		error = read_link(&found, &text, &length);
	if (length > size)
		length = size;
	if (!error)
		error = user_put(buffer, text, length);
	fs_found_done(&found);
	return error ? error : (long)length;
}

long sys_readlink(const uint64_t *a)
{
	return readlink_at(AT_FDCWD, a[0], a[1], a[2]);
}

long sys_readlinkat(const uint64_t *a)
{
	return readlink_at((int)a[0], a[1], a[2], a[3]);
}

/* ---- Changing ---- */

struct change {
	enum { MODE, OWNER, TIMES, LENGTH } what;
	uint32_t mode, uid, gid;
	struct fs_time access, modified; /* nanoseconds may be UTIME_OMIT_ */
	bool now;			 /* both times are the current time */
	int64_t length;
};

static bool is_owner(const struct inode *inode)
{
	return config.uid == 0 || inode->uid == config.uid;
}

static int change_owner(struct inode *inode, const struct change *change)
{
	bool gives = change->uid != UINT32_MAX && change->uid != inode->uid;
	bool group = change->gid != UINT32_MAX && change->gid != inode->gid;

	if (config.uid != 0 && (gives || !is_owner(inode) || (group && change->gid != config.gid)))
		return -EPERM;
	if (change->uid != UINT32_MAX)
		inode->uid = change->uid;
	if (change->gid != UINT32_MAX)
		inode->gid = change->gid;
	if (S_ISREG(inode->mode))
		inode->mode &= ~(uint32_t)06000;
	return 0;
}

static int change_times(struct inode *inode, const struct change *change)
{
	const struct place place = {inode, inode->node};

	if (!is_owner(inode) && !(change->now && place_may(place, 2)))
		return change->now ? -EACCES : -EPERM;
	if (change->access.nanoseconds != UTIME_OMIT_)
		inode->access = change->access;
	if (change->modified.nanoseconds != UTIME_OMIT_)
		inode->modified = change->modified;
	return 0;
}

static int change_length(struct inode *inode, const struct change *change)
{
	const struct place place = {inode, inode->node};

	if (S_ISDIR(inode->mode))
		return -EISDIR;
	if (!S_ISREG(inode->mode) || inode->special)
		return -EINVAL;
	return place_may(place, 2) ? content_resize(inode, change->length) : -EACCES;
}

static int change_inode(struct inode *inode, const struct change *change)
{
	int error = 0;

	switch (change->what) {
	case MODE:
		if (!is_owner(inode))
			return -EPERM;
		inode->mode = (inode->mode & S_IFMT) | (change->mode & 07777);
		break;
	case OWNER:
		error = change_owner(inode, change);
		break;
	case TIMES:
		error = change_times(inode, change);
		break;
	case LENGTH:
		return change_length(inode, change);
	}
	if (!error)
		inode->changed = fs_now();
	return error;
}

static int change_found(const struct found *found, const struct change *change)
{
	struct inode *inode;

	if (found->file && !found->place.inode)
		return change->what == LENGTH ? -EINVAL : 0; /* a pipe and its like */
	inode = inode_of(found->place);
	return inode ? change_inode(inode, change) : -ENOSPC;
}

static long change_at(int fd, uint64_t address, uint64_t flags, const struct change *change)
{
	char path[FS_PATH_MAX];
	struct found found;
	int error;

	if (flags & ~(uint64_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	error = fs_user_find(fd, address,
			     (flags & AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW) |
				     (flags & AT_EMPTY_PATH ? FS_EMPTY : 0),
			     path, &found);
	if (!error)
		error = change_found(&found, change);
	fs_found_done(&found);
	return error;
}

static long change_open(int fd, const struct change *change)
{
	struct found found;
	int error;

	if (fd < 0)
		return -EBADF;
	error = fs_find_at(fd, "", FS_EMPTY, &found);
	if (!error)
		error = found.file->flags & O_PATH ? -EBADF : change_found(&found, change);
	fs_found_done(&found);
	return error;
}

long sys_chmod(const uint64_t *a)
{
	return change_at(AT_FDCWD, a[0], 0, &(struct change){MODE, .mode = (uint32_t)a[1]});
}

long sys_fchmod(const uint64_t *a)
{
	return change_open((int)a[0], &(struct change){MODE, .mode = (uint32_t)a[1]});
}

long sys_fchmodat(const uint64_t *a)
{
	return change_at((int)a[0], a[1], 0, &(struct change){MODE, .mode = (uint32_t)a[2]});
}

static struct change to_owner(uint64_t uid, uint64_t gid)
{
	return (struct change){OWNER, .uid = (uint32_t)uid, .gid = (uint32_t)gid};
}

long sys_chown(const uint64_t *a)
{
	const struct change change = to_owner(a[1], a[2]);

	return change_at(AT_FDCWD, a[0], 0, &change);
}

long sys_lchown(const uint64_t *a)
{
	const struct change change = to_owner(a[1], a[2]);

	return change_at(AT_FDCWD, a[0], AT_SYMLINK_NOFOLLOW, &change);
}

long sys_fchown(const uint64_t *a)
{
	const struct change change = to_owner(a[1], a[2]);

	return change_open((int)a[0], &change);
}

long sys_fchownat(const uint64_t *a)
{
	const struct change change = to_owner(a[2], a[3]);

	return change_at((int)a[0], a[1], a[4], &change);
}

long sys_truncate(const uint64_t *a)
{
	return change_at(AT_FDCWD, a[0], 0, &(struct change){LENGTH, .length = (int64_t)a[1]});
}

long sys_umask(const uint64_t *a)
{
	uint32_t old = fs_umask;

	fs_umask = (uint32_t)a[0] & 0777;
	return old;
}

/* ---- Times ---- */

static struct change to_now(void)
{
	return (struct change){TIMES, .access = fs_now(), .modified = fs_now(), .now = true};
}

static int take_time(const struct linux_timespec *from, struct fs_time *out)
{
	if (from->nanoseconds == UTIME_NOW_) {
		*out = fs_now();
		return 0;
	}
	if (from->nanoseconds != UTIME_OMIT_ &&
	    (from->nanoseconds < 0 || from->nanoseconds > 999999999))
		return -EINVAL;
	*out = (struct fs_time){from->seconds, (uint32_t)from->nanoseconds};
	return 0;
}

static long times_at(int fd, uint64_t address, uint64_t flags, const struct change *change)
{
	return address ? change_at(fd, address, flags, change) : change_open(fd, change);
}

long sys_utimensat(const uint64_t *a)
{
	struct change change = to_now();
	struct linux_timespec times[2];
	int error;

	if (!a[2])
		return times_at((int)a[0], a[1], a[3], &change);
	error = user_get(times, a[2], sizeof(times));
	if (!error)
		error = take_time(&times[0], &change.access);
	if (!error)
		error = take_time(&times[1], &change.modified);
	change.now = times[0].nanoseconds == UTIME_NOW_ && times[1].nanoseconds == UTIME_NOW_;
	return error ? error : times_at((int)a[0], a[1], a[3], &change);
}

static long micro_times(int fd, uint64_t address, uint64_t times_address)
{
	struct change change = to_now();
	struct linux_timeval times[2];
	int error;

	if (!times_address)
		return times_at(fd, address, 0, &change);
	error = user_get(times, times_address, sizeof(times));
	if (error)
		return error;
	if (times[0].microseconds < 0 || times[0].microseconds > 999999 ||
	    times[1].microseconds < 0 || times[1].microseconds > 999999)
		return -EINVAL;
	change.now = false;
	change.access = (struct fs_time){times[0].seconds, (uint32_t)times[0].microseconds * 1000};
	change.modified =
		(struct fs_time){times[1].seconds, (uint32_t)times[1].microseconds * 1000};
	return times_at(fd, address, 0, &change);
}

long sys_utimes(const uint64_t *a)
{
	return micro_times(AT_FDCWD, a[0], a[1]);
}

long sys_futimesat(const uint64_t *a)
{
	return micro_times((int)a[0], a[1], a[2]);
}

long sys_utime(const uint64_t *a)
{
	struct change change = to_now();
	int64_t times[2];
	int error;

	if (!a[1])
		return change_at(AT_FDCWD, a[0], 0, &change);
	error = user_get(times, a[1], sizeof(times));
	if (error)
		return error;
	change.now = false;
	change.access = (struct fs_time){times[0], 0};
	change.modified = (struct fs_time){times[1], 0};
	return change_at(AT_FDCWD, a[0], 0, &change);
}
