/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front: thawd's own process. One thread, one event at a time, so that a handler may free what
 * it belongs to. It opens image files and never looks into them; it holds no guest memory; requests
 * pass it by.
 *
 *   front.c              the event loop, signals, the end
 *   registry.c     which images there are
 *   function.c     one function's life: when its workers start, are replaced, are retried
 *   spawn.c        making a worker process
 *   child.c        a worker process's words, output and death
 *   socket.c       the listening sockets
 *   memory.c       --image-dir: loaded images that outlive the daemon
 *   unavailable.c  answers while no worker can give any
 */
#ifndef THAW_FRONT_H
#define THAW_FRONT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "pool/common/log.h"
#include "pool/common/rate_limit.h"
#include "pool/common/worker_protocol.h"
#include "pool/wire/protocol.h"

struct thaw_front_options {
	const char *state, *run, *image_dir; /* as given; NULL: the default, none */
	unsigned pool, max_instances, concurrency, queue;
	enum thaw_backend_kind backend;
	bool recycle;
	bool no_write_sets;
};

/* A descriptor that the loop watches, and who is told. FD is -1 while there is none. */
struct thaw_watch {
	int fd;
	void (*ready)(struct thaw_watch *watch, uint32_t events);
	struct thaw_front *front; /* while it is watched */
};

#define thaw_container_of(pointer, type, member)                                                   \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* What tells one image file from another of the same name. */
struct thaw_identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified;
};

struct thaw_front {
	const struct thaw_front_options *options;
	char *state, *run;
	int epoll_fd, lock_fd, state_fd, image_dir_fd;
	int self_fd; /* this program, for the workers: what is on disk may be replaced meanwhile */
	struct thaw_watch signals, changes;
	struct thaw_function *functions;
	unsigned starting; /* workers on their way to serve */
	unsigned waiters;  /* clients of unavailable.c */
	bool announced;	   /* "serving N functions" was said */
	bool stopping;
	uint64_t stop_ns; /* when what still runs is killed */
};

/* The file of a loaded image in --image-dir. */
struct thaw_memory_file {
	int read_fd, write_fd;
	bool filled;
	char name[128]; /* in the directory */
};

enum thaw_child_state { THAW_CHILD_STARTING, THAW_CHILD_SERVING, THAW_CHILD_ENDING };

/* A worker process. */
struct thaw_child {
	struct thaw_child *next; /* of its function */
	struct thaw_function *function;
	enum thaw_child_state state;
	pid_t pid;
	uid_t uid;
	struct thaw_watch death, words, output;
	uint64_t since_ns; /* of its state */
	struct thaw_memory_file memory;
	enum thaw_worker_word verdict; /* REFUSED or FAILED, told before it ends; else 0 */
	char message[1024];
	char line[512]; /* of its output, so far */
	size_t line_length;
	struct thaw_rate_limit output_limit;
};

struct thaw_function {
	struct thaw_function *next;
	struct thaw_front *front;
	char name[THAW_IMAGE_NAME_MAX + 1];
	struct thaw_identity identity; /* of the image that is wanted */
	bool gone;		       /* its image was removed; lives until its workers are done */
	struct thaw_watch listener;    /* watched only while the front answers itself */
	int log_fd;
	struct thaw_child *children, *serving, *starting;
	unsigned failures; /* in a row */
	bool served;	   /* a worker of this image did serve */
	uint64_t retry_ns; /* when to start a worker; 0: not planned */
	uint32_t restarts;
	enum thaw_status
		status; /* `ran`: a worker serves or soon will; else what the front answers */
	char reason[1024];
	struct thaw_waiter *waiters;
};

/* front.c */
int thaw_front_run(const struct thaw_front_options *options, struct thaw_error *err);
int thaw_front_watch(struct thaw_front *front, struct thaw_watch *watch, uint32_t events);
void thaw_front_unwatch(struct thaw_watch *watch);
/* Watches no longer and closes. */
void thaw_front_close(struct thaw_watch *watch);

/* registry.c */
int thaw_registry_open(struct thaw_front *front, struct thaw_error *err);
/* Looks at every file; tells thaw_function_update() of each name that is or was there. */
void thaw_registry_scan(struct thaw_front *front);
/* "NAME.thaw" to NAME in OUT; false when it is not the name of an image. */
bool thaw_registry_name(const char *file, char out[THAW_IMAGE_NAME_MAX + 1]);
/* Opens NAME's image, which must be a plain file of this user or root. THAW_ERR_NOT_FOUND: there is
 * none; THAW_ERR_IMAGE: it must not be used; else the host failed. */
int thaw_registry_open_image(int state_fd, const char *name, int *fd,
			     struct thaw_identity *identity, struct thaw_error *err);
bool thaw_identity_equal(const struct thaw_identity *a, const struct thaw_identity *b);

/* function.c */
/* The image of NAME may have come, changed or gone. */
void thaw_function_update(struct thaw_front *front, const char *name);
void thaw_function_serving(struct thaw_function *function, struct thaw_child *child);
/* CHILD has ended; WHY is for people. The child is freed by the caller. */
void thaw_function_lost(struct thaw_function *function, struct thaw_child *child, const char *why);
void thaw_function_stop(struct thaw_function *function);
/* When thaw_function_tick() has something to do; 0: never. */
uint64_t thaw_function_due(const struct thaw_function *function);
void thaw_function_tick(struct thaw_function *function, uint64_t now_ns);
void thaw_function_free(struct thaw_function *function);
/* Neither starting nor about to: what can be said of it is known. */
bool thaw_function_settled(const struct thaw_function *function);
/* How long to wait before the start that follows FAILURES failures in a row. */
uint64_t thaw_function_delay_ns(unsigned failures, bool served);

/* spawn.c */
/* Starts a worker on image IMAGE_FD (not owned). */
int thaw_child_spawn(struct thaw_function *function, int image_fd, struct thaw_error *err);

/* child.c */
void thaw_child_death(struct thaw_watch *watch, uint32_t events);
void thaw_child_words(struct thaw_watch *watch, uint32_t events);
void thaw_child_output(struct thaw_watch *watch, uint32_t events);
void thaw_child_drain(struct thaw_child *child);
void thaw_child_kill(struct thaw_child *child);
void thaw_child_free(struct thaw_child *child);

/* socket.c */
int thaw_socket_directory(struct thaw_front *front, struct thaw_error *err);
int thaw_socket_listen(struct thaw_front *front, const char *name, int *fd, struct thaw_error *err);
void thaw_socket_unlink(struct thaw_front *front, const char *name);

/* memory.c */
int thaw_memory_open(int directory_fd, const char *name, int image_fd, struct thaw_memory_file *out,
		     struct thaw_error *err);
/* The file is filled: it gets its name, and files of other images of this function go. */
void thaw_memory_commit(int directory_fd, const char *name, struct thaw_memory_file *file);
void thaw_memory_close(struct thaw_memory_file *file);
/* Removes the files of function NAME, all but KEEP (NULL: none is kept). */
void thaw_memory_forget(int directory_fd, const char *name, const char *keep);
int thaw_memory_directory(const char *path, int *fd, struct thaw_error *err);

/* unavailable.c */
void thaw_unavailable_begin(struct thaw_function *function);
void thaw_unavailable_end(struct thaw_function *function);

#endif
