/* SPDX-License-Identifier: Apache-2.0 */
/* See wrap.h. Each function here replaces the one of its name; meson.build gives the linker the
 * same list. */
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wrap wrap;

void wrap_arm(void)
{
	wrap.allocations = wrap.calls = 0;
	memset(wrap.steps, 0, sizeof(wrap.steps));
	wrap.armed = true;
}

void wrap_disarm(void)
{
	wrap.armed = false;
}

bool wrap_hit(void)
{
	return (wrap.fail_allocation && wrap.allocations >= wrap.fail_allocation) ||
	       (wrap.fail_call && wrap.calls >= wrap.fail_call);
}

static bool allocation_fails(void)
{
	return wrap.armed && ++wrap.allocations == wrap.fail_allocation;
}

static bool call_fails(void)
{
	if (!wrap.armed || ++wrap.calls != wrap.fail_call)
		return false;
	if (wrap.mode == WRAP_KILL)
		kill(getpid(), SIGKILL);
	errno = EIO;
	return true;
}

/* Only single-threaded tests read the steps. */
static void note(char step)
{
	size_t used = wrap.armed ? strlen(wrap.steps) : sizeof(wrap.steps);

	if (used + 1 < sizeof(wrap.steps))
		wrap.steps[used] = step;
}

/* Declares the wrapped function and begins its wrapper. */
#define WRAP(type, name, ...)                                                                      \
	type __real_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)

static void *count(void *allocation)
{
	wrap.live += allocation != NULL;
	return allocation;
}

WRAP(void *, malloc, size_t size)
{
	return allocation_fails() ? NULL : count(__real_malloc(size));
}

WRAP(void *, calloc, size_t number, size_t size)
{
	return allocation_fails() ? NULL : count(__real_calloc(number, size));
}

/* Called only for memory that exists: nothing to count. */
WRAP(void *, reallocarray, void *memory, size_t number, size_t size)
{
	return allocation_fails() ? NULL : __real_reallocarray(memory, number, size);
}

WRAP(void, free, void *memory)
{
	wrap.live -= memory != NULL;
	__real_free(memory);
}

WRAP(void *, ZSTD_createCCtx, void)
{
	return allocation_fails() ? NULL : count(__real_ZSTD_createCCtx());
}

WRAP(size_t, ZSTD_freeCCtx, void *context)
{
	wrap.live -= context != NULL;
	return __real_ZSTD_freeCCtx(context);
}

WRAP(void *, ZSTD_createDCtx, void)
{
	return allocation_fails() ? NULL : count(__real_ZSTD_createDCtx());
}

WRAP(size_t, ZSTD_freeDCtx, void *context)
{
	wrap.live -= context != NULL;
	return __real_ZSTD_freeDCtx(context);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
     void *context)
{
	return wrap.armed && wrap.no_threads
		       ? EAGAIN
		       : __real_pthread_create(thread, attributes, run, context);
}

/* A transfer of at most 1000 bytes; every third one returns 0, for an interruption. */
static size_t shorten(size_t length)
{
	if (!wrap.armed || !wrap.short_transfers)
		return length;
	if (wrap.calls % 3 == 0) {
		errno = EINTR;
		return 0;
	}
	return length > 1000 ? 1000 : length;
}

WRAP(ssize_t, pread64, int fd, void *bytes, size_t length, off_t offset)
{
	size_t some;

	if (call_fails())
		return wrap.mode == WRAP_END ? 0 : -1;
	some = shorten(length);
	return some == 0 && length > 0 ? -1 : __real_pread64(fd, bytes, some, offset);
}

WRAP(ssize_t, pwrite64, int fd, const void *bytes, size_t length, off_t offset)
{
	size_t some;

	if (call_fails())
		return -1;
	note('w');
	some = shorten(length);
	return some == 0 && length > 0 ? -1 : __real_pwrite64(fd, bytes, some, offset);
}

WRAP(int, fstat64, int fd, struct stat *status)
{
	return call_fails() ? -1 : __real_fstat64(fd, status);
}

WRAP(int, fsync, int fd)
{
	struct stat status = {0};

	if (__real_fstat64(fd, &status) == 0)
		note(S_ISDIR(status.st_mode) ? 'd' : 'f');
	return call_fails() ? -1 : __real_fsync(fd);
}

WRAP(int, flock, int fd, int operation)
{
	return call_fails() ? -1 : __real_flock(fd, operation);
}

WRAP(int, openat64, int directory, const char *name, int flags, mode_t mode)
{
	if (wrap.armed && wrap.no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return call_fails() ? -1 : __real_openat64(directory, name, flags, mode);
}

WRAP(int, faccessat, int directory, const char *name, int how, int flags)
{
	if (wrap.armed && wrap.no_proc) {
		errno = ENOENT;
		return -1;
	}
	return call_fails() ? -1 : __real_faccessat(directory, name, how, flags);
}

WRAP(int, linkat, int from, const char *old, int to, const char *new, int flags)
{
	note('l');
	return call_fails() ? -1 : __real_linkat(from, old, to, new, flags);
}

WRAP(int, renameat, int from, const char *old, int to, const char *new)
{
	note('r');
	return call_fails() ? -1 : __real_renameat(from, old, to, new);
}

WRAP(int, unlinkat, int directory, const char *name, int flags)
{
	return call_fails() ? -1 : __real_unlinkat(directory, name, flags);
}
