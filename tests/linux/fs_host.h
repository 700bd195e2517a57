/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux core's file system, compiled for the host. Its system calls are functions here, and
 * fs_host.c stands in for the rest of the core. A file that includes this may include libc's
 * headers; one that includes the core's may not, since both have a struct stat.
 */
#ifndef TESTS_LINUX_FS_HOST_H
#define TESTS_LINUX_FS_HOST_H

#include <stddef.h>
#include <stdint.h>

/* Maps the tree in FD, of SIZE bytes, and starts the file system. Called once. */
void fs_host_start(int fd, size_t size);

/* Makes one of the core's system calls, with its first four arguments. */
#define FS_HOST_CALLS(X)                                                                           \
	X(openat)                                                                                  \
	X(close)                                                                                   \
	X(read)                                                                                    \
	X(write)                                                                                   \
	X(pread64)                                                                                 \
	X(pwrite64)                                                                                \
	X(lseek)                                                                                   \
	X(ftruncate)                                                                               \
	X(mkdirat)                                                                                 \
	X(unlinkat)                                                                                \
	X(renameat2)                                                                               \
	X(linkat)                                                                                  \
	X(symlinkat)                                                                               \
	X(readlinkat)                                                                              \
	X(newfstatat)                                                                              \
	X(getdents64)                                                                              \
	X(faccessat2)                                                                              \
	X(fchmodat)                                                                                \
	X(truncate)                                                                                \
	X(chdir)                                                                                   \
	X(getcwd)                                                                                  \
	X(fstat)                                                                                   \
	X(dup)                                                                                     \
	X(fcntl)                                                                                   \
	X(sendfile)                                                                                \
	X(utimensat)
enum fs_host_call {
#define FS_HOST_ENUM(name) FS_HOST_##name,
	FS_HOST_CALLS(FS_HOST_ENUM)
};
long fs_host(enum fs_host_call call, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* The request, which standard input reads. */
extern const char *fs_host_request;

/* Says what is wrong with a tree. Returns NULL when nothing is, after a walk through all of it. */
const char *fs_host_check(const void *tree, size_t size);

#endif
