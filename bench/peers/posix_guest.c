/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest library's interface over POSIX. With it the source of a function becomes an ordinary
 * Linux program that does the same work for one request and ends; `thaw bench` compares a thawed
 * instance with it. Memory, strings and formatting are the C library's own.
 *
 * All of standard input is the request, standard output the response, the exit code the status.
 * With THAW_PREFORK=N in the environment the program is a pre-forked server instead, like those
 * of FastCGI: standard input is a listening SOCK_SEQPACKET socket, and N forks of the booted
 * process take connections from it. Each serves one request after another, with the state that
 * the previous one left. A message in either direction is eight bytes of length and that many
 * bytes, in pieces of at most 60 KiB; it has no status.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <thaw/guest.h>

struct bytes {
	uint8_t *start;
	size_t length, room;
};

struct thaw_invocation {
	struct bytes request, response;
	size_t read;
	const uint8_t *body; /* the rest of the request at the first call of thaw_request_body() */
	size_t body_length;
};

static void (*hooks[THAW_HOOKS_MAX])(void);
static unsigned hook_count;

static _Noreturn void give_up(const char *what)
{
	perror(what);
	_exit(1);
}

static void make_room(struct bytes *bytes, size_t more)
{
	size_t room = bytes->room ? bytes->room : 4096;

	while (room - bytes->length < more)
		if (__builtin_mul_overflow(room, (size_t)2, &room))
			give_up("response");
	if (room == bytes->room)
		return;
	bytes->start = realloc(bytes->start, room);
	if (!bytes->start)
		give_up("memory");
	bytes->room = room;
}

static void read_request(struct bytes *request)
{
	ssize_t got;

	do {
		make_room(request, 65536);
		got = read(STDIN_FILENO, request->start + request->length,
			   request->room - request->length);
		if (got < 0 && errno != EINTR)
			give_up("standard input");
		request->length += got > 0 ? (size_t)got : 0;
	} while (got != 0);
}

static void write_response(const struct bytes *response)
{
	size_t done = 0;

	while (done < response->length) {
		ssize_t put = write(STDOUT_FILENO, response->start + done, response->length - done);

		if (put < 0 && errno != EINTR)
			give_up("standard output");
		done += put > 0 ? (size_t)put : 0;
	}
}

/* The current invocation, so that thaw_exit() can send what has been written. */
static struct thaw_invocation current;

void thaw_exit(int status)
{
	write_response(&current.response);
	_exit(status & 255);
}

static void run_hooks(void)
{
	for (unsigned i = 0; i < hook_count; i++)
		hooks[i]();
}

/* ---- A pre-forked server ---- */

#define PIECE_MAX 61440u

/* Appends to BYTES until they are LENGTH; -1 at the end of the connection. */
static int receive(int fd, struct bytes *bytes, size_t length)
{
	while (bytes->length < length) {
		ssize_t got;

		make_room(bytes, PIECE_MAX);
		got = recv(fd, bytes->start + bytes->length, PIECE_MAX, 0);
		if (got <= 0)
			return -1;
		bytes->length += (size_t)got;
	}
	return 0;
}

static int send_all(int fd, const struct bytes *bytes)
{
	for (size_t done = 0; done < bytes->length;) {
		size_t left = bytes->length - done;
		ssize_t put = send(fd, bytes->start + done, left < PIECE_MAX ? left : PIECE_MAX,
				   MSG_NOSIGNAL);

		if (put <= 0)
			return -1;
		done += (size_t)put;
	}
	return 0;
}

static int serve_request(int fd, int (*handler)(struct thaw_invocation *))
{
	struct thaw_invocation *invocation = &current;
	uint64_t length;

	invocation->request.length = invocation->response.length = 0;
	invocation->body = NULL;
	invocation->read = sizeof(length);
	if (receive(fd, &invocation->request, sizeof(length)))
		return -1;
	memcpy(&length, invocation->request.start, sizeof(length));
	if (receive(fd, &invocation->request, sizeof(length) + length))
		return -1;
	thaw_write(invocation, &length, sizeof(length)); /* room for the length */
	handler(invocation);
	length = invocation->response.length - sizeof(length);
	memcpy(invocation->response.start, &length, sizeof(length));
	return send_all(fd, &invocation->response);
}

static _Noreturn void serve_connections(pid_t parent, int (*handler)(struct thaw_invocation *))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run_hooks();
	while (getppid() == parent) {
		int fd = accept(STDIN_FILENO, NULL, NULL);

		if (fd < 0)
			give_up("accept");
		while (serve_request(fd, handler) == 0)
			;
		close(fd);
	}
	_exit(0);
}

static _Noreturn void prefork(int count, int (*handler)(struct thaw_invocation *))
{
	pid_t parent = getpid();

	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			give_up("fork");
		if (child == 0)
			serve_connections(parent, handler);
	}
	while (wait(NULL) > 0)
		;
	_exit(1);
}

void thaw_serve(int (*handler)(struct thaw_invocation *))
{
	const char *servers = getenv("THAW_PREFORK");

	if (servers)
		prefork(atoi(servers), handler);
	read_request(&current.request);
	run_hooks();
	thaw_exit(handler(&current));
}

int thaw_on_thaw(void (*hook)(void))
{
	if (hook_count == THAW_HOOKS_MAX)
		return -1;
	hooks[hook_count++] = hook;
	return 0;
}

void thaw_abort(const char *message)
{
	fprintf(stderr, "%s\n", message);
	_exit(134);
}

size_t thaw_request_length(const struct thaw_invocation *invocation)
{
	return invocation->request.length;
}

long thaw_read_piece(struct thaw_invocation *invocation, const void **piece)
{
	size_t left = invocation->request.length - invocation->read;

	*piece = invocation->request.start + invocation->read;
	invocation->read += left;
	return (long)left;
}

long thaw_read(struct thaw_invocation *invocation, void *buffer, size_t length)
{
	size_t left = invocation->request.length - invocation->read;
	size_t piece = length < left ? length : left;

	memcpy(buffer, invocation->request.start + invocation->read, piece);
	invocation->read += piece;
	return (long)piece;
}

/* The first call takes the rest of the request as the body; later calls return the same. */
const void *thaw_request_body(struct thaw_invocation *invocation, size_t *length)
{
	if (!invocation->body) {
		invocation->body = invocation->request.start + invocation->read;
		invocation->body_length = invocation->request.length - invocation->read;
		invocation->read = invocation->request.length;
	}
	if (length)
		*length = invocation->body_length;
	return invocation->body;
}

uint64_t thaw_deadline_ns(const struct thaw_invocation *invocation)
{
	(void)invocation;
	return 0;
}

uint64_t thaw_generation(const struct thaw_invocation *invocation)
{
	uint64_t generation;

	(void)invocation;
	thaw_random(&generation, sizeof(generation));
	return generation | 1;
}

int thaw_write(struct thaw_invocation *invocation, const void *bytes, size_t length)
{
	struct bytes *response = &invocation->response;

	make_room(response, length);
	memcpy(response->start + response->length, bytes, length);
	response->length += length;
	return 0;
}

int thaw_print(struct thaw_invocation *invocation, const char *text)
{
	return thaw_write(invocation, text, strlen(text));
}

int thaw_printf(struct thaw_invocation *invocation, const char *format, ...)
{
	char *text = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		give_up("memory");
	thaw_write(invocation, text, (size_t)length);
	free(text);
	return 0;
}

int thaw_log(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return 0;
}

void thaw_random(void *buffer, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = getrandom((uint8_t *)buffer + done, length - done, 0);

		if (got < 0 && errno != EINTR)
			give_up("getrandom");
		done += got > 0 ? (size_t)got : 0;
	}
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t thaw_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t thaw_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static int linux_prot(unsigned prot)
{
	return (prot & THAW_MAP_READ ? PROT_READ : 0) | (prot & THAW_MAP_WRITE ? PROT_WRITE : 0) |
	       (prot & THAW_MAP_EXEC ? PROT_EXEC : 0);
}

int thaw_map(void *start, size_t length, unsigned prot)
{
	void *mapped = mmap(start, length, linux_prot(prot),
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return mapped == MAP_FAILED ? -errno : 0;
}

int thaw_unmap(void *start, size_t length)
{
	return munmap(start, length) ? -errno : 0;
}

int thaw_protect(void *start, size_t length, unsigned prot)
{
	return mprotect(start, length, linux_prot(prot)) ? -errno : 0;
}
