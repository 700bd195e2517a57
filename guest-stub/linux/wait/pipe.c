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
#include "guest-stub/linux/wait/ring.h"

#define PIPE_ATOMIC 4096u /* PIPE_BUF */
#define FIONREAD_   0x541bul
#define POLLRDHUP_  0x2000u

/* What a wake-up tells, in each of the two directions. */
#define CAME  (POLLIN | POLLRDNORM)
#define FREED (POLLOUT | POLLWRNORM)

/* One direction. */
struct stream {
	struct file *reader, *writer; /* its ends; NULL when closed. Not held: they hold it */
	bool readers, writers;	      /* whether that end is open, and not shut down */
	struct ring ring;
};

/* The data of a file. An end of a pipe has one of the two, a socket has both. */
struct end {
	struct stream *in, *out;
	bool reset; /* a socket: the other end was closed with bytes in it that no one had read */
};

static bool can_read(void *context)
{
	const struct stream *stream = context;

	return stream->ring.length > 0 || !stream->writers || !stream->readers;
}

/* The room that a write waits for. A small write is atomic, so it waits for all its room. */
struct room {
	const struct stream *stream;
	uint32_t wanted;
};

static bool can_write(void *context)
{
	const struct room *room = context;

	return ring_room(&room->stream->ring) >= room->wanted || !room->stream->readers;
}

static bool is_socket(const struct end *end)
{
	return end->in && end->out;
}

/* Takes COUNT bytes. The writer of a pipe is told when the pipe was full, and that of a socket
 * whenever one of its messages was read to its end. */
static void consume(struct stream *stream, uint32_t count)
{
	bool was_full = ring_is_full(&stream->ring);

	if (ring_take(&stream->ring, count) && (was_full || !stream->ring.pages))
		file_wake(stream->writer, FREED);
}

static long take_error(struct end *end)
{
	bool reset = end->reset;

	end->reset = false;
	return reset ? -ECONNRESET : 0;
}

long stream_read(struct file *file, void *buffer, size_t length, bool wait, bool keep)
{
	struct end *end = file->data;
	struct stream *stream = end->in;
	uint32_t count;
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
	if (!stream->ring.length)
		return take_error(end);
	count = ring_look(&stream->ring, buffer, length);
	if (!keep)
		consume(stream, count);
	return count;
}

static long broken(bool raise)
{
	if (raise)
		signal_raise(SIGPIPE, current, SIGNAL_USER);
	return -EPIPE;
}

/* Writes until all is written, or until no more can be and the call does not WAIT. */
static long write_all(struct stream *stream, const uint8_t *from, size_t length, bool wait,
		      bool raise)
{
	struct room room = {stream, length <= PIPE_ATOMIC ? (uint32_t)length : 1};
	size_t done;

	if (!stream->readers || !stream->writers)
		return broken(raise);
	done = ring_merge(&stream->ring, from, length);
	while (done < length) {
		int error = 0;

		if (!can_write(&room)) {
			file_wake(stream->reader, CAME);
			error = wait ? task_wait(can_write, &room, 0) : -EAGAIN;
		}
		if (!error && !user_still_readable(from, length))
			error = -EFAULT;
		if (error)
			return done ? (long)done : error;
		if (!stream->readers)
			return done ? (long)done : broken(raise);
		done += ring_give(&stream->ring, from + done, length - done);
	}
	return (long)done;
}

/* Each write is an edge for the reader, also one that found no room. */
long stream_write(struct file *file, const void *buffer, size_t length, bool wait, bool raise)
{
	struct stream *stream = ((struct end *)file->data)->out;
	long result = write_all(stream, buffer, length, wait, raise);

	if (length > 0 && (result > 0 || stream->ring.pages))
		file_wake(stream->reader, CAME);
	return result;
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

static long pipe_look(struct file *file, void *buffer, size_t length)
{
	const struct end *end = file->data;

	if (!end->in)
		return -EBADF;
	return stream_read(file, buffer, length, !(file->flags & O_NONBLOCK), true);
}

static unsigned socket_poll(const struct end *end)
{
	bool in_shut = !end->in->readers || !end->in->writers;
	bool out_shut = !end->out->readers || !end->out->writers;
	unsigned events = end->reset ? POLLERR : 0;

	if (end->in->ring.length > 0 || in_shut)
		events |= POLLIN | POLLRDNORM;
	if (in_shut)
		events |= POLLRDHUP_;
	if (in_shut && out_shut)
		events |= POLLHUP;
	if (RING_CAPACITY - end->out->ring.length >= PIPE_ATOMIC)
		events |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return events;
}

static unsigned pipe_poll(struct file *file)
{
	const struct end *end = file->data;

	if (is_socket(end))
		return socket_poll(end);
	if (end->in)
		return (end->in->ring.length > 0 ? POLLIN | POLLRDNORM : 0) |
		       (!end->in->writers ? POLLHUP : 0);
	return (!ring_is_full(&end->out->ring) ? POLLOUT | POLLWRNORM : 0) |
	       (!end->out->readers ? POLLERR : 0);
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
	int length = (int)(end->in ? end->in : end->out)->ring.length;

	if (request != FIONREAD_)
		return -ENOTTY;
	return user_put(argument, &length, sizeof(length));
}

/* A stream goes with the second of its ends. */
static void leave(struct stream *stream, struct file **self, struct file *const *other)
{
	*self = NULL;
	if (*other)
		file_wake(*other, 0);
	else
		free(stream);
}

static void pipe_release(struct file *file)
{
	struct end *end = file->data;
	struct stream *in = end->in, *out = end->out;

	/* What was written and not read is an error for a socket's writer. */
	if (in && out && in->writer && in->ring.length > 0)
		((struct end *)in->writer->data)->reset = true;
	if (in)
		in->readers = false;
	if (out)
		out->writers = false;
	if (in)
		leave(in, &in->reader, &in->writer);
	if (out)
		leave(out, &out->writer, &out->reader);
	free(end);
}

static const struct file_operations pipe_operations = {
	.read = pipe_read,
	.look = pipe_look,
	.write = pipe_write,
	.poll = pipe_poll,
	.stat = pipe_stat,
	.ioctl = pipe_ioctl,
	.release = pipe_release,
};

/* A stream that no file holds yet. */
static struct stream *new_stream(bool pages)
{
	struct stream *stream = malloc(sizeof(*stream));

	if (stream) {
		stream->reader = stream->writer = NULL;
		stream->readers = stream->writers = true;
		stream->ring.pages = pages;
		stream->ring.start = stream->ring.length = 0;
		stream->ring.first = stream->ring.count = 0;
	}
	return stream;
}

static struct file *new_end(struct stream *in, struct stream *out, uint32_t flags)
{
	struct end *end = malloc(sizeof(*end));
	struct file *file;

	if (!end)
		return NULL;
	*end = (struct end){in, out, false};
	file = file_new(&pipe_operations, flags, end);
	if (!file) {
		free(end);
		return NULL;
	}
	if (in)
		in->reader = file;
	if (out)
		out->writer = file;
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
	stream = new_stream(true);
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
	struct stream *there = new_stream(false), *back = there ? new_stream(false) : NULL;

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
	return file->operations == &pipe_operations && is_socket(file->data);
}

bool stream_is_pipe(const struct file *file)
{
	return file->operations == &pipe_operations && !is_socket(file->data);
}

bool stream_is_same(const struct file *one, const struct file *other)
{
	const struct end *in = one->data, *out = other->data;

	return stream_is_pipe(one) && stream_is_pipe(other) && in->in == out->out;
}

long stream_await_content(struct file *file, bool wait)
{
	struct stream *stream = ((struct end *)file->data)->in;

	if (can_read(stream))
		return 0;
	return wait ? task_wait(can_read, stream, 0) : -EAGAIN;
}

long stream_await_room(struct file *file, bool wait)
{
	struct stream *stream = ((struct end *)file->data)->out;
	struct room room = {stream, 1};
	long error = 0;

	if (stream->readers && !can_write(&room))
		error = wait ? task_wait(can_write, &room, 0) : -EAGAIN;
	if (error)
		return error;
	return stream->readers ? (long)ring_room(&stream->ring) : broken(true);
}

long stream_move(struct file *from, struct file *to, size_t length, bool keep)
{
	struct stream *in = ((struct end *)from->data)->in, *out = ((struct end *)to->data)->out;
	uint32_t count = ring_copy(&out->ring, &in->ring, length, keep);

	if (count)
		file_wake(out->reader, 0);
	if (count && !keep)
		stream_skip(from, count);
	return count;
}

void stream_skip(struct file *file, size_t count)
{
	struct stream *stream = ((struct end *)file->data)->in;

	if (ring_take(&stream->ring, (uint32_t)count))
		file_wake(stream->writer, 0);
}

long stream_splice(struct file *file, const void *bytes, size_t length)
{
	struct stream *stream = ((struct end *)file->data)->out;
	uint32_t count = ring_splice(&stream->ring, bytes, length);

	if (count)
		file_wake(stream->reader, 0);
	return count;
}

long stream_error(struct file *file)
{
	return -take_error(file->data);
}

void stream_shut(struct file *file, bool reading, bool writing)
{
	struct end *end = file->data;

	if (reading)
		end->in->readers = false;
	if (writing)
		end->out->writers = false;
	file_wake(file, 0);
	if (end->in->writer)
		file_wake(end->in->writer, 0);
}
