/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing and seeking, for files of every kind. */
#include "guest-stub/linux/calls_declared.h"

#include <linux/falloc.h>
#include <linux/fcntl.h>

#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/fs/fs.h"
#include "guest-stub/linux/memory/user.h"

#define LENGTH_MAX  0x7ffff000ul /* as in Linux */
#define VECTORS_FEW 16u
#define COPY_PIECE  0x10000ul
#define READ_PIECE  0x100000ul

/* The largest values of sync_file_range()'s flags and fadvise()'s advice. */
#define SYNC_FLAGS_MAX 7u
#define ADVICE_MAX     5u

/* ---- One open file ---- */

static long check(const struct file *file, bool write)
{
	uint32_t access = file->flags & O_ACCMODE;

	if (file->flags & O_PATH || access == (write ? O_RDONLY : O_WRONLY))
		return -EBADF;
	if (write ? !file->operations->write : !file->operations->read)
		return -EINVAL;
	return 0;
}

static long transfer(struct file *file, void *buffer, size_t length, int64_t *position, bool write)
{
	if (length > LENGTH_MAX)
		length = LENGTH_MAX;
	return write ? file->operations->write(file, buffer, length, position)
		     : file->operations->read(file, buffer, length, position);
}

/* Sets *OUT to the position to use: the file's own, or, if AT, *LOCAL with OFFSET. */
static long position_of(struct file *file, bool at, int64_t offset, int64_t *local, int64_t **out)
{
	*local = offset;
	*out = at ? local : &file->position;
	if (!at)
		return 0;
	if (!file->operations->seek)
		return -ESPIPE;
	return offset < 0 ? -EINVAL : 0;
}

/* Reads up to LENGTH bytes in pieces, so that a large buffer gets no more memory than it is filled.
 * What is no regular file may give less than is asked for, so one piece is enough. */
static long read_pieces(struct file *file, uint64_t address, uint64_t length, int64_t *position)
{
	uint64_t done = 0;

	do {
		uint64_t piece = length - done < READ_PIECE ? length - done : READ_PIECE;
		long got;

		if (!user_writable(address + done, piece))
			return done ? (long)done : -EFAULT;
		got = transfer(file, (void *)(address + done), piece, position, false);
		if (got < 0)
			return done ? (long)done : got;
		done += (uint64_t)got;
		if ((uint64_t)got < piece || !file->operations->seek)
			break;
	} while (done < length);
	return (long)done;
}

static long at_once(struct file *file, uint64_t address, uint64_t length, int64_t *position,
		    bool write)
{
	if (!(write ? user_readable(address, length) : user_writable(address, length)))
		return -EFAULT;
	return transfer(file, (void *)address, length, position, write);
}

static long one(int fd, uint64_t address, uint64_t length, bool write, bool at, int64_t offset)
{
	struct file *file = file_get(fd);
	int64_t local, *position;
	long result;

	if (!file)
		return -EBADF;
	result = check(file, write);
	if (!result)
		result = position_of(file, at, offset, &local, &position);
	if (!result && length > LENGTH_MAX)
		length = LENGTH_MAX;
	if (!result && !write && length > READ_PIECE)
		result = read_pieces(file, address, length, position);
	else if (!result)
		result = at_once(file, address, length, position, write);
	file_drop(file);
	return result;
}

long sys_read(const uint64_t *a)
{
	return one((int)a[0], a[1], a[2], false, false, 0);
}

long sys_write(const uint64_t *a)
{
	return one((int)a[0], a[1], a[2], true, false, 0);
}

long sys_pread64(const uint64_t *a)
{
	return one((int)a[0], a[1], a[2], false, true, (int64_t)a[3]);
}

long sys_pwrite64(const uint64_t *a)
{
	return one((int)a[0], a[1], a[2], true, true, (int64_t)a[3]);
}

/* ---- Several buffers ---- */

/* Whether the program still has the buffer when its turn comes. A wait for an earlier one may have
 * let another task unmap it. */
static bool is_still_there(const struct user_vector *vector, bool write)
{
	return write ? user_still_readable(vector->base, vector->length)
		     : user_still_writable(vector->base, vector->length);
}

static long transfer_all(struct file *file, const struct user_vector *vectors, uint64_t count,
			 int64_t *position, bool write)
{
	long done = 0;

	for (uint64_t i = 0; i < count; i++) {
		long got;

		if (!vectors[i].length && (done || i + 1 < count))
			continue;
		if (!is_still_there(&vectors[i], write))
			return done ? done : -EFAULT;
		got = transfer(file, vectors[i].base, vectors[i].length, position, write);
		if (got < 0)
			return done ? done : got;
		done += got;
		if ((uint64_t)got < vectors[i].length)
			break;
	}
	return done;
}

static long with_file(int fd, const struct user_vector *vectors, uint64_t count, bool write,
		      bool at, int64_t offset)
{
	struct file *file = file_get(fd);
	int64_t local, *position;
	long result;

	if (!file)
		return -EBADF;
	result = check(file, write);
	if (!result)
		result = position_of(file, at, offset, &local, &position);
	if (!result)
		result = transfer_all(file, vectors, count, position, write);
	file_drop(file);
	return result;
}

static long many(const uint64_t *a, bool write, bool at)
{
	struct user_vector few[VECTORS_FEW], *vectors = few;
	uint64_t count = a[2];
	long result;

	if (count > USER_VECTOR_MAX)
		return -EINVAL;
	if (count > VECTORS_FEW)
		vectors = malloc(count * sizeof(*vectors));
	if (!vectors)
		return -ENOMEM;
	result = user_vectors(vectors, a[1], count, !write);
	if (result >= 0)
		result = with_file((int)a[0], vectors, count, write, at, (int64_t)a[3]);
	if (vectors != few)
		free(vectors);
	return result;
}

long sys_readv(const uint64_t *a)
{
	return many(a, false, false);
}

long sys_writev(const uint64_t *a)
{
	return many(a, true, false);
}

long sys_preadv(const uint64_t *a)
{
	return many(a, false, true);
}

long sys_pwritev(const uint64_t *a)
{
	return many(a, true, true);
}

/* An offset of -1 is the file's own position. */
long sys_preadv2(const uint64_t *a)
{
	return many(a, false, (int64_t)a[3] != -1);
}

long sys_pwritev2(const uint64_t *a)
{
	return many(a, true, (int64_t)a[3] != -1);
}

/* ---- From file to file ---- */

static long copy_loop(struct file *from, struct file *to, int64_t *read_at, int64_t *write_at,
		      uint64_t length, uint8_t *buffer)
{
	long done = 0;

	while (length > 0) {
		size_t count = length < COPY_PIECE ? length : COPY_PIECE;
		long got = transfer(from, buffer, count, read_at, false), put;

		if (got <= 0)
			return done ? done : got;
		put = transfer(to, buffer, (size_t)got, write_at, true);
		if (put < got && from->operations->seek)
			*read_at -= got - (put > 0 ? put : 0);
		if (put < 0)
			return done ? done : put;
		done += put;
		length -= (uint64_t)put;
		if (put < got)
			break;
	}
	return done;
}

static long copy(struct file *from, struct file *to, uint64_t from_address, uint64_t to_address,
		 uint64_t length)
{
	int64_t read_at = from->position, write_at = to->position;
	uint8_t *buffer;
	long result = check(from, false);

	if (!result)
		result = check(to, true);
	if (!result && from_address)
		result = user_get(&read_at, from_address, sizeof(read_at));
	if (!result && to_address)
		result = user_get(&write_at, to_address, sizeof(write_at));
	if (result)
		return result;
	if ((from_address && (!from->operations->seek || read_at < 0)) ||
	    (to_address && (!to->operations->seek || write_at < 0)))
		return -EINVAL;
	buffer = malloc(COPY_PIECE);
	if (!buffer)
		return -ENOMEM;
	result = copy_loop(from, to, &read_at, &write_at, length > LENGTH_MAX ? LENGTH_MAX : length,
			   buffer);
	free(buffer);
	if (from_address)
		user_put(from_address, &read_at, sizeof(read_at));
	else
		from->position = read_at;
	if (to_address)
		user_put(to_address, &write_at, sizeof(write_at));
	else
		to->position = write_at;
	return result;
}

static bool is_regular(struct file *file)
{
	return file->operations->seek && file->operations->truncate;
}

long sys_sendfile(const uint64_t *a)
{
	struct file *from = file_get((int)a[1]), *to = file_get((int)a[0]);
	long result = from && to ? 0 : -EBADF;

	if (!result)
		result = check(from, false);
	if (!result)
		result = check(to, true);
	/* From a pipe only splice moves. */
	if (!result && (!from->operations->seek || to->flags & O_APPEND || (int64_t)a[3] < 0))
		result = -EINVAL;
	if (!result)
		result = copy(from, to, a[2], 0, a[3]);
	file_drop(from);
	file_drop(to);
	return result;
}

/* What copy_file_range() asks of its files: 0 or -errno. */
static long check_range(struct file *from, struct file *to, const uint64_t *a)
{
	int64_t in = from->position, out = to->position;
	uint64_t length = a[4];

	if ((a[1] && user_get(&in, a[1], sizeof(in))) ||
	    (a[3] && user_get(&out, a[3], sizeof(out))))
		return -EFAULT;
	if (from->operations->entries || to->operations->entries)
		return -EISDIR;
	if (!is_regular(from) || !is_regular(to))
		return -EINVAL;
	if (check(from, false) || check(to, true) || to->flags & O_APPEND)
		return -EBADF;
	if (in < 0 || out < 0)
		return -EOVERFLOW;
	if (file_inode(from) && file_inode(from) == file_inode(to) &&
	    (uint64_t)in < (uint64_t)out + length && (uint64_t)out < (uint64_t)in + length)
		return -EINVAL;
	return 0;
}

long sys_copy_file_range(const uint64_t *a)
{
	struct file *from, *to;
	long result = -EBADF;

	if (a[5])
		return -EINVAL;
	from = file_get((int)a[0]);
	to = file_get((int)a[2]);
	if (from && to)
		result = check_range(from, to, a);
	if (from && to && !result)
		result = copy(from, to, a[1], a[3], a[4]);
	file_drop(from);
	file_drop(to);
	return result;
}

/* ---- Positions, lengths, and calls that have nothing to do ---- */

static struct file *get_plain(int fd)
{
	struct file *file = file_get(fd);

	if (file && file->flags & O_PATH) {
		file_drop(file);
		return NULL;
	}
	return file;
}

long sys_lseek(const uint64_t *a)
{
	struct file *file = get_plain((int)a[0]);
	long result;

	if (!file)
		return -EBADF;
	result = file->operations->seek ? file->operations->seek(file, (int64_t)a[1], (int)a[2])
					: -ESPIPE;
	file_drop(file);
	return result;
}

static long resize(int fd, int64_t length, bool only_grow)
{
	struct file *file = get_plain(fd);
	struct inode *inode;
	long result;

	if (!file)
		return -EBADF;
	inode = file_inode(file);
	if (!file->operations->truncate || (file->flags & O_ACCMODE) == O_RDONLY)
		result = only_grow ? -EBADF : -EINVAL;
	else if (only_grow && inode && (uint64_t)length <= inode->file.size)
		result = 0;
	else
		result = file->operations->truncate(file, length);
	file_drop(file);
	return result;
}

long sys_ftruncate(const uint64_t *a)
{
	return resize((int)a[0], (int64_t)a[1], false);
}

static long punch(int fd, uint64_t at, uint64_t length)
{
	struct file *file = get_plain(fd);
	struct inode *inode;
	long result = -EBADF;

	if (!file)
		return -EBADF;
	inode = file_inode(file);
	if (file->operations->truncate && inode && (file->flags & O_ACCMODE) != O_RDONLY)
		result = content_clear(inode, at, length);
	file_drop(file);
	return result;
}

long sys_fallocate(const uint64_t *a)
{
	const uint64_t hole = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
	int64_t end;

	if (a[1] & ~hole || a[1] == FALLOC_FL_PUNCH_HOLE)
		return -EOPNOTSUPP;
	if ((int64_t)a[2] < 0 || (int64_t)a[3] <= 0 ||
	    __builtin_add_overflow((int64_t)a[2], (int64_t)a[3], &end))
		return -EINVAL;
	if (a[1] == hole)
		return punch((int)a[0], a[2], a[3]);
	return resize((int)a[0], a[1] ? 0 : end, true);
}

/* Returns 0 if FD is a file that a disk could hold, and OTHERWISE if it is something else. */
static long check_stored(int fd, long otherwise)
{
	struct file *file = get_plain(fd);
	bool stored = file && file_inode(file);

	file_drop(file);
	return !file ? -EBADF : stored ? 0 : otherwise;
}

long sys_fsync(const uint64_t *a)
{
	return check_stored((int)a[0], -EINVAL);
}

long sys_fdatasync(const uint64_t *a)
{
	return check_stored((int)a[0], -EINVAL);
}

long sys_syncfs(const uint64_t *a)
{
	return check_stored((int)a[0], 0);
}

/* Whether LENGTH bytes from OFFSET on make no sense. */
static bool bad_range(uint64_t offset, uint64_t length)
{
	return (int64_t)offset < 0 || (int64_t)length < 0 || (int64_t)(offset + length) < 0;
}

long sys_sync_file_range(const uint64_t *a)
{
	long error = check_stored((int)a[0], -ESPIPE);

	if (error == -EBADF)
		return error;
	return a[3] > SYNC_FLAGS_MAX || bad_range(a[1], a[2]) ? -EINVAL : error;
}

long sys_fadvise64(const uint64_t *a)
{
	struct file *file = get_plain((int)a[0]);
	bool stream = file && !file->operations->seek;

	file_drop(file);
	if (!file)
		return -EBADF;
	return stream ? -ESPIPE : (int64_t)a[2] < 0 || a[3] > ADVICE_MAX ? -EINVAL : 0;
}

long sys_readahead(const uint64_t *a)
{
	struct file *file = get_plain((int)a[0]);
	bool readable = file && (file->flags & O_ACCMODE) != O_WRONLY;
	bool mappable = file && file_inode(file) && file->operations->mappable;

	file_drop(file);
	return !readable ? -EBADF : mappable ? 0 : -EINVAL;
}

long sys_sync(const uint64_t *a)
{
	(void)a;
	return 0;
}
