/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a root file system from a tar archive, by libarchive; see archive.h. Only tar is enabled,
 * and only the compressions that libarchive does itself, so that no archive makes it start a
 * program.
 *
 * libarchive is opened when an archive is read, and not linked: it loads a dozen other libraries,
 * which took two thirds of the time of every `thaw invoke`.
 */
#include "pool/pack/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "snapshot-format/base/cleanup.h"

#define LIBRARY	   "libarchive.so.13"
#define BLOCK_SIZE (256u << 10)

/* The functions that are used, with the types that its headers declare. */
/* clang-format off */
#define FUNCTIONS(X) \
	X(archive_entry_filetype) \
	X(archive_entry_gid) \
	X(archive_entry_hardlink) \
	X(archive_entry_mode) \
	X(archive_entry_mtime) \
	X(archive_entry_mtime_nsec) \
	X(archive_entry_pathname) \
	X(archive_entry_size) \
	X(archive_entry_symlink) \
	X(archive_entry_uid) \
	X(archive_error_string) \
	X(archive_read_data) \
	X(archive_read_free) \
	X(archive_read_new) \
	X(archive_read_next_header) \
	X(archive_read_open_filename) \
	X(archive_read_support_filter_bzip2) \
	X(archive_read_support_filter_gzip) \
	X(archive_read_support_filter_xz) \
	X(archive_read_support_filter_zstd) \
	X(archive_read_support_format_gnutar) \
	X(archive_read_support_format_tar)
/* clang-format on */

#define DECLARE(name) __typeof__(&name) name;
static struct {
	FUNCTIONS(DECLARE)
} library;

static int open_library(struct thaw_error *err)
{
	static bool opened;
	void *handle;

	if (opened)
		return 0;
	handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "cannot read an archive without libarchive: %s", dlerror());
#define FIND(name)                                                                                 \
	if (!(*(void **)&library.name = dlsym(handle, #name)))                                     \
		return thaw_fail(err, THAW_ERR_FAILURE, "%s", dlerror());
	FUNCTIONS(FIND)
	opened = true;
	return 0;
}

struct unpacking {
	struct thaw_pack *pack;
	struct archive *archive;
	const char *path;
	size_t skipped;
};

static int fail_archive(const struct unpacking *unpacking, struct thaw_error *err)
{
	const char *text = library.archive_error_string(unpacking->archive);

	return thaw_fail(err, THAW_ERR_FAILURE, "%s: %s", unpacking->path,
			 text ? text : "not a readable tar archive");
}

static ssize_t read_member(void *context, void *buffer, size_t length)
{
	const struct unpacking *unpacking = context;
	ssize_t got = (ssize_t)library.archive_read_data(unpacking->archive, buffer, length);

	if (got >= 0)
		return got;
	errno = EIO;
	return -1;
}

static void meta_of(struct archive_entry *entry, struct thaw_pack_meta *out)
{
	*out = (struct thaw_pack_meta){
		.mode = library.archive_entry_mode(entry),
		.uid = (uint32_t)library.archive_entry_uid(entry),
		.gid = (uint32_t)library.archive_entry_gid(entry),
		.mtime = library.archive_entry_mtime(entry),
		.mtime_ns = (uint32_t)library.archive_entry_mtime_nsec(entry),
	};
}

/* Adds a second name of an earlier file, as a file of its own with the same bytes. */
static int put_hard_link(const struct unpacking *unpacking, uint32_t directory, const char *name,
			 const char *target, struct thaw_error *err)
{
	uint32_t from = thaw_pack_find(unpacking->pack, THAW_PACK_ROOT, target, false);

	if (from == THAW_PACK_NONE || !S_ISREG(thaw_pack_mode(unpacking->pack, from)))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s: '%s' is a hard link to '%s', which is not an earlier file of "
				 "the archive",
				 unpacking->path, name, target);
	return thaw_pack_put_same(unpacking->pack, directory, name, strlen(name), from, err);
}

static int put_member(struct unpacking *unpacking, struct archive_entry *entry, uint32_t directory,
		      const char *name, struct thaw_error *err)
{
	const char *hard_link = library.archive_entry_hardlink(entry);
	const struct thaw_pack_source source = {.read = read_member,
						.context = unpacking,
						.size = (uint64_t)library.archive_entry_size(entry),
						.name = library.archive_entry_pathname(entry)};
	struct thaw_pack_meta meta;
	uint32_t made;

	meta_of(entry, &meta);
	if (hard_link)
		return put_hard_link(unpacking, directory, name, hard_link, err);
	switch (library.archive_entry_filetype(entry)) {
	case AE_IFDIR:
		return thaw_pack_put_directory(unpacking->pack, directory, name, strlen(name),
					       &meta, &made, err);
	case AE_IFLNK:
		return thaw_pack_put_link(unpacking->pack, directory, name, strlen(name), &meta,
					  library.archive_entry_symlink(entry)
						  ? library.archive_entry_symlink(entry)
						  : "",
					  err);
	case AE_IFREG:
		return thaw_pack_put_file(unpacking->pack, directory, name, strlen(name), &meta,
					  &source, err);
	default:
		unpacking->skipped++;
		return 0;
	}
}

static int take_member(struct unpacking *unpacking, struct archive_entry *entry,
		       struct thaw_error *err)
{
	const char *path = library.archive_entry_pathname(entry);
	thaw_autofree char *whole = path ? strdup(path) : NULL;
	char *slash, *name;
	uint32_t directory;

	if (!whole)
		return thaw_fail(err, THAW_ERR_FAILURE, "%s: a member has no readable name",
				 unpacking->path);
	while (*whole && whole[strlen(whole) - 1] == '/')
		whole[strlen(whole) - 1] = '\0';
	slash = strrchr(whole, '/');
	name = slash ? slash + 1 : whole;
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0; /* "./": the root itself */
	if (slash)
		*slash = '\0';
	if (thaw_pack_make_directories(unpacking->pack, slash ? whole : "", &directory, err) < 0 ||
	    put_member(unpacking, entry, directory, name, err) < 0)
		return thaw_error_wrap(err, "%s", unpacking->path);
	return 0;
}

static int unpack(struct unpacking *unpacking, struct thaw_error *err)
{
	struct archive_entry *entry;
	int got;

	library.archive_read_support_format_tar(unpacking->archive);
	library.archive_read_support_format_gnutar(unpacking->archive);
	library.archive_read_support_filter_gzip(unpacking->archive);
	library.archive_read_support_filter_bzip2(unpacking->archive);
	library.archive_read_support_filter_xz(unpacking->archive);
	library.archive_read_support_filter_zstd(unpacking->archive);
	if (library.archive_read_open_filename(unpacking->archive, unpacking->path, BLOCK_SIZE) !=
	    ARCHIVE_OK)
		return fail_archive(unpacking, err);
	while ((got = library.archive_read_next_header(unpacking->archive, &entry)) == ARCHIVE_OK ||
	       got == ARCHIVE_WARN)
		if (take_member(unpacking, entry, err) < 0)
			return -1;
	return got == ARCHIVE_EOF ? 0 : fail_archive(unpacking, err);
}

int thaw_pack_archive(struct thaw_pack *pack, const char *path, size_t *skipped,
		      struct thaw_error *err)
{
	struct unpacking unpacking = {.pack = pack, .path = path};
	int done;

	if (open_library(err) < 0)
		return -1;
	unpacking.archive = library.archive_read_new();
	if (!unpacking.archive)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	done = unpack(&unpacking, err);
	library.archive_read_free(unpacking.archive);
	if (done == 0)
		*skipped += unpacking.skipped;
	return done;
}
