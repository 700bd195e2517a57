/* SPDX-License-Identifier: Apache-2.0 */
/* What files that are only there to be waited for have in common. */
#ifndef THAW_LINUX_EVENT_H
#define THAW_LINUX_EVENT_H

#include "guest-stub/linux/fs/file.h"

int event_stat(struct file *file, struct stat *out);
/* Frees `data`. */
void event_release(struct file *file);
/* Opens a file with OPERATIONS and DATA (malloc()ed; NULL: memory was out), the flags those of its
 * system call. The descriptor or -errno. */
long event_install(const struct file_operations *operations, void *data, uint64_t flags);

/* When a timer's file will be readable by the time alone; 0: never. */
uint64_t event_deadline(const struct file *file);

/* epoll.c: the same for all that is in an epoll set; 0 for other files. */
uint64_t epoll_deadline(const struct file *file);

/* The events that FILE has now. A wait for standard input is the ready point: see poll.c. */
unsigned file_poll(struct file *file);

/* poll.c: takes the signal mask of ppoll and its like for the call at hand. 0, -EFAULT, -EINVAL. */
int poll_mask(uint64_t address, uint64_t size);

/* Whether waiting on FILE, for reading, waits for the request. */
bool file_awaits_request(const struct file *file);

#endif
