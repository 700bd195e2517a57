/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup attributes: a local frees or closes what it owns when it goes out of scope. Internal to
 * this tree. */
#ifndef THAW_CLEANUP_H
#define THAW_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void thaw_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

/* Keeps errno: a cleanup runs after the failure that the caller is about to report. */
static inline void thaw_cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define thaw_autofree  __attribute__((cleanup(thaw_cleanup_free)))
#define thaw_autoclose __attribute__((cleanup(thaw_cleanup_close)))

/* Hands on an owned descriptor or pointer: the local no longer owns it. */
static inline int thaw_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define thaw_take(pointer)                                                                         \
	__extension__({                                                                            \
		__typeof__(pointer) taken_ = (pointer);                                            \
		(pointer) = NULL;                                                                  \
		taken_;                                                                            \
	})

#endif
