/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets, fn/NAME.sock. A socket is made under another name and renamed when it
 * listens, so a client finds either no socket or one that accepts. The file's mode and group are
 * the access control: a user who may open it may invoke the function.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/common/paths.h"
#include "pool/front/internal.h"
#include "snapshot-format/base/cleanup.h"

#define BACKLOG 4096

/* Removes the sockets of a daemon that was killed. This process holds the lock of the run
 * directory, so no other daemon serves them. */
static void remove_leftovers(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

int thaw_socket_directory(struct thaw_front *front, struct thaw_error *err)
{
	thaw_autofree char *path = NULL;
	struct sockaddr_un address;

	/* "a" is as short as names get: where it does not fit, the directory's path is too long. */
	if (thaw_paths_socket(front->run, "a", &address, NULL, err) < 0)
		return -1;
	if (asprintf(&path, "%s/" THAW_SOCKET_DIRECTORY, front->run) < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (thaw_paths_make(path, geteuid() == 0 ? 0750 : 0700, err) < 0)
		return -1;
	remove_leftovers(path);
	return 0;
}

int thaw_socket_listen(struct thaw_front *front, const char *name, int *fd, struct thaw_error *err)
{
	thaw_autoclose int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un final, first = {.sun_family = AF_UNIX};

	if (thaw_paths_socket(front->run, name, &final, NULL, err) < 0)
		return -1;
	/* Shorter than any final name, so it fits where that fits. */
	snprintf(first.sun_path, sizeof(first.sun_path), "%.*s/" THAW_SOCKET_DIRECTORY "/.new",
		 (int)(sizeof(first.sun_path) - sizeof(THAW_SOCKET_DIRECTORY) - 6), front->run);
	unlink(first.sun_path);
	if (made < 0 || bind(made, (struct sockaddr *)&first, sizeof(first)) < 0 ||
	    chmod(first.sun_path, geteuid() == 0 ? 0660 : 0600) < 0 || listen(made, BACKLOG) < 0 ||
	    rename(first.sun_path, final.sun_path) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot listen on %s",
				       final.sun_path);
	*fd = thaw_take_fd(&made);
	return 0;
}

void thaw_socket_unlink(struct thaw_front *front, const char *name)
{
	struct sockaddr_un address;

	if (thaw_paths_socket(front->run, name, &address, NULL, NULL) == 0)
		unlink(address.sun_path);
}
