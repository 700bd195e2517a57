/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images there are. The state directory is the registry: a function is a file NAME.thaw in
 * it. inotify reports changes; when it has lost some, the directory is read anew.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "pool/front/internal.h"

/* A file that is linked or renamed into place is whole at once. A file that is written in place is
 * whole when it is closed. */
#define CHANGES (IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM)

void thaw_registry_scan(struct thaw_front *front)
{
	DIR *directory = thaw_list_directory(front->state_fd);
	struct dirent *entry;

	if (!directory) {
		thaw_log(THAW_LOG_error, "cannot read %s: %s", front->state, strerror(errno));
		return;
	}
	while ((entry = readdir(directory))) {
		char name[THAW_NAME_MAX + 1];

		if (thaw_image_file_name(entry->d_name, name))
			thaw_function_update(front, name);
	}
	closedir(directory);
	/* The loop above misses functions whose file is gone. */
	for (struct thaw_function *f = front->functions; f; f = f->next)
		if (!f->gone)
			thaw_function_update(front, f->name);
}

static void handle_event(struct thaw_front *front, const struct inotify_event *event)
{
	char name[THAW_NAME_MAX + 1];

	if (event->mask & IN_Q_OVERFLOW)
		thaw_registry_scan(front);
	else if (event->mask & IN_IGNORED)
		thaw_log(THAW_LOG_error, "%s is gone: restart thawd to serve another",
			 front->state);
	else if (event->len && thaw_image_file_name(event->name, name))
		thaw_function_update(front, name);
}

static void changes_ready(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_front *front = thaw_container_of(watch, struct thaw_front, changes);
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t got = read(watch->fd, buffer, sizeof(buffer));

	(void)events;
	for (ssize_t at = 0; at < got;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		handle_event(front, event);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
}

int thaw_registry_open(struct thaw_front *front, struct thaw_error *err)
{
	front->changes.ready = changes_ready;
	front->changes.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (front->changes.fd < 0 ||
	    inotify_add_watch(front->changes.fd, front->state, CHANGES | IN_ONLYDIR) < 0 ||
	    thaw_watch_begin(front, &front->changes, EPOLLIN) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot watch %s",
				       front->state);
	return 0;
}
