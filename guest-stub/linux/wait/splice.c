/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice, tee and vmsplice. Between pipes of the program the pieces go over as they are. All else is
 * copied through a buffer: the standard streams are pipes for the program, and what the other side
 * does not take stays in the pipe that it comes from.
 */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/file/file.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/wait/pipe.h"

#define FLAGS_ALL    0xfu
#define NONBLOCK     2u
#define PIECE	     0x10000ul
#define VECTORS_MAX  64u
#define ALL_WRITABLE (1u << O_WRONLY | 1u << O_RDWR)
#define ALL_READABLE (1u << O_RDONLY | 1u << O_RDWR)

struct side {
	struct file *file;
	uint32_t type;	   /* S_IFIFO and so on */
	uint64_t address;  /* of the call's offset; 0: none */
	int64_t offset;	   /* it */
	int64_t *position; /* where the transfer goes on */
};

struct move {
	struct side in, out;
	uint64_t length;
	bool wait;
};

/* Of a device that can only be written: nothing is spliced from /dev/null. */
#define S_SINK 1u

static uint32_t type_of(struct file *file)
{
	struct stat stat;

	if (!file->operations->stat || file->operations->stat(file, &stat))
		return 0;
	if ((stat.st_mode & S_IFMT) == S_IFCHR && stat.st_rdev == 0x103)
		return S_SINK;
	return stat.st_mode & S_IFMT;
}

static bool is_open_for(const struct file *file, bool writing)
{
	unsigned access = 1u << (file->flags & O_ACCMODE);

	return !(file->flags & O_PATH) && access & (writing ? ALL_WRITABLE : ALL_READABLE);
}

/* Whether a file of this type can be spliced from, or if WRITING to. */
static bool has_splice(const struct side *side, bool writing)
{
	return side->type == S_IFIFO || side->type == S_IFREG || side->type == S_IFSOCK ||
	       side->type == S_IFCHR || (side->type == S_SINK && writing);
}

static long get_offset(struct side *side)
{
	side->position = &side->file->position;
	if (!side->address)
		return 0;
	if (side->type == S_IFIFO)
		return -ESPIPE;
	if (user_get(&side->offset, side->address, sizeof(side->offset)))
		return -EFAULT;
	side->position = &side->offset;
	return 0;
}

static long check(struct move *move)
{
	long error = get_offset(&move->in);

	if (!error)
		error = get_offset(&move->out);
	if (error)
		return error;
	if (!is_open_for(move->in.file, false) || !is_open_for(move->out.file, true))
		return -EBADF;
	if (move->in.type != S_IFIFO && move->out.type != S_IFIFO)
		return -EINVAL;
	if (stream_is_same(move->in.file, move->out.file) || !has_splice(&move->out, true) ||
	    !move->out.file->operations->write)
		return -EINVAL;
	if ((move->in.address && (!move->in.file->operations->seek || move->in.offset < 0)) ||
	    (move->out.address && (!move->out.file->operations->seek || move->out.offset < 0)))
		return -EINVAL;
	return move->out.type != S_IFIFO && move->out.file->flags & O_APPEND ? -EINVAL : 0;
}

/* Waits until the pipes among the two can go on, and limits the length to what goes out. Returns 1 to
 * go on, 0 at the input's end, or -errno. */
static long prepare(struct move *move)
{
	long result;

	if (stream_is_pipe(move->in.file)) {
		result = stream_await_content(move->in.file, move->wait);
		if (result)
			return result;
	}
	if (move->length > PIECE)
		move->length = PIECE;
	if (stream_is_pipe(move->out.file)) {
		result = stream_await_room(move->out.file, move->wait);
		if (result < 0)
			return result;
		if (move->length > (uint64_t)result)
			move->length = (uint64_t)result;
	}
	return has_splice(&move->in, false) && move->in.file->operations->read ? 1 : -EINVAL;
}

static long put(const struct move *move, const void *buffer, size_t length)
{
	struct file *out = move->out.file;

	return stream_is_pipe(out)
		       ? stream_splice(out, buffer, length)
		       : out->operations->write(out, buffer, length, move->out.position);
}

/* Moves one buffer. A pipe's bytes are taken once they are out. */
static long through(struct move *move, uint8_t *buffer, bool keep)
{
	struct file *in = move->in.file;
	bool looks = keep || stream_is_pipe(in);
	long got = looks ? in->operations->look(in, buffer, move->length)
			 : in->operations->read(in, buffer, move->length, move->in.position);
	long given = got > 0 ? put(move, buffer, (size_t)got) : got;

	if (given > 0 && looks && !keep)
		stream_skip(in, (size_t)given);
	if (got > 0 && given < got && !looks && in->operations->seek)
		*move->in.position -= got - (given > 0 ? given : 0);
	return given;
}

static long run(struct move *move, bool keep)
{
	long result = prepare(move);
	uint8_t *buffer;

	if (result <= 0)
		return result;
	if (stream_is_pipe(move->in.file) && stream_is_pipe(move->out.file))
		return stream_move(move->in.file, move->out.file, move->length, keep);
	buffer = malloc(PIECE);
	if (!buffer)
		return -ENOMEM;
	result = through(move, buffer, keep);
	free(buffer);
	return result;
}

static bool begin(struct move *move, uint64_t in, uint64_t out, uint64_t flags)
{
	move->in.file = file_get((int)in);
	move->out.file = file_get((int)out);
	if (!move->in.file || !move->out.file)
		return false;
	move->in.type = type_of(move->in.file);
	move->out.type = type_of(move->out.file);
	move->wait = !(flags & NONBLOCK) &&
		     !((move->in.type == S_IFIFO ? move->in.file->flags : 0) & O_NONBLOCK) &&
		     !((move->out.type == S_IFIFO ? move->out.file->flags : 0) & O_NONBLOCK);
	return true;
}

static void end(struct move *move)
{
	file_drop(move->in.file);
	file_drop(move->out.file);
}

long sys_splice(const uint64_t *a)
{
	struct move move = {.in.address = a[1], .out.address = a[3], .length = a[4]};
	long result = -EBADF;

	if (!a[4])
		return 0;
	if (a[5] & ~(uint64_t)FLAGS_ALL)
		return -EINVAL;
	if (begin(&move, a[0], a[2], a[5])) {
		result = check(&move);
		if (!result)
			result = run(&move, false);
		if (result >= 0 && a[1] && user_put(a[1], &move.in.offset, sizeof(int64_t)))
			result = -EFAULT;
		if (result >= 0 && a[3] && user_put(a[3], &move.out.offset, sizeof(int64_t)))
			result = -EFAULT;
	}
	end(&move);
	return result;
}

long sys_tee(const uint64_t *a)
{
	struct move move = {.length = a[2]};
	long result = -EBADF;

	if (a[3] & ~(uint64_t)FLAGS_ALL)
		return -EINVAL;
	if (!a[2])
		return 0;
	if (begin(&move, a[0], a[1], a[3])) {
		result = check(&move);
		if (!result && (move.in.type != S_IFIFO || move.out.type != S_IFIFO))
			result = -EINVAL;
		if (!result)
			result = run(&move, true);
	}
	end(&move);
	return result;
}

/* ---- vmsplice ---- */

/* Gives the program's pages to a pipe. */
static long give(struct move *move, const struct user_vector *vectors, uint64_t count)
{
	long done = 0;

	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *from = vectors[i].base;
		long given;

		move->length = vectors[i].length;
		if (!move->length)
			continue;
		if (stream_is_pipe(move->out.file)) {
			long room = stream_await_room(move->out.file, move->wait && !done);

			if (room < 0)
				return done ? done : room;
		}
		if (!user_still_readable(from, vectors[i].length))
			return done ? done : -EFAULT;
		given = put(move, from, move->length);
		if (given < 0)
			return done ? done : given;
		done += given;
		if ((uint64_t)given < move->length)
			break;
	}
	return done;
}

/* Reads from a pipe what is there. */
static long receive(struct file *in, const struct user_vector *vectors, uint64_t count, bool wait)
{
	long done = 0, result = 0;

	if (stream_is_pipe(in))
		result = stream_await_content(in, wait);
	if (result)
		return result;
	for (uint64_t i = 0; i < count; i++) {
		if (!vectors[i].length)
			continue;
		if (done && stream_is_pipe(in) && stream_await_content(in, false))
			break;
		if (!user_still_writable(vectors[i].base, vectors[i].length))
			return done ? done : -EFAULT;
		result = stream_is_pipe(in)
				 ? in->operations->look(in, vectors[i].base, vectors[i].length)
				 : in->operations->read(in, vectors[i].base, vectors[i].length,
							NULL);
		if (result < 0)
			return done ? done : result;
		if (stream_is_pipe(in))
			stream_skip(in, (size_t)result);
		done += result;
		if ((uint64_t)result < vectors[i].length)
			break;
	}
	return done;
}

long sys_vmsplice(const uint64_t *a)
{
	struct user_vector vectors[VECTORS_MAX];
	struct move move = {.wait = !(a[3] & NONBLOCK)};
	struct file *file;
	bool gives;
	long result;

	if (a[3] & ~(uint64_t)FLAGS_ALL)
		return -EINVAL;
	if (a[2] > VECTORS_MAX)
		return -EINVAL;
	file = file_get((int)a[0]);
	if (!file)
		return -EBADF;
	gives = is_open_for(file, true);
	result = user_vectors(vectors, a[1], a[2], !gives);
	if (result > 0 && (file->flags & O_PATH || type_of(file) != S_IFIFO))
		result = -EBADF;
	move.out.file = file;
	if (result > 0)
		result = gives ? give(&move, vectors, a[2])
			       : receive(file, vectors, a[2], move.wait);
	file_drop(file);
	return result;
}
