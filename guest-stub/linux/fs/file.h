/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files and the table of descriptors. What a file is, its operations say: fs_*.c has those of
 * the tree and of standard input and output, pipe.c, event.c and epoll.c their own.
 *
 * Buffers given to operations were checked already. An operation that would wait calls task_wait();
 * with O_NONBLOCK in file->flags it returns -EAGAIN instead. NULL operations answer as the comment
 * says.
 */
#ifndef THAW_LINUX_FILE_H
#define THAW_LINUX_FILE_H

#include "guest-stub/linux/linux.h"

struct file;
struct stat; /* the kernel's, <asm/stat.h>; the same as libc's on x86-64 */

struct file_operations {
	/* *POSITION is where, and moves on; it is the file's own for read(2) and a local for
	 * pread(2). Streams leave it. NULL: -EBADF, or -EINVAL. */
	long (*read)(struct file *file, void *buffer, size_t length, int64_t *position);
	long (*write)(struct file *file, const void *buffer, size_t length, int64_t *position);
	/* The new position. NULL: -ESPIPE, also for pread and pwrite. */
	int64_t (*seek)(struct file *file, int64_t offset, int whence);
	int (*stat)(struct file *file, struct stat *out);
	int (*truncate)(struct file *file, int64_t length); /* NULL: -EINVAL */
	long (*entries)(struct file *file, void *buffer,
			size_t length); /* getdents64; NULL: -ENOTDIR */
	long (*ioctl)(struct file *file, uint64_t request, uint64_t argument); /* NULL: -ENOTTY */
	/* POLLIN | POLLOUT | POLLERR | POLLHUP as they are now. NULL: POLLIN | POLLOUT always.
	 * It may be asked often: waiting is asking again whenever another task has run. */
	unsigned (*poll)(struct file *file);
	/* The last reference is gone: frees what is behind `data`. */
	void (*release)(struct file *file);
	bool mappable; /* mmap() reads it (at given positions) into pages of its own */
	bool is_stdin; /* a wait for it is the ready point */
};

struct file {
	const struct file_operations *operations;
	uint32_t references;
	uint32_t flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_PATH */
	int64_t position;
	void *data;	  /* the operations' own */
	const char *path; /* of what was opened, for /proc/self/fd and maps; or NULL */
};

/* descriptors.c */

/* A new open file with one reference, in no descriptor; NULL when memory is out. */
struct file *file_new(const struct file_operations *operations, uint32_t flags, void *data);
struct file *file_hold(struct file *file); /* one reference more */
void file_drop(struct file *file);	   /* one less; NULL is fine */

/* The open file behind FD, held for the caller (file_drop() it), or NULL: -EBADF. */
struct file *file_get(int fd);

/* Puts FILE (and the caller's reference) into the lowest free descriptor from FROM on. The
 * descriptor, or -EMFILE and the reference is dropped. */
int file_install(struct file *file, bool close_on_exec, int from);

/* The number of descriptors that a program may have: RLIMIT_NOFILE. */
#define FILES_MAX 1024

/* fs_*.c. The tree and the first three descriptors, before the program is loaded; sets `config`. */
void files_init(void);

/* Opens a file of the guest's as open(2) does, from the current directory. 0 or -errno. */
int file_open(const char *path, int flags, unsigned mode, struct file **out);

/* A writable file in memory with no name, for memfd_create(). */
int file_anonymous(const char *name, struct file **out);

#endif
