/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux core's file system, compiled for the host: its system calls are functions here, and
 * what the rest of the core would give it is played by fs_host.c. No header of libc's may come with
 * this one: both have a struct stat.
 */
#ifndef TESTS_LINUX_FS_HOST_H
#define TESTS_LINUX_FS_HOST_H

#include <stddef.h>
#include <stdint.h>

/* Puts the tree in FD, SIZE bytes, where the core looks for it, and starts the file system. Once.
 */
void fs_host_start(int fd, size_t size);

/* The core's system calls by name, with the arguments as they come. */
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

/* What the program would be told about standard input and so on is not played: the request is this.
 */
extern const char *fs_host_request;

/* What is wrong with a tree, or NULL. If nothing is, looks at all of it as the core would. */
const char *fs_host_check(const void *tree, size_t size);

#endif
