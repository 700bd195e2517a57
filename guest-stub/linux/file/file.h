/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files and the table of descriptors. An open file is a set of operations and their data. The
 * folder that opens a file provides the operations: fs/ for the tree, devices and the standard
 * streams, wait/ for pipes, events and epoll sets. This folder knows none of them, so that memory/
 * can map files.
 *
 * The caller of an operation has checked the buffer. An operation that has to wait calls
 * task_wait(), or returns -EAGAIN if file->flags has O_NONBLOCK. After a wait it checks the buffer
 * again (user_still_readable(), user_still_writable()). A NULL operation means what its comment
 * says.
 */
#ifndef THAW_LINUX_FILE_H
#define THAW_LINUX_FILE_H

#include "guest-stub/linux/linux.h"

/* How many descriptors a program may have: the hard limit of RLIMIT_NOFILE. */
#define FILES_MAX 1024

struct file;
struct home;
struct watch;
struct stat; /* the kernel's, <asm/stat.h>; the same as libc's on x86-64 */

struct file_operations {
	/* Transfers at *POSITION and advances it. POSITION is the file's own for read(2) and a
	 * local for pread(2); streams ignore it. NULL: -EBADF or -EINVAL. */
	long (*read)(struct file *file, void *buffer, size_t length, int64_t *position);
	long (*write)(struct file *file, const void *buffer, size_t length, int64_t *position);
	/* For the reading end of a pipe: as read, but the bytes stay. NULL: no such end. */
	long (*look)(struct file *file, void *buffer, size_t length);
	/* Returns the new position. NULL: -ESPIPE, also for pread and pwrite. */
	int64_t (*seek)(struct file *file, int64_t offset, int whence);
	int (*stat)(struct file *file, struct stat *out);
	int (*truncate)(struct file *file, int64_t length); /* NULL: -EINVAL */
	/* getdents64. NULL: -ENOTDIR. */
	long (*entries)(struct file *file, void *buffer, size_t length);
	long (*ioctl)(struct file *file, uint64_t request, uint64_t argument); /* NULL: -ENOTTY */
	/* Returns which of POLLIN, POLLOUT, POLLERR and POLLHUP hold now. A wait asks again each
	 * time another task has run, so this is called often. NULL: always POLLIN | POLLOUT. */
	unsigned (*poll)(struct file *file);
	/* Returns when time alone will make the file readable, in monotonic nanoseconds and in the
	 * future; 0: never. NULL: never. */
	uint64_t (*due)(const struct file *file);
	/* Tells the file's watches of what has changed without a call of the program, by time or by
	 * the host. NULL: nothing does. */
	void (*notice)(struct file *file);
	/* Whether a wait for reading the file is a wait for the request. Asked before the ready
	 * point only. NULL: no. */
	bool (*awaits_request)(const struct file *file);
	/* Frees what `data` points to, when the last reference is gone. NULL: nothing to free. */
	void (*release)(struct file *file);
	/* As read(), for the pages of a mapping. Such mappings that the program does not write show
	 * after the thaw what this gives then. NULL: read() gives it, and it stays. */
	long (*fill)(struct file *file, void *buffer, size_t length, int64_t *position);
	/* What its shared mappings are one with. NULL: a mapping is a copy. */
	struct home *(*home)(struct file *file);
	bool mappable; /* mmap() may copy it into pages, by read() at given positions */
};

struct file {
	const struct file_operations *operations;
	uint32_t references;
	uint32_t flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_PATH */
	int64_t position;
	void *data; /* belongs to the operations */
	struct watch *watches;
	bool noticed;	  /* belongs to the operations' notice() */
	const char *path; /* of what was opened, for /proc/self/fd and maps; never freed; or NULL */
};

/* An entry of an epoll set: it is told when something arrives at its file, and when the file closes.
 * A file does not hold its watches, and a watch does not hold its file. */
struct watch {
	struct watch *next, **link;
	struct file *file;
	bool exclusive;
	/* EVENTS are those that may hold now; 0: any. Returns whether that has woken a waiter. */
	bool (*wake)(struct watch *watch, unsigned events);
	/* The file's last reference is gone; the watch is on no list any more. */
	void (*closed)(struct watch *watch);
};

/* Puts WATCH on its file's list, and takes it off. */
void file_watch(struct watch *watch);
void file_unwatch(struct watch *watch);

/* Tells the watches of FILE (NULL: none) that EVENTS may hold now: each write, each room that a
 * full pipe gets, each end that closes. 0: any. Of the exclusive ones only the first that has a
 * waiter is told, unless EVENTS is 0. */
void file_wake(struct file *file, unsigned events);

/* A new open file with one reference and no descriptor; NULL when memory is out. */
struct file *file_new(const struct file_operations *operations, uint32_t flags, void *data);

/* Takes one more reference. Returns FILE. */
struct file *file_hold(struct file *file);

/* Gives up a reference; the last one closes the file. FILE may be NULL. */
void file_drop(struct file *file);

/* The open file of descriptor FD with a reference for the caller, who drops it; or NULL: -EBADF. */
struct file *file_get(int fd);

/* The soft limit of RLIMIT_NOFILE: no new descriptor is as large. At most FILES_MAX. */
int file_limit(void);
void file_set_limit(uint64_t limit);

/* Whether FD is open. */
bool file_is_open(int fd);

/* Moves the caller's reference to FILE into the lowest free descriptor from FROM on. Returns the
 * descriptor; or drops the reference and returns -EMFILE. */
int file_install(struct file *file, bool close_on_exec, int from);

/* Moves the caller's reference to FILE into descriptor FD (below file_limit()), and closes what FD
 * was. */
void file_install_at(int fd, struct file *file, bool close_on_exec);

/* Closes FD. 0 or -EBADF. */
int file_close(int fd);

/* No descriptor from here on is open. */
int file_end(void);

/* FD, which is open, and its close-on-exec flag. */
bool file_closes_on_exec(int fd);
void file_set_close_on_exec(int fd, bool closes);

#endif
