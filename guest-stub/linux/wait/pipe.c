/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams within the program: pipes, and the streams that pairs of sockets (socket.c) are made
 * of.
 */
#include <asm/signal.h>
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/stat.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/wait/pipe.h"

#define CAPACITY    0x10000u
#define PIPE_ATOMIC 4096u /* PIPE_BUF */
#define FIONREAD_   0x541bul

/* One direction. */
struct stream {
	uint32_t ends;		/* the number of files that share it */
	bool readers, writers;	/* whether an end for reading, for writing, is open */
	uint32_t start, length; /* of the content in the ring */
	uint8_t ring[CAPACITY];
};

/* The data of a file. An end of a pipe has one of the two, a socket has both. */
struct end {
	struct stream *in, *out;
};

static bool can_read(void *context)
{
	const struct stream *stream = context;

	return stream->length > 0 || !stream->writers;
}

/* The room that a write waits for. A small write is atomic, so it waits for all its room. */
struct room {
	const struct stream *stream;
	uint32_t wanted;
};

static bool can_write(void *context)
{
	const struct room *room = context;

	return CAPACITY - room->stream->length >= room->wanted || !room->stream->readers;
}

static uint32_t take(struct stream *stream, uint8_t *to, size_t length, bool keep)
{
	uint32_t count = length < stream->length ? (uint32_t)length : stream->length;

	for (uint32_t done = 0; done < count;) {
		uint32_t at = (stream->start + done) % CAPACITY, piece = CAPACITY - at;

		if (piece > count - done)
			piece = count - done;
		memcpy(to + done, stream->ring + at, piece);
		done += piece;
	}
	if (!keep) {
		stream->start = (stream->start + count) % CAPACITY;
		stream->length -= count;
	}
	return count;
}

static uint32_t give(struct stream *stream, const uint8_t *from, size_t length)
{
	uint32_t room = CAPACITY - stream->length, count = length < room ? (uint32_t)length : room;

	for (uint32_t done = 0; done < count;) {
		uint32_t at = (stream->start + stream->length) % CAPACITY, piece = CAPACITY - at;

		if (piece > count - done)
			piece = count - done;
		memcpy(stream->ring + at, from + done, piece);
		stream->length += piece;
		done += piece;
	}
	return count;
}

long stream_read(struct file *file, void *buffer, size_t length, bool wait, bool keep)
{
	struct stream *stream = ((struct end *)file->data)->in;
	int error;

	if (length == 0)
		return 0;
	if (!can_read(stream)) {
		if (!wait)
			return -EAGAIN;
		error = task_wait(can_read, stream, 0);
		if (!error && !user_still_writable(buffer, length))
			error = -EFAULT;
		if (error)
			return error;
	}
	return take(stream, buffer, length, keep);
}

static long broken(bool raise)
{
	if (raise)
		signal_raise(SIGPIPE, current, SIGNAL_USER);
	return -EPIPE;
}

long stream_write(struct file *file, const void *buffer, size_t length, bool wait, bool raise)
{
	struct stream *stream = ((struct end *)file->data)->out;
	struct room room = {stream, length <= PIPE_ATOMIC ? (uint32_t)length : 1};
	size_t done = 0;

	if (!stream->readers)
		return broken(raise);
	while (done < length) {
		int error = 0;

		if (!can_write(&room))
			error = wait ? task_wait(can_write, &room, 0) : -EAGAIN;
		if (!error && !user_still_readable(buffer, length))
			error = -EFAULT;
		if (error)
			return done ? (long)done : error;
		if (!stream->readers)
			return done ? (long)done : broken(raise);
		done += give(stream, (const uint8_t *)buffer + done, length - done);
	}
	return (long)done;
}

static long pipe_read(struct file *file, void *buffer, size_t length, int64_t *position)
{
	(void)position;
	if (!((struct end *)file->data)->in)
		return -EBADF;
	return stream_read(file, buffer, length, !(file->flags & O_NONBLOCK), false);
}

static long pipe_write(struct file *file, const void *buffer, size_t length, int64_t *position)
{
	(void)position;
	if (!((struct end *)file->data)->out)
		return -EBADF;
	return stream_write(file, buffer, length, !(file->flags & O_NONBLOCK), true);
}

static unsigned pipe_poll(struct file *file)
{
	const struct end *end = file->data;
	unsigned events = 0;

	if (end->in) {
		if (end->in->length > 0 || (end->out && !end->in->writers))
			events |= POLLIN | POLLRDNORM;
		if (!end->in->writers)
			events |= POLLHUP;
	}
	if (end->out) {
		if (CAPACITY - end->out->length >= PIPE_ATOMIC)
			events |= POLLOUT | POLLWRNORM;
		if (!end->out->readers)
			events |= POLLERR;
	}
	return events;
}

static int pipe_stat(struct file *file, struct stat *out)
{
	const struct end *end = file->data;

	memset(out, 0, sizeof(*out));
	out->st_mode = (end->in && end->out ? S_IFSOCK | 0777 : S_IFIFO | 0600);
	out->st_ino = (uint64_t)(end->in ? end->in : end->out) >> 4;
	out->st_nlink = 1;
	out->st_uid = config.uid;
	out->st_gid = config.gid;
	out->st_blksize = THAW_PAGE_SIZE;
	return 0;
}

static long pipe_ioctl(struct file *file, uint64_t request, uint64_t argument)
{
	const struct end *end = file->data;
	int length = end->in ? (int)end->in->length : 0;

	if (request != FIONREAD_)
		return -ENOTTY;
	return user_put(argument, &length, sizeof(length));
}

static void drop_stream(struct stream *stream)
{
	if (stream && --stream->ends == 0)
		free(stream);
}

static void pipe_release(struct file *file)
{
	struct end *end = file->data;

	if (end->in)
		end->in->readers = false;
	if (end->out)
		end->out->writers = false;
	drop_stream(end->in);
	drop_stream(end->out);
	free(end);
}

static const struct file_operations pipe_operations = {
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.stat = pipe_stat,
	.ioctl = pipe_ioctl,
	.release = pipe_release,
};

static struct stream *new_stream(void)
{
	struct stream *stream = malloc(sizeof(*stream));

	if (stream) {
		stream->ends = 2;
		stream->readers = stream->writers = true;
		stream->start = stream->length = 0;
	}
	return stream;
}

static struct file *new_end(struct stream *in, struct stream *out, uint32_t flags)
{
	struct end *end = malloc(sizeof(*end));
	struct file *file;

	if (!end)
		return NULL;
	*end = (struct end){in, out};
	file = file_new(&pipe_operations, flags, end);
	if (!file)
		free(end);
	return file;
}

/* Gives the files descriptors and writes those to ADDRESS, which was checked. */
static long install_both(struct file *first, struct file *second, bool close_on_exec,
			 uint64_t address)
{
	int descriptors[2];

	if (!first || !second) {
		file_drop(first);
		file_drop(second);
		return -ENOMEM;
	}
	descriptors[0] = file_install(first, close_on_exec, 0);
	if (descriptors[0] < 0) {
		file_drop(second);
		return descriptors[0];
	}
	descriptors[1] = file_install(second, close_on_exec, 0);
	if (descriptors[1] < 0) {
		file_close(descriptors[0]);
		return descriptors[1];
	}
	return user_put(address, descriptors, sizeof(descriptors));
}

static long make_pipe(uint64_t address, uint64_t flags)
{
	struct stream *stream;

	if (flags & ~(uint64_t)(O_NONBLOCK | O_CLOEXEC | O_DIRECT))
		return -EINVAL;
	if (!user_writable(address, 2 * sizeof(int)))
		return -EFAULT;
	stream = new_stream();
	if (!stream)
		return -ENOMEM;
	return install_both(new_end(stream, NULL, O_RDONLY | (flags & O_NONBLOCK)),
			    new_end(NULL, stream, O_WRONLY | (flags & O_NONBLOCK)),
			    flags & O_CLOEXEC, address);
}

long sys_pipe(const uint64_t *a)
{
	return make_pipe(a[0], 0);
}

long sys_pipe2(const uint64_t *a)
{
	return make_pipe(a[0], a[1]);
}

long stream_pair(uint64_t flags, uint64_t address)
{
	struct stream *there = new_stream(), *back = there ? new_stream() : NULL;

	if (!back) {
		free(there);
		return -ENOMEM;
	}
	return install_both(new_end(back, there, O_RDWR | (flags & O_NONBLOCK)),
			    new_end(there, back, O_RDWR | (flags & O_NONBLOCK)), flags & O_CLOEXEC,
			    address);
}

bool stream_is_socket(const struct file *file)
{
	const struct end *end = file->data;

	return file->operations == &pipe_operations && end->in && end->out;
}

void stream_shut(struct file *file, bool reading, bool writing)
{
	struct end *end = file->data;

	if (reading)
		end->in->readers = false;
	if (writing)
		end->out->writers = false;
}
