/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: pairs within the program, by which event loops wake themselves. There is no network and
 * no other process. A program may make a Unix socket and try to connect it, but nothing listens at
 * any path: C libraries ask for a cache of names in this way, and do without.
 */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/socket.h>
#include <linux/stat.h>

#include <asm/socket.h> /* needs the one above */

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/fs/files.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/wait/event.h"
#include "guest-stub/linux/wait/pipe.h"

#define FAMILY_UNIX   1
#define TYPE_STREAM   1
#define TYPE_DATAGRAM 2
#define TYPE_SEQUENCE 5
#define ADDRESS_PATH  108
#define TYPE_MASK     0xful
#define TYPE_FLAGS    ((uint64_t)(O_NONBLOCK | O_CLOEXEC))
#define PEEK	      0x2u
#define DONT_WAIT     0x40u
#define NO_SIGNAL     0x4000u
#define BUFFER_SIZE   0x10000

/* The kernel's struct sockaddr_un, with room for a zero behind the longest path. */
struct address {
	uint16_t family;
	char path[ADDRESS_PATH + 1];
};

static const char *family_name(int family)
{
	switch (family) {
	case FAMILY_UNIX:
		return "AF_UNIX";
	case 2:
		return "AF_INET";
	case 10:
		return "AF_INET6";
	case 16:
		return "AF_NETLINK";
	case 17:
		return "AF_PACKET";
	default:
		return "of this family";
	}
}

static long refuse(const char *call, uint64_t family)
{
	log_once(LOG_KEY_SOCKET,
		 "refused: %s(%s): no network: a function has what its policy grants (EACCES, at "
		 "%#lx)",
		 call, family_name((int)family), current->registers->rip - 2);
	return -EACCES;
}

/* ---- Not connected ---- */

static unsigned unconnected_poll(struct file *file)
{
	(void)file;
	return POLLOUT | POLLHUP;
}

static int unconnected_stat(struct file *file, struct stat *out)
{
	event_stat(file, out);
	out->st_mode = S_IFSOCK | 0777;
	return 0;
}

static const struct file_operations unconnected_operations = {
	.poll = unconnected_poll,
	.stat = unconnected_stat,
	.release = event_release,
};

static bool is_unconnected(const struct file *file)
{
	return file->operations == &unconnected_operations;
}

long sys_socket(const uint64_t *a)
{
	uint64_t type = (uint32_t)a[1] & ~TYPE_FLAGS;

	if ((int)a[0] != FAMILY_UNIX)
		return refuse("socket", a[0]);
	if (type != TYPE_STREAM && type != TYPE_DATAGRAM && type != TYPE_SEQUENCE)
		return -ESOCKTNOSUPPORT;
	return event_install(&unconnected_operations, malloc(1), a[1] & TYPE_FLAGS);
}

/* Answers as a path at which no process listens. The name cache is not logged: every C library asks
 * for it. */
static long no_listener(const struct address *address)
{
	struct file *there;
	long error = -ECONNREFUSED;

	if (address->path[0]) {
		error = file_open(address->path, O_PATH, 0, &there);
		if (!error) {
			file_drop(there);
			error = -ECONNREFUSED;
		}
	}
	if (strcmp(address->path, "/var/run/nscd/socket") != 0)
		log_once(LOG_KEY_CONNECT,
			 "refused: connect to the socket '%s': no process listens in a "
			 "function (error %ld)",
			 address->path, -error);
	return error;
}

long sys_connect(const uint64_t *a)
{
	struct file *file = file_get((int)a[0]);
	struct address address = {0};
	long error = -ENOTSOCK;

	if (!file)
		return -EBADF;
	if (stream_is_socket(file))
		error = -EISCONN;
	else if (is_unconnected(file) && a[2] >= sizeof(address.family) &&
		 a[2] <= sizeof(address.family) + ADDRESS_PATH)
		error = user_get(&address, a[1], a[2]);
	else if (is_unconnected(file))
		error = -EINVAL;
	file_drop(file);
	if (error)
		return error;
	return address.family == FAMILY_UNIX ? no_listener(&address) : -EINVAL;
}

/* ---- Pairs ---- */

long sys_socketpair(const uint64_t *a)
{
	uint64_t type = a[1] & TYPE_MASK;

	if (a[0] != FAMILY_UNIX)
		return refuse("socketpair", a[0]);
	if (type != TYPE_STREAM && type != TYPE_SEQUENCE)
		return -ESOCKTNOSUPPORT;
	if (!user_writable(a[3], 2 * sizeof(int)))
		return -EFAULT;
	return stream_pair(a[1] & TYPE_FLAGS, a[3]);
}

/* Returns the connected socket behind FD, held; or NULL, and why in *ERROR. */
static struct file *get_socket(uint64_t fd, long *error)
{
	struct file *file = file_get((int)fd);

	*error = !file ? -EBADF : is_unconnected(file) ? -ENOTCONN : -ENOTSOCK;
	if (file && stream_is_socket(file))
		return file;
	file_drop(file);
	return NULL;
}

/* 0 if FD is a socket, connected or not; otherwise why not. */
static long check_socket(uint64_t fd)
{
	long error;
	struct file *file = get_socket(fd, &error);

	file_drop(file);
	return file || error == -ENOTCONN ? 0 : error;
}

static long take_socket_error(uint64_t fd)
{
	long error;
	struct file *file = get_socket(fd, &error);

	error = file ? stream_error(file) : 0;
	file_drop(file);
	return error;
}

static long send(struct file *file, const void *bytes, size_t length, uint64_t flags)
{
	return stream_write(file, bytes, length, !(file->flags & O_NONBLOCK || flags & DONT_WAIT),
			    !(flags & NO_SIGNAL));
}

static long receive(struct file *file, void *bytes, size_t length, uint64_t flags)
{
	return stream_read(file, bytes, length, !(file->flags & O_NONBLOCK || flags & DONT_WAIT),
			   flags & PEEK);
}

long sys_sendto(const uint64_t *a)
{
	long result;
	struct file *file = get_socket(a[0], &result);

	if (!file)
		return result;
	result = user_readable(a[1], a[2]) ? send(file, (const void *)a[1], a[2], a[3]) : -EFAULT;
	file_drop(file);
	return result;
}

long sys_recvfrom(const uint64_t *a)
{
	const int no_address = 0;
	long result;
	struct file *file = get_socket(a[0], &result);

	if (!file)
		return result;
	if (!user_writable(a[1], a[2]) || (a[5] && user_put(a[5], &no_address, sizeof(int))))
		result = -EFAULT;
	else
		result = receive(file, (void *)a[1], a[2], a[3]);
	file_drop(file);
	return result;
}

/* The kernel's struct user_msghdr. */
struct message {
	uint64_t name;
	uint32_t name_length, padding;
	uint64_t vectors, vector_count;
	uint64_t control, control_length;
	uint64_t flags;
};

/* Transfers one buffer after the other, and stops after one that was not transferred whole. */
static long transfer(struct file *file, const struct message *message, uint64_t flags, bool out)
{
	struct user_vector vectors[64];
	long total, done = 0;

	if (message->vector_count > sizeof(vectors) / sizeof(vectors[0]))
		return -EMSGSIZE;
	total = user_vectors(vectors, message->vectors, message->vector_count, !out);
	if (total < 0)
		return total;
	for (uint64_t i = 0; i < message->vector_count; i++) {
		uint64_t length = vectors[i].length;
		long result;

		if (length == 0)
			continue;
		/* A wait for an earlier buffer may have let another task unmap this one. */
		if (!(out ? user_still_readable(vectors[i].base, length)
			  : user_still_writable(vectors[i].base, length)))
			return done ? done : -EFAULT;
		/* Receiving waits for the first bytes only. */
		result = out ? send(file, vectors[i].base, length, flags)
			     : receive(file, vectors[i].base, length,
				       done ? flags | DONT_WAIT : flags);
		if (result < 0)
			return done ? done : result;
		done += result;
		if ((uint64_t)result < length)
			break;
	}
	return done;
}

long sys_sendmsg(const uint64_t *a)
{
	struct message message;
	long result;
	struct file *file = get_socket(a[0], &result);

	if (!file)
		return result;
	if (user_get(&message, a[1], sizeof(message)))
		result = -EFAULT;
	else if (message.control_length)
		result = -EOPNOTSUPP;
	else
		result = transfer(file, &message, a[2], true);
	file_drop(file);
	return result;
}

long sys_recvmsg(const uint64_t *a)
{
	struct message message;
	long result;
	struct file *file = get_socket(a[0], &result);

	if (!file)
		return result;
	result = user_get(&message, a[1], sizeof(message));
	if (!result)
		result = transfer(file, &message, a[2], false);
	message.name_length = 0;
	message.control_length = 0;
	message.flags = 0;
	if (result >= 0 && user_put(a[1], &message, sizeof(message)))
		result = -EFAULT;
	file_drop(file);
	return result;
}

long sys_shutdown(const uint64_t *a)
{
	long error;
	struct file *file = get_socket(a[0], &error);

	if (!file)
		return error;
	if (a[1] <= 2)
		stream_shut(file, a[1] != 1, a[1] != 0);
	file_drop(file);
	return a[1] > 2 ? -EINVAL : 0;
}

/* No socket has a name: only the family is written. */
static long put_name(const uint64_t *a)
{
	const uint16_t family = FAMILY_UNIX;
	const uint32_t full = sizeof(family);
	uint32_t length;
	long error = check_socket(a[0]);

	if (error)
		return error;
	if (user_get(&length, a[2], sizeof(length)) ||
	    user_put(a[1], &family, length < full ? length : full) ||
	    user_put(a[2], &full, sizeof(full)))
		return -EFAULT;
	return 0;
}

long sys_getsockname(const uint64_t *a)
{
	return put_name(a);
}

long sys_getpeername(const uint64_t *a)
{
	long error;
	struct file *file = get_socket(a[0], &error);

	file_drop(file);
	return file ? put_name(a) : error;
}

long sys_setsockopt(const uint64_t *a)
{
	long error = check_socket(a[0]);

	return error ? error : (int)a[1] == SOL_SOCKET ? 0 : -ENOPROTOOPT;
}

long sys_getsockopt(const uint64_t *a)
{
	long error = check_socket(a[0]);
	uint32_t length;
	int value;

	if (error)
		return error;
	if ((int)a[1] != SOL_SOCKET)
		return -ENOPROTOOPT;
	switch ((int)a[2]) {
	case SO_TYPE:
	case SO_DOMAIN: /* TYPE_STREAM and FAMILY_UNIX are both 1 */
		value = 1;
		break;
	case SO_SNDBUF:
	case SO_RCVBUF:
		value = BUFFER_SIZE;
		break;
	case SO_ERROR:
		value = (int)take_socket_error(a[0]);
		break;
	case SO_PROTOCOL:
	case SO_ACCEPTCONN:
	case SO_KEEPALIVE:
	case SO_REUSEADDR:
		value = 0;
		break;
	default:
		return -ENOPROTOOPT;
	}
	if (user_get(&length, a[4], sizeof(length)))
		return -EFAULT;
	if (length > sizeof(value))
		length = sizeof(value);
	if (user_put(a[3], &value, length) || user_put(a[4], &length, sizeof(length)))
		return -EFAULT;
	return 0;
}
