/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the file system: the tree (thaw/tree.h) lies read-only underneath, and what the
 * program changes lies above it, in memory that is gone with the invocation.
 *
 * A node of the tree gets an inode only when it is opened or changed, so looking around costs no
 * memory. From then on the inode counts. It uses the node's data until it has its own.
 *
 * Functions return 0 or a negative errno unless their comment says otherwise.
 */
#ifndef THAW_LINUX_FS_H
#define THAW_LINUX_FS_H

#include <linux/stat.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stub/linux/memory/shared.h"
#include "thaw/tree.h"

struct file;
struct stat;

/* <linux/stat.h> leaves these to libc when a header of libc was included before. */
#ifndef S_IFMT
#define S_IFMT	   0170000
#define S_IFREG	   0100000
#define S_IFLNK	   0120000
#define S_IFDIR	   0040000
#define S_IFCHR	   0020000
#define S_IFIFO	   0010000
#define S_ISVTX	   0001000
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#endif

#define FS_NO_NODE   UINT32_MAX
#define FS_PATH_MAX  4096u
#define FS_LINKS_MAX 40
#define FS_FILE_MAX  (INT64_C(64) << 30) /* bytes of one file */
#define FS_DEVICE    0x1u		 /* st_dev of the whole file system */

/* ---- tree.c: the tree ---- */

/* Checks all offsets of the tree at BASE, which has at most SIZE_MAX bytes. Returns NULL, and uses
 * the tree from now on; or says what is wrong with it. */
const char *tree_open(const void *base, uint64_t size_max);
const struct thaw_tree_header *tree_header(void);
const struct thaw_tree_node *tree_node(uint32_t node);
const char *tree_text(struct thaw_tree_text text);
const uint8_t *tree_bytes(uint32_t offset);
/* The child of the directory NODE with that name, or FS_NO_NODE. */
uint32_t tree_child(uint32_t node, const char *name, size_t length);

/* ---- init.c ---- */

/* files_init() with the tree at any address, for tests. */
void files_start(const void *tree);

/* ---- inode.c: files that were opened or changed ---- */

struct fs_time {
	int64_t seconds;
	uint32_t nanoseconds;
};

struct inode;

/* A directory's name above the tree. Without an inode it hides a name of the tree. */
struct fs_name {
	char *name;
	size_t length;
	struct inode *inode;
};

struct file_operations;

/* Text that grows. */
struct text {
	char *bytes;
	size_t length, room;
	bool failed; /* memory was out, so some of it is missing */
};
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_put(struct text *text, const void *bytes, size_t length);

/* Files without content of their own: devices, and those of /proc and /sys, whose text is made when
 * they are opened. */
struct special {
	/* Makes a new open file. */
	int (*open)(const struct special *special, unsigned flags, struct file **out);
	const struct file_operations *operations; /* for device_open() */
	void (*text)(struct text *text);	  /* for text_open() */
	uint32_t device;			  /* the device's numbers, as in st_rdev */
	int task;				  /* for text_open(): fs_text_task; 0: the first */
};

struct inode {
	uint32_t node; /* of the tree, or FS_NO_NODE */
	uint32_t mode, uid, gid;
	uint32_t links;
	uint32_t references; /* open files, current directories */
	uint64_t number;
	struct fs_time access, modified, changed;
	const struct special *special;
	const char *path; /* absolute, from the first time it was opened; never freed */
	union {
		struct {
			uint64_t size;
			uint64_t tree_size; /* up to here, bytes may still be the tree's */
			uint8_t **pages;    /* by number; NULL: the tree's, or zeros */
			uint64_t room;	    /* entries of `pages` */
			struct home home;   /* its shared mappings */
		} file;
		struct {
			struct fs_name *names; /* sorted */
			uint32_t count, room;
			struct inode *parent; /* NULL: as in the tree */
		} directory;
		const char *target;
	};
};

/* A file of the file system: its inode if it has one, and otherwise its node of the tree. */
struct place {
	struct inode *inode;
	uint32_t node;
};

/* A new inode in no directory and without a reference; NULL when memory is out. */
struct inode *inode_new(uint32_t mode);

/* The inode of a place, which is made if it has none yet; NULL when memory is out. */
struct inode *inode_of(struct place place);

/* The place of a node of the tree. */
struct place place_of(uint32_t node);

/* Takes a reference, and gives it up. */
struct inode *inode_hold(struct inode *inode);
void inode_drop(struct inode *inode);

/* After a link was removed: frees the inode if it has neither links nor references. */
void inode_settle(struct inode *inode);

uint32_t place_mode(struct place place);
bool place_same(struct place a, struct place b);
void place_owner(struct place place, uint32_t *uid, uint32_t *gid);
void place_stat(struct place place, struct stat *out);

/* The target of a symbolic link, which ends with a zero. */
const char *place_target(struct place place, size_t *length);

/* Whether the program's user may do all of MASK: 4 read, 2 write, 1 execute or search. */
bool place_may(struct place place, unsigned mask);

/* The names of /proc/self/fd are descriptors. */
extern const struct special proc_fd_directory, proc_fdinfo_directory;

/* ---- now.c ---- */

struct fs_time fs_now(void);

/* ---- directory.c ---- */

bool directory_find(struct place directory, const char *name, size_t length, struct place *out);
struct place directory_parent(struct place directory);

/* Gives INODE the name, which must be free, and counts the link. -ENOSPC: memory is out. */
int directory_add(struct inode *directory, const char *name, size_t length, struct inode *inode);

/* Removes a name that the directory has. -ENOSPC: memory is out. */
int directory_remove(struct inode *directory, const char *name, size_t length);

bool directory_is_empty(struct place directory);

/* Returns the next of its names, in order. *TREE_AT and *OWN_AT start at 0 and are advanced. */
struct directory_name {
	const char *name;
	size_t length;
	struct place place;
};
bool directory_next(struct inode *directory, uint32_t *tree_at, uint32_t *own_at,
		    struct directory_name *out);

/* Writes the directory's absolute path to BUFFER. Returns its length; -ENOENT when the directory
 * was removed; -ENAMETOOLONG. */
long directory_path(struct place directory, char *buffer, size_t size);

/* ---- content.c: bytes of regular files ---- */

/* Return the number of bytes, or -errno. */
long content_read(struct inode *inode, void *buffer, size_t length, int64_t at);
long content_write(struct inode *inode, const void *buffer, size_t length, int64_t at);

int content_resize(struct inode *inode, int64_t size);

/* Makes a hole. -EPERM: it is sealed. -ENOSPC: memory is out, and some of it is not cleared. */
int content_clear(struct inode *inode, uint64_t at, uint64_t length);

/* What the shared mappings of a regular file are one with. */
struct home *content_home(struct inode *inode);
void content_free(struct inode *inode);

/* ---- sought.c: for `thaw freeze`, where it asked for it and before the ready point ---- */

/* Tells that PATH, from START if it is relative, leads to nothing. */
void sought_missing(struct place start, const char *path);
/* Tells that the program reads the names in DIRECTORY. */
void sought_listed(struct place directory);
/* Whether PLACE, called NAME in PARENT, is a file that was seen and not packed. If so, this tells
 * that the program opens it: to `thaw freeze`, or from the ready point on to the operator. */
bool sought_absent(struct place place, struct place parent, const char *name, size_t length);

/* ---- lookup.c ---- */

enum fs_lookup_flags {
	FS_FOLLOW = 1,	  /* follow the last component if it is a link */
	FS_EMPTY = 2,	  /* an empty path means the directory, or open file, that it starts from */
	FS_DIRECTORY = 4, /* -ENOTDIR unless the path leads to a directory */
	FS_PARENT = 8,	  /* the last component is a name to be made or removed: do not follow it if
			   * it is a link, not even with a slash behind it */
};

struct found {
	struct place
		parent; /* of the last component; for "/", "." and "..": the directory itself */
	/* The last component; NULL when it names no entry of the parent. */
	const char *name;
	size_t length;
	enum fs_last { FS_NAME, FS_ROOT, FS_DOT, FS_DOT_DOT } last;
	bool exists, slash; /* whether it exists; whether a slash followed it */
	struct place place; /* if it exists */
	struct file *file;  /* held, for /proc/self/fd/N and FS_EMPTY; or NULL */
};

/* Finds where PATH leads. A relative path begins at START. Returns 0 even if the last component
 * does not exist. After success the caller calls fs_found_done(). */
int fs_walk(struct place start, const char *path, unsigned flags, struct found *out);

/* The same; a relative path begins at a descriptor, or AT_FDCWD. */
int fs_walk_at(int fd, const char *path, unsigned flags, struct found *out);

/* As fs_walk_at(), and -ENOENT for a path that does not exist. */
int fs_find_at(int fd, const char *path, unsigned flags, struct found *out);

/* The same with the program's string at ADDRESS, which is copied to BUFFER (FS_PATH_MAX bytes).
 * found->name points into it. */
int fs_user_walk(int fd, uint64_t address, unsigned flags, char *buffer, struct found *out);
int fs_user_find(int fd, uint64_t address, unsigned flags, char *buffer, struct found *out);

/* Gives up the file that FOUND holds, if any. */
void fs_found_done(struct found *found);

extern struct inode *fs_cwd; /* held */
extern uint32_t fs_umask;

/* ---- opened.c ---- */

/* Opens the file that was found, without a check of permissions. FLAGS are open(2)'s. */
int fs_open_found(const struct found *found, unsigned flags, struct file **out);

/* The inode behind an open file that has one; NULL for pipes, devices and their like. */
struct inode *file_inode(const struct file *file);

/* ---- open.c ---- */

/* Creates a file of MODE where FOUND says that there is none. */
int fs_create(const struct found *found, uint32_t mode, struct inode **out);

/* ---- special.c, stream.c, proc.c ---- */

/* Make the devices; /proc and /sys. */
void special_init(void);
void generation_init(void); /* the device of generation.c */
void proc_init(void);

/* Make a directory, a link, a special file, for the core itself. The parent directory exists. They
 * abort when they fail. */
void fs_make_directory(const char *path, uint32_t mode, const struct special *special);
void fs_make_link(const char *path, const char *target);
void fs_make_special(const char *path, uint32_t mode, const struct special *special);

/* Opens a special file, and makes its text now. */
int text_open(const struct special *special, unsigned flags, struct file **out);

/* A file whose text is made when it is opened, at its path. */
struct text_file {
	const char *path;
	struct special special;
};
#define TEXT_FILE(path_, text_)                                                                    \
	{                                                                                          \
		.path = (path_), .special = {.open = text_open, .text = (text_) }                  \
	}
/* Makes COUNT of them, which live as long as the file system. */
void text_make_files(const struct text_file *files, size_t count);

/* The task whose text a special file's text() makes: its number. */
extern int fs_text_task;

/* ---- ids.c: /proc and /proc/self/task, whose names are ids; links whose targets are ---- */

extern const struct special proc_ids_directory, proc_tasks_directory;
extern const struct special proc_self_link, proc_thread_link;

/* The core makes files of its own there: names are the tasks' numbers. */
extern bool ids_by_number;

/* What DIRECTORY keeps under NAME: NAME itself unless it is an id. */
const char *ids_kept(struct inode *directory, const char *name, size_t *length);
/* What the program is told that NAME is. */
const char *ids_told(const struct inode *directory, const char *name, size_t *length);
/* The target of one of the two links. The text is good until the next call. */
const char *ids_link(const struct special *special, size_t *length);
/* Brings a directory of threads up to date; nothing for another. */
void ids_refresh(struct inode *directory);

/* proc.c: makes the directory of the thread with number TID unless it exists; removes it. */
void proc_make_thread(int tid);
void proc_remove_thread(struct inode *directory, int tid);

/* proc.c: opens the text of /proc/self/fdinfo/FD. 0, -ENOENT or -ENOMEM. */
int proc_open_descriptor(int fd, struct file **out);
/* proc.c: whether SPECIAL is the link /proc/self/cwd, and its target, which is good until the next
 * call. */
bool proc_is_cwd(const struct special *special);
const char *proc_cwd(size_t *length);

/* Makes the files of machine.c. */
void machine_init(void);

/* Makes standard input, output or error: 0, 1 or 2. NULL when memory is out. */
struct file *stream_new(int which);

#endif
