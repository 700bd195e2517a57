/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the front, shared by its files.
 *
 * One thread does everything. No field here needs a lock, and no function here may be called from
 * another thread. The thread handles one event at a time, so a handler may free the object that its
 * watch belongs to.
 *
 * Each file calls only files below it in this list:
 *
 *   front.c        the start, the event loop, signals, the end
 *   registry.c     which images there are
 *   function.c     one function's life: when its workers start, are replaced, are retried
 *   spawn.c        starts a worker process
 *   child.c        what a worker process reports and prints, and its death
 *   unavailable.c  answers requests while no worker can
 *   memory.c       --image-dir: loaded images that outlive the daemon
 *   image_file.c   opens an image's file, names it, tells it from its successor
 *   socket.c       the listening sockets
 *   watch.c        descriptors that the event loop watches
 */
#ifndef THAW_FRONT_INTERNAL_H
#define THAW_FRONT_INTERNAL_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "pool/common/log.h"
#include "pool/common/rate_limit.h"
#include "pool/common/worker_protocol.h"
#include "pool/front/front.h"
#include "pool/wire/protocol.h"
#include "snapshot-format/base/name.h"

/* A descriptor that the event loop watches, and the handler of its events. The object that holds
 * the watch sets FD and READY; only watch.c writes FRONT. */
struct thaw_watch {
	int fd; /* -1: none */
	void (*ready)(struct thaw_watch *watch, uint32_t events);
	struct thaw_front *front; /* NULL while FD is not watched */
};

#define thaw_container_of(pointer, type, member)                                                   \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Tells an image file from another of the same name. */
struct thaw_identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct thaw_front {
	/* Set by front.c at the start. */
	const struct thaw_front_options *options;
	char *state, *run; /* absolute paths; owned */
	int epoll_fd, lock_fd, state_fd;
	int image_dir_fd; /* -1: no --image-dir */
	int self_fd;	  /* this program: workers execute it, whatever is on disk by then */
	struct thaw_watch signals, changes;

	struct thaw_function *functions; /* function.c adds, front.c removes */
	unsigned starting;		 /* workers that do not serve yet; function.c counts */
	unsigned waiters;		 /* clients of unavailable.c, which counts them */

	/* Written by front.c alone. */
	bool announced; /* "serving N functions" is printed */
	bool stopping;
	uint64_t stop_ns; /* CLOCK_MONOTONIC; when workers that still run are killed; 0: never */
};

/* The file of a loaded image in --image-dir. memory.c fills and closes it. */
struct thaw_memory_file {
	int read_fd, write_fd; /* -1: none; WRITE_FD only while the file is not filled */
	bool filled;
	char name[128]; /* in the directory */
};

enum thaw_child_state { THAW_CHILD_STARTING, THAW_CHILD_SERVING, THAW_CHILD_ENDING };

/* A worker process. */
struct thaw_child {
	/* Set by spawn.c; constant afterwards. */
	struct thaw_function *function;
	const struct thaw_child_events *events;
	pid_t pid;
	uid_t uid; /* the user that the worker becomes, when the front is privileged */

	struct thaw_child *next;	/* of FUNCTION; spawn.c adds, child.c removes */
	struct thaw_watch death;	/* pidfd */
	struct thaw_watch words;	/* control socket: reports in, the order to drain out */
	struct thaw_watch output;	/* pipe: the worker's standard error */
	enum thaw_child_state state;	/* function.c; child.c when it drains */
	uint64_t since_ns;		/* CLOCK_MONOTONIC; of STATE; function.c */
	struct thaw_memory_file memory; /* until the worker serves */
	struct thaw_rate_limit output_limit; /* of lines */

	/* Written by child.c alone: what the worker said. */
	enum thaw_worker_word verdict; /* REFUSED or FAILED, told before it ends; else 0 */
	char message[1024];	       /* of the verdict */
	char line[512];		       /* of its output, so far */
	size_t line_length;
};

/* What child.c tells the owner of a worker process. */
struct thaw_child_events {
	/* The worker takes requests from the listening socket. */
	void (*serving)(struct thaw_function *function, struct thaw_child *child);
	/* The worker has ended; WHY completes the sentence "the worker ...". child.c frees CHILD
	 * when this returns. */
	void (*lost)(struct thaw_function *function, struct thaw_child *child, const char *why);
};

/* Written by function.c, but where a line says otherwise. */
struct thaw_function {
	struct thaw_function *next;
	struct thaw_front *front;
	char name[THAW_NAME_MAX + 1];
	struct thaw_identity identity; /* of the image that is to be served */
	bool gone;		       /* its image was removed; lives until its workers end */
	struct thaw_watch listener;    /* watched by unavailable.c, while the front answers */
	int log_fd;		       /* the log ring: see log_ring.h */
	struct thaw_child *children;   /* all; spawn.c adds, child.c removes */
	struct thaw_child *serving, *starting; /* one of CHILDREN, or NULL */
	unsigned failures;		       /* in a row */
	bool served;			       /* a worker of this image has served */
	uint64_t retry_ns; /* CLOCK_MONOTONIC; when to start a worker; 0: not planned */
	uint32_t restarts; /* for the statistics */
	/* THAW_STATUS_ran: a worker serves or soon will. Else the front answers with this
	 * status. */
	enum thaw_status status;
	char reason[1024];	     /* the text of those answers */
	struct thaw_waiter *waiters; /* unavailable.c */
};

/* Functions that return int return 0, or -1 with ERR set. */

/* ---- registry.c ---- */

/* Watches the state directory, front->state. */
int thaw_registry_open(struct thaw_front *front, struct thaw_error *err);
/* Reads the state directory anew: calls thaw_function_update() for each name that has a file or is
 * served. */
void thaw_registry_scan(struct thaw_front *front);

/* ---- function.c ---- */

/* The image of NAME may have appeared, changed or gone: starts, replaces or ends its workers. */
void thaw_function_update(struct thaw_front *front, const char *name);
/* Takes FUNCTION out of service. Its workers finish what they have read; it may be freed when the
 * last has ended. */
void thaw_function_stop(struct thaw_function *function);
/* The moment of CLOCK_MONOTONIC from which thaw_function_tick() has something to do; 0: none. */
uint64_t thaw_function_due(const struct thaw_function *function);
void thaw_function_tick(struct thaw_function *function, uint64_t now_ns);
/* FUNCTION has no children, and is in no list any more. */
void thaw_function_free(struct thaw_function *function);
/* True when FUNCTION serves or is known not to: it is not about to start. */
bool thaw_function_settled(const struct thaw_function *function);
/* How long to wait before the start that follows FAILURES failures in a row. SERVED: a worker of
 * the same image has served. */
uint64_t thaw_function_delay_ns(unsigned failures, bool served);

/* ---- spawn.c ---- */

/* Starts a worker of FUNCTION on the image IMAGE_FD, which stays the caller's. *OUT is in
 * function->children, and child.c frees it after its death. EVENTS must be static. */
int thaw_child_spawn(struct thaw_function *function, int image_fd,
		     const struct thaw_child_events *events, struct thaw_child **out,
		     struct thaw_error *err);

/* ---- child.c ---- */

/* The handlers of a child's three watches. */
void thaw_child_death(struct thaw_watch *watch, uint32_t events);
void thaw_child_words(struct thaw_watch *watch, uint32_t events);
void thaw_child_output(struct thaw_watch *watch, uint32_t events);
/* Orders the worker to finish what it has read and to end. A worker that takes no orders is
 * killed. */
void thaw_child_drain(struct thaw_child *child);
/* Its death arrives as an event. */
void thaw_child_kill(struct thaw_child *child);
/* Takes CHILD out of its function and frees it. */
void thaw_child_free(struct thaw_child *child);

/* ---- unavailable.c ---- */

/* Answers FUNCTION's clients with its status and reason, until thaw_unavailable_end(). Either may
 * be called twice. */
void thaw_unavailable_begin(struct thaw_function *function);
/* Connected clients get a goaway, and connect again. */
void thaw_unavailable_end(struct thaw_function *function);

/* ---- memory.c ---- */

/* Opens --image-dir PATH, creating it where it is missing. It must be on tmpfs or hugetlbfs. */
int thaw_memory_directory(const char *path, int *fd, struct thaw_error *err);
/* The memory of the image IMAGE_FD of function NAME: a file of an earlier load, or a new one
 * without a name. OUT is closed with thaw_memory_close(). */
int thaw_memory_open(int directory_fd, const char *name, int image_fd, struct thaw_memory_file *out,
		     struct thaw_error *err);
/* The file is filled: gives it its name, and removes the files of the function's other images. */
void thaw_memory_commit(int directory_fd, const char *name, struct thaw_memory_file *file);
void thaw_memory_close(struct thaw_memory_file *file);
/* Removes the files of function NAME, all but KEEP (NULL: all). */
void thaw_memory_forget(int directory_fd, const char *name, const char *keep);

/* ---- image_file.c ---- */

/* "NAME.thaw" to NAME in OUT; false: FILE is not the name of an image. */
bool thaw_image_file_name(const char *file, char out[THAW_NAME_MAX + 1]);
/* Opens NAME's image, which must be a plain file of this user or of root; *FD is the caller's.
 * THAW_ERR_NOT_FOUND: there is none; THAW_ERR_IMAGE: it must not be used; THAW_ERR_ENGINE: the host
 * failed. */
int thaw_image_file_open(int state_fd, const char *name, int *fd, struct thaw_identity *identity,
			 struct thaw_error *err);
bool thaw_identity_equal(const struct thaw_identity *a, const struct thaw_identity *b);
/* A listing of the directory DIRECTORY_FD from its first entry; NULL with errno. To be closed with
 * closedir(); DIRECTORY_FD stays the caller's. */
DIR *thaw_list_directory(int directory_fd);

/* ---- socket.c ---- */

/* Creates RUN/fn, or empties it. The caller holds the lock of the run directory. */
int thaw_socket_directory(struct thaw_front *front, struct thaw_error *err);
/* Listens on RUN/fn/NAME.sock; *FD is the caller's. */
int thaw_socket_listen(struct thaw_front *front, const char *name, int *fd, struct thaw_error *err);
void thaw_socket_unlink(struct thaw_front *front, const char *name);

/* ---- watch.c ---- */

/* Has the loop call WATCH->ready for EVENTS of WATCH->fd (EPOLLIN; level-triggered). -1 with
 * errno. */
int thaw_watch_begin(struct thaw_front *front, struct thaw_watch *watch, uint32_t events);
/* Ends the watching. WATCH need not be watched. */
void thaw_watch_end(struct thaw_watch *watch);
/* Ends the watching and closes the descriptor. */
void thaw_watch_close(struct thaw_watch *watch);

#endif
