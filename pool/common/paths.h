/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are: the state directory (images, NAME.thaw), the run directory (fn/NAME.sock,
 * thawd.lock), and the lock that says that a daemon is alive. thawd, thaw and libthaw share it, so
 * that they cannot disagree.
 *
 * Functions that return int return 0, or -1 with ERR set. Strings in *OUT are the caller's to free.
 * The functions keep no state and may be called from any thread; they read the environment.
 */
#ifndef THAW_PATHS_H
#define THAW_PATHS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "snapshot-format/base/error.h"

#define THAW_IMAGE_SUFFIX     ".thaw"
#define THAW_SOCKET_DIRECTORY "fn"
#define THAW_SOCKET_SUFFIX    ".sock"
#define THAW_LOCK_NAME	      "thawd.lock"

/*
 * The absolute path of the state directory: OPTION (the argument of --state, or NULL), else
 * $THAW_STATE, else /var/lib/thaw for root, else $XDG_STATE_HOME/thaw, else ~/.local/state/thaw.
 * The directory is not created.
 */
int thaw_paths_state(const char *option, char **out, struct thaw_error *err);

/*
 * The absolute path of the run directory: OPTION (the argument of --run, or NULL), else $THAW_RUN,
 * else /run/thaw for root, else $XDG_RUNTIME_DIR/thaw, else /tmp/thaw-UID. The last is refused when
 * it exists and another user owns it or has access. The directory is not created.
 */
int thaw_paths_run(const char *option, char **out, struct thaw_error *err);

/* Creates the directory PATH with MODE, and its parents, where they are missing. A directory that
 * another user but root owns or may write to is refused: files there would not be safe. */
int thaw_paths_make(const char *path, mode_t mode, struct thaw_error *err);

/* The address of function NAME's socket. LENGTH, which may be NULL, receives its size.
 * THAW_ERR_USAGE: the run directory is too long for an address, or NAME is not a function's
 * name. */
int thaw_paths_socket(const char *run, const char *name, struct sockaddr_un *address,
		      socklen_t *length, struct thaw_error *err);

/* Takes the run directory's lock. *FD, which is the caller's, holds it until it is closed.
 * THAW_ERR_ENGINE: another daemon has it; the message names its process. */
int thaw_paths_lock(const char *run, int *fd, struct thaw_error *err);

/* True while a daemon holds the lock. PID, which may be NULL, then receives its process, or 0 if
 * that is unknown. */
bool thaw_paths_daemon_alive(const char *run, pid_t *pid);

#endif
