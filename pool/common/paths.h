/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are: the state directory (images, NAME.thaw), the run directory (fn/NAME.sock,
 * thawd.lock), and the lock that says a daemon is alive. Shared by thawd, thaw and libthaw, so that
 * the three cannot disagree.
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
 * The state directory: OPTION (what --state said, or NULL), else $THAW_STATE, else /var/lib/thaw
 * for root, else $XDG_STATE_HOME/thaw, else ~/.local/state/thaw. Absolute; *OUT is to be freed.
 * Nothing is created.
 */
int thaw_paths_state(const char *option, char **out, struct thaw_error *err);

/*
 * The run directory: OPTION (--run), else $THAW_RUN, else /run/thaw for root, else
 * $XDG_RUNTIME_DIR/thaw, else /tmp/thaw-UID. The last is refused when it exists and could be
 * somebody else's. Nothing is created.
 */
int thaw_paths_run(const char *option, char **out, struct thaw_error *err);

/* Creates directory PATH, with MODE, and its parents where they are missing. A directory that
 * others own or may write to is refused: what is put there would not be safe. */
int thaw_paths_make(const char *path, mode_t mode, struct thaw_error *err);

/* The address of function NAME's socket; *LENGTH may be NULL. A run directory that is too long for
 * an address, or a name that is none, is THAW_ERR_USAGE. */
int thaw_paths_socket(const char *run, const char *name, struct sockaddr_un *address,
		      socklen_t *length, struct thaw_error *err);

/* Takes the run directory's lock for this process; *FD holds it until it is closed. Fails with
 * THAW_ERR_ENGINE, and names the holder, while another daemon has it. */
int thaw_paths_lock(const char *run, int *fd, struct thaw_error *err);

/* True while a daemon holds the lock; *PID (may be NULL) is then its process, or 0 if that cannot
 * be told. */
bool thaw_paths_daemon_alive(const char *run, pid_t *pid);

#endif
