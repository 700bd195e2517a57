/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system of a Linux program, inside the core: the tree (thaw/tree.h) read-only underneath,
 * and what the program changes above it, in memory that is gone with the invocation.
 *
 * A node of the tree has no inode until it is opened or changed, so looking around costs no memory.
 * From then on the inode is what counts, and finds the node's data where it has none of its own.
 */
#ifndef THAW_LINUX_FS_H
#define THAW_LINUX_FS_H

#include <linux/stat.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "thaw/tree.h"

struct file;
struct stat;

/* <linux/stat.h> leaves these to libc, once any of its headers was seen. */
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
#define FS_DEVICE    0x1u		 /* st_dev of all there is */

/* ---- tree.c: the tree ---- */

/* Believes the tree at BASE from now on, if all offsets in it are right; what is wrong otherwise,
 * or NULL. SIZE_MAX is how much can be there. */
const char *tree_open(const void *base, uint64_t size_max);
const struct thaw_tree_header *tree_header(void);
const struct thaw_tree_node *tree_node(uint32_t node);
const char *tree_text(struct thaw_tree_text text);
const uint8_t *tree_bytes(uint32_t offset);
/* The child of that name of a directory's node, or FS_NO_NODE. */
uint32_t tree_child(uint32_t node, const char *name, size_t length);

/* init.c: files_init() with the tree anywhere, for tests. */
void files_start(const void *tree);

/* ---- inode.c: what was opened or changed ---- */

struct fs_time {
	int64_t seconds;
	uint32_t nanoseconds;
};

struct inode;

/* A name that a directory has above the tree; without an inode it hides one of the tree. */
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
	bool failed; /* memory was out */
};
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_put(struct text *text, const void *bytes, size_t length);

/* Files that are no bytes: devices, and /proc's, whose text is made when they are opened. */
struct special {
	/* A new open file; 0 or -errno. */
	int (*open)(const struct special *special, unsigned flags, struct file **out);
	const struct file_operations *operations; /* device_open()'s */
	void (*text)(struct text *text);	  /* text_open()'s */
	uint32_t device;			  /* its numbers, as in st_rdev */
};

struct inode {
	uint32_t node; /* of the tree, or FS_NO_NODE */
	uint32_t mode, uid, gid;
	uint32_t links;
	uint32_t references; /* open files, current directories */
	uint64_t number;
	struct fs_time access, modified, changed;
	const struct special *special;
	const char *path; /* absolute, made when it is first opened; it stays for ever */
	union {
		struct {
			uint64_t size;
			uint64_t tree_size; /* bytes from the start that may still be the tree's */
			uint8_t **pages;    /* those of its own, by number */
			uint64_t room;	    /* in that table */
		} file;
		struct {
			struct fs_name *names; /* sorted */
			uint32_t count, room;
			struct inode *parent; /* NULL: as in the tree */
		} directory;
		const char *target;
	};
};

/* Something in the file system: an inode where there is one, a node of the tree otherwise. */
struct place {
	struct inode *inode;
	uint32_t node;
};

/* A new one, in no directory and with no reference; NULL when memory is out. */
struct inode *inode_new(uint32_t mode);
/* The inode of a place, made if need be; NULL when memory is out. */
struct inode *inode_of(struct place place);
struct place place_of(uint32_t node);
struct inode *inode_hold(struct inode *inode);
/* Gives a reference up, or after a link went: frees what nobody can reach. */
void inode_drop(struct inode *inode);
void inode_settle(struct inode *inode);
struct fs_time fs_now(void);

uint32_t place_mode(struct place place);
bool place_same(struct place a, struct place b);
/* Owner and group. */
void place_owner(struct place place, uint32_t *uid, uint32_t *gid);
/* A link's target, ended by a zero. */
const char *place_target(struct place place, size_t *length);
void place_stat(struct place place, struct stat *out);
/* Whether the program's user may do all of MASK (4 read, 2 write, 1 execute or search). */
bool place_may(struct place place, unsigned mask);

/* ---- directory.c ---- */

bool directory_find(struct place directory, const char *name, size_t length, struct place *out);
struct place directory_parent(struct place directory);
/* Gives INODE the name, which must be free, and a link. 0 or -ENOSPC. */
int directory_add(struct inode *directory, const char *name, size_t length, struct inode *inode);
/* Takes a name away that is there. 0 or -ENOSPC. */
int directory_remove(struct inode *directory, const char *name, size_t length);
bool directory_is_empty(struct place directory);
/* Its names in their order: the next one at or after *TREE_AT and *OWN_AT, which move on. */
struct directory_name {
	const char *name;
	size_t length;
	struct place place;
};
bool directory_next(struct inode *directory, uint32_t *tree_at, uint32_t *own_at,
		    struct directory_name *out);
/* Its absolute path into BUFFER; its length, -ENOENT when it was removed, -ENAMETOOLONG. */
long directory_path(struct place directory, char *buffer, size_t size);

/* ---- content.c: bytes of regular files ---- */

long content_read(struct inode *inode, void *buffer, size_t length, int64_t at);
long content_write(struct inode *inode, const void *buffer, size_t length, int64_t at);
int content_resize(struct inode *inode, int64_t size);
void content_free(struct inode *inode);

/* ---- lookup.c ---- */

enum fs_lookup_flags {
	FS_FOLLOW = 1, /* the last component, too, if it is a link */
	FS_EMPTY = 2,  /* an empty path is the directory, or the open file, that it starts from */
	FS_PARENT = 8, /* the last component is a name to be made or removed: not even a slash
			  behind it follows a link */
	FS_DIRECTORY = 4, /* what is found must be one */
};

struct found {
	struct place parent; /* of the last component; for "/", "." and ".." that itself */
	/* The last component, and NULL where it names no entry of the parent. */
	const char *name;
	size_t length;
	enum fs_last { FS_NAME, FS_ROOT, FS_DOT, FS_DOT_DOT } last;
	bool exists, slash; /* a slash was behind it */
	struct place place; /* if it exists */
	struct file *file;  /* of /proc/self/fd/N, or with FS_EMPTY; see fs_found_done() */
};

/* Where PATH leads. START is where relative ones begin; 0 even if the last component does not
 * exist. */
int fs_walk(struct place start, const char *path, unsigned flags, struct found *out);
/* The same, from a descriptor or AT_FDCWD. */
int fs_walk_at(int fd, const char *path, unsigned flags, struct found *out);
/* The same, with -ENOENT for what does not exist. */
int fs_find_at(int fd, const char *path, unsigned flags, struct found *out);
/* The program's string at ADDRESS first. BUFFER has FS_PATH_MAX bytes, and found->name points into
 * it. */
int fs_user_walk(int fd, uint64_t address, unsigned flags, char *buffer, struct found *out);
int fs_user_find(int fd, uint64_t address, unsigned flags, char *buffer, struct found *out);

/* Gives up what FOUND holds. */
void fs_found_done(struct found *found);

extern struct inode *fs_cwd;
extern uint32_t fs_umask;

/* ---- file.c ---- */

/* Opens what was found, no matter who may. FLAGS as open(2)'s. */
int fs_open_found(const struct found *found, unsigned flags, struct file **out);
/* The inode behind an open file of the tree or the overlay, or NULL. */
struct inode *file_inode(const struct file *file);

/* ---- open.c ---- */

/* Creates a file of MODE where FOUND says that there is none. */
int fs_create(const struct found *found, uint32_t mode, struct inode **out);

/* ---- special.c, stream.c, proc.c ---- */

/* Makes the devices; /proc and /sys. */
void special_init(void);
void proc_init(void);

/* For the core itself, which aborts when it cannot: a directory with all on the way to it; a link;
 * a special file. All of PATH but the last component is there. */
void fs_make_directory(const char *path, uint32_t mode, const struct special *special);
void fs_make_link(const char *path, const char *target);
void fs_make_special(const char *path, uint32_t mode, const struct special *special);

/* Opens a special file whose text is made now. */
int text_open(const struct special *special, unsigned flags, struct file **out);

/* /proc/self/fd: names that are descriptors. */
extern const struct special proc_fd_directory;

/* Standard input, output and error, by number. NULL when memory is out. */
struct file *stream_new(int which);

#endif
