/* SPDX-License-Identifier: Apache-2.0 */
/* Directories, addresses of sockets, and the daemon's lock; see paths.h. */
#include "pool/common/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/name.h"

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* Makes PATH absolute at once, because the daemon may outlive its caller's working directory. */
static int make_absolute(const char *path, char **out, struct thaw_error *err)
{
	thaw_autofree char *cwd = NULL;

	if (*path == '/') {
		*out = strdup(path);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot make '%s' an absolute path", path);
		if (asprintf(out, "%s/%s", cwd, path) < 0)
			*out = NULL;
	}
	return *out ? 0 : thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
}

static int join(const char *directory, const char *tail, char **out, struct thaw_error *err)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", directory, tail) < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	*out = joined;
	return 0;
}

/* 0: OPTION or else VARIABLE names the directory; 1: neither does. */
static int chosen(const char *option, const char *variable, char **out, struct thaw_error *err)
{
	if (option && !*option)
		return thaw_fail(err, THAW_ERR_USAGE, "a directory's name cannot be empty");
	if (!option)
		option = environment(variable);
	if (!option)
		return 1;
	return make_absolute(option, out, err);
}

int thaw_paths_state(const char *option, char **out, struct thaw_error *err)
{
	int told = chosen(option, "THAW_STATE", out, err);

	if (told <= 0)
		return told;
	if (geteuid() == 0)
		return make_absolute("/var/lib/thaw", out, err);
	if (environment("XDG_STATE_HOME"))
		return join(environment("XDG_STATE_HOME"), "thaw", out, err);
	if (environment("HOME"))
		return join(environment("HOME"), ".local/state/thaw", out, err);
	return thaw_fail(
		err, THAW_ERR_USAGE,
		"neither HOME nor XDG_STATE_HOME is set: name the directory of images with "
		"--state DIR");
}

/* Any user may write to /tmp: a directory there is trusted only when this user owns it and no other
 * user has access. */
static int check_private(const char *path, struct thaw_error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0
				       : thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "%s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return thaw_fail(
			err, THAW_ERR_FAILURE,
			"%s is not a private directory of this user: set XDG_RUNTIME_DIR or "
			"give --run DIR",
			path);
	return 0;
}

int thaw_paths_run(const char *option, char **out, struct thaw_error *err)
{
	thaw_autofree char *fallback = NULL;
	int told = chosen(option, "THAW_RUN", out, err);

	if (told <= 0)
		return told;
	if (geteuid() == 0)
		return make_absolute("/run/thaw", out, err);
	if (environment("XDG_RUNTIME_DIR"))
		return join(environment("XDG_RUNTIME_DIR"), "thaw", out, err);
	if (asprintf(&fallback, "/tmp/thaw-%u", geteuid()) < 0)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (check_private(fallback, err) < 0)
		return -1;
	*out = thaw_take(fallback);
	return 0;
}

static int make_parents(const char *path, struct thaw_error *err)
{
	thaw_autofree char *copy = strdup(path);

	if (!copy)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return thaw_fail_errno(err, THAW_ERR_FAILURE, errno,
					       "cannot create directory %s", copy);
		*slash = '/';
	}
	return 0;
}

int thaw_paths_make(const char *path, mode_t mode, struct thaw_error *err)
{
	struct stat st;

	if (make_parents(path, err) < 0)
		return -1;
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot create directory %s",
				       path);
	if (stat(path, &st) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return thaw_fail(err, THAW_ERR_FAILURE, "%s is not a directory", path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022))
		return thaw_fail(
			err, THAW_ERR_FAILURE,
			"other users can change %s: take it over with chown and chmod go-w, or "
			"name another directory",
			path);
	return 0;
}

int thaw_paths_socket(const char *run, const char *name, struct sockaddr_un *address,
		      socklen_t *length, struct thaw_error *err)
{
	struct sockaddr_un made = {.sun_family = AF_UNIX};
	int written;

	if (!thaw_name_valid(name))
		return thaw_fail(
			err, THAW_ERR_USAGE,
			"'%s' is not a function name: use a-z, 0-9, '.', '_', '-', at most "
			"%u, a letter or digit first",
			name ? name : "", THAW_NAME_MAX);
	written = snprintf(made.sun_path, sizeof(made.sun_path),
			   "%s/" THAW_SOCKET_DIRECTORY "/%s" THAW_SOCKET_SUFFIX, run, name);
	if (written < 0 || (size_t)written >= sizeof(made.sun_path))
		return thaw_fail(err, THAW_ERR_USAGE,
				 "%s/" THAW_SOCKET_DIRECTORY "/%s" THAW_SOCKET_SUFFIX
				 " is too long for a socket's address (%zu bytes): name a shorter "
				 "directory with --run",
				 run, name, sizeof(made.sun_path) - 1);
	*address = made;
	if (length)
		*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)written + 1);
	return 0;
}

static pid_t read_pid(int fd)
{
	char text[32] = "";
	ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

	return got > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static int open_lock(const char *run, int flags)
{
	thaw_autofree char *path = NULL;

	if (asprintf(&path, "%s/" THAW_LOCK_NAME, run) < 0)
		return -1;
	return open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0644);
}

static int write_pid(int fd)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	ssize_t put;

	if (ftruncate(fd, 0) < 0)
		return -1;
	put = pwrite(fd, text, (size_t)length, 0);
	/* A short write leaves errno alone. */
	if (put >= 0 && put < length)
		errno = ENOSPC;
	return put == length ? 0 : -1;
}

/* An open-file-description lock ends with the process, however that ends, and closing another
 * descriptor of the file does not drop it. */
int thaw_paths_lock(const char *run, int *fd, struct thaw_error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	thaw_autoclose int opened = open_lock(run, O_RDWR | O_CREAT);

	if (opened < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot open %s/" THAW_LOCK_NAME, run);
	if (fcntl(opened, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
					       "cannot lock %s/" THAW_LOCK_NAME, run);
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "another thawd (process %d) already serves %s: stop it, or give "
				 "this one a directory of its own with --run",
				 (int)read_pid(opened), run);
	}
	if (write_pid(opened) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot write %s/" THAW_LOCK_NAME, run);
	*fd = thaw_take_fd(&opened);
	return 0;
}

bool thaw_paths_daemon_alive(const char *run, pid_t *pid)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	thaw_autoclose int opened = open_lock(run, O_RDONLY);

	if (opened < 0 || fcntl(opened, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return false;
	if (pid)
		*pid = read_pid(opened);
	return true;
}
