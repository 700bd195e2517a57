/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that the event loop watches. The loop itself is in front.c. */
#include <sys/epoll.h>

#include "pool/front/internal.h"
#include "snapshot-format/base/cleanup.h"

int thaw_watch_begin(struct thaw_front *front, struct thaw_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
		return -1;
	watch->front = front;
	return 0;
}

/* Closing the descriptor is not enough. A worker that is being started holds copies of the front's
 * descriptors until it executes its program, and an entry of the epoll set lives as long as the
 * last copy. */
void thaw_watch_end(struct thaw_watch *watch)
{
	if (watch->front)
		epoll_ctl(watch->front->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->front = NULL;
}

void thaw_watch_close(struct thaw_watch *watch)
{
	thaw_watch_end(watch);
	thaw_cleanup_close(&watch->fd);
	watch->fd = -1;
}
