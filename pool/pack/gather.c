/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers files and directories; see gather.h. */
#include "pool/pack/gather.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pack/gather_internal.h"
#include "snapshot-format/base/cleanup.h"

#define LINKS_MAX 40
#define DEPTH_MAX 200 /* of directories, each an open descriptor */

void thaw_gather_finish(struct thaw_gather *gather)
{
	for (size_t i = 0; i < gather->object_count; i++)
		free(gather->objects[i].path);
	free(gather->objects);
	for (size_t i = 0; i < gather->library_directory_count; i++)
		free(gather->library_directories[i]);
	free(gather->library_directories);
	gather->objects = NULL;
	gather->library_directories = NULL;
	gather->object_count = gather->library_directory_count = 0;
}

int thaw_gather_object(struct thaw_gather *gather, const char *path, int loader, bool needed,
		       struct thaw_error *err)
{
	char *copy;

	for (size_t i = 0; i < gather->object_count; i++)
		if (strcmp(gather->objects[i].path, path) == 0) {
			gather->objects[i].needed |= needed;
			return 0;
		}
	if (gather->object_count == gather->object_room) {
		size_t room = gather->object_room ? 2 * gather->object_room : 64;
		void *grown = realloc(gather->objects, room * sizeof(*gather->objects));

		if (!grown)
			return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
		gather->objects = grown;
		gather->object_room = room;
	}
	copy = strdup(path);
	if (!copy)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	gather->objects[gather->object_count++] =
		(struct thaw_gather_object){.path = copy, .loader = loader, .needed = needed};
	return 0;
}

/* ---- One file ---- */

static ssize_t read_fd(void *context, void *buffer, size_t length)
{
	return read(*(const int *)context, buffer, length);
}

/* Packs the regular file NAME of AT_FD into DIRECTORY as ENTRY_NAME. HOST is its real path. */
static int put_file(struct thaw_gather *gather, int at_fd, const char *name, const char *host,
		    uint32_t directory, const char *entry_name, size_t entry_length, bool needed,
		    struct thaw_error *err)
{
	/* O_NONBLOCK: opening a FIFO or a device does not wait. */
	thaw_autoclose int fd = openat(at_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct thaw_pack_source source = {.read = read_fd, .context = &fd, .name = host};
	struct thaw_pack_meta meta;
	struct stat status;
	uint32_t entry;
	char magic[4];

	if (fd < 0 || fstat(fd, &status) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open %s", host);
	if (!S_ISREG(status.st_mode))
		return thaw_fail(err, THAW_ERR_FAILURE, "%s is not a regular file", host);
	thaw_pack_meta_of(&status, &meta);
	source.size = (uint64_t)status.st_size;
	if (thaw_pack_put_file(gather->pack, directory, entry_name, entry_length, &meta, &source,
			       err) < 0)
		return -1;
	entry = thaw_pack_child(gather->pack, directory, entry_name, entry_length);
	if (thaw_pack_read(gather->pack, entry, 0, magic, 4) == 4 &&
	    memcmp(magic, "\177ELF", 4) == 0)
		return thaw_gather_object(gather, host, -1, needed, err);
	return 0;
}

/* ---- A path with its links ---- */

struct walk {
	struct thaw_gather *gather;
	const char *whole;	 /* the path that was asked for */
	char real[PATH_MAX];	 /* the place on the host, without links; "" is the root */
	char rest[2 * PATH_MAX]; /* the components to come */
	uint32_t at;		 /* the place in the tree */
	int links;
	bool needed;
	bool over; /* the last component replaces an existing entry */
};

static int too_long(const struct walk *walk, struct thaw_error *err)
{
	return thaw_fail_errno(err, THAW_ERR_FAILURE, ENAMETOOLONG, "%s", walk->whole);
}

/* Follows the component NAME on the host and in the tree, each by its own links. The two differ
 * only in a tree that has a root from elsewhere. */
static int follow_both(struct walk *walk, const char *host, uint32_t child, const char *name,
		       struct thaw_error *err)
{
	struct thaw_pack *pack = walk->gather->pack;
	char resolved[PATH_MAX];

	if (S_ISLNK(thaw_pack_mode(pack, child)))
		child = thaw_pack_find(pack, walk->at, name, true);
	if (child == THAW_PACK_NONE)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s: '%s' is a symbolic link that leads nowhere in the file tree",
				 walk->whole, name);
	if (!realpath(host, resolved))
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open %s", walk->whole);
	snprintf(walk->real, sizeof(walk->real), "%s", strcmp(resolved, "/") == 0 ? "" : resolved);
	walk->at = child;
	return 0;
}

/* Reads the target of the link HOST into TARGET, a buffer of PATH_MAX bytes. */
static int read_link(const char *host, char *target, struct thaw_error *err)
{
	ssize_t got = readlink(host, target, PATH_MAX - 1);

	if (got < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "%s", host);
	target[got] = '\0';
	return 0;
}

static int step_link(struct walk *walk, const char *target, const struct thaw_pack_meta *meta,
		     const char *name, size_t length, struct thaw_error *err)
{
	char rest[2 * PATH_MAX];

	if (++walk->links > LINKS_MAX)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, ELOOP, "cannot open %s", walk->whole);
	if (thaw_pack_put_link(walk->gather->pack, walk->at, name, length, meta, target, err) < 0)
		return -1;
	if ((size_t)snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest) >= sizeof(rest))
		return too_long(walk, err);
	memcpy(walk->rest, rest, strlen(rest) + 1);
	if (target[0] == '/') {
		walk->real[0] = '\0';
		walk->at = THAW_PACK_ROOT;
	}
	return 0;
}

static int step_up(struct walk *walk)
{
	char *slash = strrchr(walk->real, '/');

	if (slash)
		*slash = '\0';
	walk->at = thaw_pack_parent(walk->gather->pack, walk->at);
	return 0;
}

/* Steps over the existing entry CHILD, which stays. TARGET is that of the host's link, or NULL when
 * the component is no link there. */
static int step_there(struct walk *walk, const char *host, const char *target, uint32_t child,
		      const struct thaw_pack_meta *meta, const char *name, bool last,
		      struct thaw_error *err)
{
	const struct thaw_pack *pack = walk->gather->pack;
	uint32_t mode = thaw_pack_mode(pack, child);

	if (S_ISREG(mode) && last) {
		walk->rest[0] = '\0';
		return 0;
	}
	if (target && S_ISLNK(mode) && strcmp(target, thaw_pack_target(pack, child)) == 0)
		return step_link(walk, target, meta, name, strlen(name), err);
	return follow_both(walk, host, child, name, err);
}

/* Packs a component that is not in the tree, or that replaces an entry. */
static int step_new(struct walk *walk, const char *host, const char *target,
		    const struct thaw_pack_meta *meta, const char *name, bool last,
		    struct thaw_error *err)
{
	struct thaw_pack *pack = walk->gather->pack;
	size_t length = strlen(name);

	if (target)
		return step_link(walk, target, meta, name, length, err);
	if (S_ISDIR(meta->mode)) {
		if (thaw_pack_put_directory(pack, walk->at, name, length, meta, &walk->at, err) < 0)
			return -1;
		memcpy(walk->real, host, strlen(host) + 1);
		return 0;
	}
	if (!last)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, ENOTDIR, "cannot open %s",
				       walk->whole);
	return put_file(walk->gather, AT_FDCWD, host, host, walk->at, name, length, walk->needed,
			err);
}

/* Walks one component, NAME, which has been taken off the rest. */
static int step(struct walk *walk, const char *name, bool last, struct thaw_error *err)
{
	struct thaw_pack *pack = walk->gather->pack;
	uint32_t child = thaw_pack_child(pack, walk->at, name, strlen(name));
	char host[PATH_MAX], target[PATH_MAX];
	struct thaw_pack_meta meta;
	const char *link = NULL;
	struct stat status;

	if (!S_ISDIR(thaw_pack_mode(pack, walk->at)))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s: the file tree has a file where a directory should be",
				 walk->whole);
	if ((size_t)snprintf(host, sizeof(host), "%s/%s", walk->real, name) >= sizeof(host))
		return too_long(walk, err);
	if (lstat(host, &status) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open %s", walk->whole);
	thaw_pack_meta_of(&status, &meta);
	if (S_ISLNK(status.st_mode)) {
		if (read_link(host, target, err) < 0)
			return -1;
		link = target;
	}
	if (child != THAW_PACK_NONE && !thaw_pack_is_absent(pack, child) &&
	    !(last && walk->over && !S_ISDIR(status.st_mode)))
		return step_there(walk, host, link, child, &meta, name, last, err);
	return step_new(walk, host, link, &meta, name, last, err);
}

static int walk_all(struct walk *walk, struct thaw_error *err)
{
	if ((size_t)snprintf(walk->rest, sizeof(walk->rest), "%s", walk->whole) >= PATH_MAX)
		return too_long(walk, err);
	for (;;) {
		char *begin = walk->rest + strspn(walk->rest, "/");
		size_t length = strcspn(begin, "/");
		char name[NAME_MAX + 1];
		bool last;

		if (length == 0)
			return 0;
		if (length > NAME_MAX)
			return too_long(walk, err);
		memcpy(name, begin, length);
		name[length] = '\0';
		last = begin[length + strspn(begin + length, "/")] == '\0';
		memmove(walk->rest, begin + length, strlen(begin + length) + 1);
		if (strcmp(name, ".") == 0)
			continue;
		if ((strcmp(name, "..") == 0 ? step_up(walk) : step(walk, name, last, err)) < 0)
			return -1;
	}
}

int thaw_gather_path(struct thaw_gather *gather, const char *path, bool needed,
		     struct thaw_error *err)
{
	struct walk walk = {
		.gather = gather, .whole = path, .at = THAW_PACK_ROOT, .needed = needed};

	return walk_all(&walk, err);
}

int thaw_gather_over(struct thaw_gather *gather, const char *path, struct thaw_error *err)
{
	struct walk walk = {.gather = gather, .whole = path, .at = THAW_PACK_ROOT, .over = true};

	return walk_all(&walk, err);
}

int thaw_gather_file(struct thaw_gather *gather, const char *host, const char *guest,
		     struct thaw_error *err)
{
	const char *slash = strrchr(guest, '/');
	thaw_autofree char *parent = strndup(guest, (size_t)(slash - guest));
	uint32_t directory;

	if (!parent)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	if (slash[1] == '\0')
		return thaw_fail(err, THAW_ERR_USAGE, "'%s' does not name a file in the guest",
				 guest);
	if (thaw_pack_make_directories(gather->pack, parent, &directory, err) < 0)
		return -1;
	return put_file(gather, AT_FDCWD, host, host, directory, slash + 1, strlen(slash + 1),
			false, err);
}

/* ---- The names in a directory ---- */

static int put_name(struct thaw_gather *gather, int fd, const char *name, uint32_t directory,
		    struct thaw_error *err)
{
	const size_t length = strlen(name);
	struct thaw_pack_meta meta;
	struct stat status;
	char target[PATH_MAX];
	ssize_t got;
	uint32_t made;

	if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    thaw_pack_child(gather->pack, directory, name, length) != THAW_PACK_NONE)
		return 0;
	thaw_pack_meta_of(&status, &meta);
	if (S_ISDIR(status.st_mode))
		return thaw_pack_put_directory(gather->pack, directory, name, length, &meta, &made,
					       err);
	if (S_ISREG(status.st_mode))
		return thaw_pack_put_absent(gather->pack, directory, name, length, &meta,
					    (uint64_t)status.st_size, err);
	if (!S_ISLNK(status.st_mode))
		return 0;
	got = readlinkat(fd, name, target, sizeof(target) - 1);
	if (got <= 0)
		return 0;
	target[got] = '\0';
	return thaw_pack_put_link(gather->pack, directory, name, length, &meta, target, err);
}

int thaw_gather_names(struct thaw_gather *gather, const char *host, bool hidden,
		      struct thaw_error *err)
{
	thaw_autoclose int fd = open(host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names = NULL;
	uint32_t directory;
	int count, done = 0;

	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open directory %s",
				       host);
	if (thaw_gather_path(gather, host, false, err) < 0)
		return -1;
	directory = thaw_pack_find(gather->pack, THAW_PACK_ROOT, host, true);
	if (directory == THAW_PACK_NONE || !S_ISDIR(thaw_pack_mode(gather->pack, directory)))
		return 0;
	count = scandirat(fd, ".", &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;

		if (done == 0 &&
		    (*name != '.' || (hidden && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)))
			done = put_name(gather, fd, name, directory, err);
		free(names[i]);
	}
	free(names);
	return done;
}

/* ---- A directory with its contents ---- */

struct directory {
	struct thaw_gather *gather;
	const char *const *except;
	size_t root_length; /* of the path of the directory that was asked for */
	bool lenient;
	bool in_place; /* it is packed at its own path */
	int depth;
};

static bool is_excepted(const struct directory *directory, const char *path, const char *name)
{
	for (const char *const *pattern = directory->except; pattern && *pattern; pattern++)
		if (fnmatch(*pattern, **pattern == '/' ? path + directory->root_length : name, 0) ==
		    0)
			return true;
	return false;
}

static int add_directory(struct directory *directory, int fd, const char *path, uint32_t entry,
			 struct thaw_error *err);

static int add_link(struct directory *directory, int fd, const char *path, const char *name,
		    const struct thaw_pack_meta *meta, uint32_t parent, struct thaw_error *err)
{
	char target[PATH_MAX];
	ssize_t got = readlinkat(fd, name, target, sizeof(target) - 1);
	struct stat status;

	if (got <= 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, got < 0 ? errno : EIO, "%s", path);
	target[got] = '\0';
	if (thaw_pack_put_link(directory->gather->pack, parent, name, strlen(name), meta, target,
			       err) < 0)
		return -1;
	/* The link may lead out of the directory: pack its target too. */
	if (directory->in_place && stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
	    access(path, R_OK) == 0)
		return thaw_gather_path(directory->gather, path, false, err);
	return 0;
}

static int add_subdirectory(struct directory *directory, int fd, const char *path, const char *name,
			    const struct thaw_pack_meta *meta, uint32_t parent,
			    struct thaw_error *err)
{
	int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint32_t entry;

	if (below < 0 && directory->lenient)
		return 0;
	if (below < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read directory %s",
				       path);
	if (thaw_pack_put_directory(directory->gather->pack, parent, name, strlen(name), meta,
				    &entry, err) < 0) {
		close(below);
		return -1;
	}
	return add_directory(directory, below, path, entry, err);
}

static int add_one(struct directory *directory, int fd, const char *path, const char *name,
		   uint32_t parent, struct thaw_error *err)
{
	const struct thaw_pack *pack = directory->gather->pack;
	struct thaw_pack_meta meta;
	struct stat status;
	uint32_t there;

	if (is_excepted(directory, path, name))
		return 0;
	if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "%s", path);
	there = thaw_pack_child(pack, parent, name, strlen(name));
	if (directory->lenient && there != THAW_PACK_NONE && !thaw_pack_is_absent(pack, there) &&
	    !(S_ISDIR(status.st_mode) && S_ISDIR(thaw_pack_mode(pack, there))))
		return 0;
	thaw_pack_meta_of(&status, &meta);
	if (S_ISDIR(status.st_mode))
		return add_subdirectory(directory, fd, path, name, &meta, parent, err);
	if (S_ISLNK(status.st_mode))
		return add_link(directory, fd, path, name, &meta, parent, err);
	if (!S_ISREG(status.st_mode)) {
		directory->gather->skipped++;
		return 0;
	}
	if (directory->lenient && faccessat(fd, name, R_OK, AT_EACCESS) < 0)
		return 0;
	return put_file(directory->gather, fd, name, path, parent, name, strlen(name), false, err);
}

/* Takes ownership of FD. Names are sorted, so that the same files make the same tree. */
static int add_directory(struct directory *directory, int fd, const char *path, uint32_t entry,
			 struct thaw_error *err)
{
	thaw_autoclose int owned = fd;
	struct dirent **names = NULL;
	int count, done = 0;

	if (++directory->depth > DEPTH_MAX)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s: nested more than %d directories deep",
				 path, DEPTH_MAX);
	count = scandirat(owned, ".", &names, NULL, alphasort);
	if (count < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot read directory %s",
				       path);
	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;
		thaw_autofree char *below = NULL;

		if (done == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			if (asprintf(&below, "%s/%s", path, name) < 0) {
				below = NULL;
				done = thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
			} else {
				done = add_one(directory, owned, below, name, entry, err);
			}
		}
		free(names[i]);
	}
	free(names);
	directory->depth--;
	return done;
}

int thaw_gather_directory(struct thaw_gather *gather, const char *host, const char *guest,
			  const char *const *except, bool lenient, struct thaw_error *err)
{
	struct directory directory = {.gather = gather,
				      .except = except,
				      .root_length = strlen(host),
				      .lenient = lenient,
				      .in_place = !guest};
	int fd = open(host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t entry;

	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open directory %s",
				       host);
	if ((!guest && thaw_gather_path(gather, host, false, err) < 0) ||
	    thaw_pack_make_directories(gather->pack, guest ? guest : host, &entry, err) < 0) {
		close(fd);
		return -1;
	}
	return add_directory(&directory, fd, host, entry, err);
}
