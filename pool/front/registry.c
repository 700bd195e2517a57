/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images there are. The state directory is the registry: a function is a file NAME.thaw in
 * it. Changes are heard of through inotify, and the directory is read anew when some were lost.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "pool/common/paths.h"
#include "pool/front/front.h"
#include "snapshot-format/base/cleanup.h"

/* A file that is linked or renamed into place is whole; one that is written in place is whole at
 * last when closed. */
#define CHANGES (IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM)

bool thaw_registry_name(const char *file, char out[THAW_IMAGE_NAME_MAX + 1])
{
	size_t length = strlen(file), suffix = strlen(THAW_IMAGE_SUFFIX);

	if (length <= suffix || length - suffix > THAW_IMAGE_NAME_MAX ||
	    strcmp(file + length - suffix, THAW_IMAGE_SUFFIX) != 0)
		return false;
	memcpy(out, file, length - suffix);
	out[length - suffix] = '\0';
	return thaw_image_name_valid(out);
}

bool thaw_identity_equal(const struct thaw_identity *a, const struct thaw_identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

int thaw_registry_open_image(int state_fd, const char *name, int *fd,
			     struct thaw_identity *identity, struct thaw_error *err)
{
	char file[THAW_IMAGE_NAME_MAX + sizeof(THAW_IMAGE_SUFFIX)];
	thaw_autoclose int opened = -1;
	struct stat st;

	strcpy(stpcpy(file, name), THAW_IMAGE_SUFFIX);
	/* Not blocking: somebody may have put a pipe there. */
	opened = openat(state_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (opened < 0 && errno == ENOENT)
		return thaw_fail(err, THAW_ERR_NOT_FOUND, "%s is not there", file);
	if (opened < 0 && (errno == ELOOP || errno == EACCES || errno == ENXIO))
		return thaw_fail_errno(err, THAW_ERR_IMAGE, errno, "%s cannot be opened", file);
	if (opened < 0 || fstat(opened, &st) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "%s", file);
	if (!S_ISREG(st.st_mode))
		return thaw_fail(err, THAW_ERR_IMAGE, "%s is not a regular file", file);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "%s belongs to user %u, not to the daemon's: take it with chown",
				 file, st.st_uid);
	*identity = (struct thaw_identity){.device = st.st_dev,
					   .inode = st.st_ino,
					   .size = st.st_size,
					   .modified = st.st_mtim};
	*fd = thaw_take_fd(&opened);
	return 0;
}

void thaw_registry_scan(struct thaw_front *front)
{
	int fd = openat(front->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory) {
		thaw_log(THAW_LOG_error, "cannot read %s: %s", front->state, strerror(errno));
		thaw_cleanup_close(&fd);
		return;
	}
	while ((entry = readdir(directory))) {
		char name[THAW_IMAGE_NAME_MAX + 1];

		if (thaw_registry_name(entry->d_name, name))
			thaw_function_update(front, name);
	}
	closedir(directory);
	/* And those that are no longer there. */
	for (struct thaw_function *f = front->functions; f; f = f->next)
		if (!f->gone)
			thaw_function_update(front, f->name);
}

static void handle_event(struct thaw_front *front, const struct inotify_event *event)
{
	char name[THAW_IMAGE_NAME_MAX + 1];

	if (event->mask & IN_Q_OVERFLOW)
		thaw_registry_scan(front);
	else if (event->mask & IN_IGNORED)
		thaw_log(THAW_LOG_error, "%s is gone: restart thawd to serve another",
			 front->state);
	else if (event->len && thaw_registry_name(event->name, name))
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
	    thaw_front_watch(front, &front->changes, EPOLLIN) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot watch %s",
				       front->state);
	return 0;
}
