/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root file system from a tar archive; see pack_archive.h. Only tar, and only the compressions
 * that libarchive does itself: no archive makes it start a program.
 */
#include "pool/pack_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "snapshot-format/cleanup.h"

#define BLOCK_SIZE (256u << 10)

struct unpacking {
	struct thaw_pack *pack;
	struct archive *archive;
	const char *path;
	size_t skipped;
};

static int fail_archive(const struct unpacking *unpacking, struct thaw_error *err)
{
	const char *text = archive_error_string(unpacking->archive);

	return thaw_fail(err, THAW_ERR_FAILURE, "%s: %s", unpacking->path,
			 text ? text : "it cannot be read as a tar archive");
}

static ssize_t read_member(void *context, void *buffer, size_t length)
{
	const struct unpacking *unpacking = context;
	ssize_t got = (ssize_t)archive_read_data(unpacking->archive, buffer, length);

	if (got >= 0)
		return got;
	errno = EIO;
	return -1;
}

static void meta_of(struct archive_entry *entry, struct thaw_pack_meta *out)
{
	*out = (struct thaw_pack_meta){
		.mode = archive_entry_mode(entry),
		.uid = (uint32_t)archive_entry_uid(entry),
		.gid = (uint32_t)archive_entry_gid(entry),
		.mtime = archive_entry_mtime(entry),
		.mtime_ns = (uint32_t)archive_entry_mtime_nsec(entry),
	};
}

/* A second name of a file that came before. It gets the same bytes, and is a file of its own. */
static int put_hard_link(const struct unpacking *unpacking, uint32_t directory, const char *name,
			 const char *target, struct thaw_error *err)
{
	uint32_t from = thaw_pack_find(unpacking->pack, THAW_PACK_ROOT, target, false);

	if (from == THAW_PACK_NONE || !S_ISREG(thaw_pack_mode(unpacking->pack, from)))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "%s: '%s' is a hard link to '%s', which is no file before it",
				 unpacking->path, name, target);
	return thaw_pack_put_same(unpacking->pack, directory, name, strlen(name), from, err);
}

static int put_member(struct unpacking *unpacking, struct archive_entry *entry, uint32_t directory,
		      const char *name, struct thaw_error *err)
{
	const char *hard_link = archive_entry_hardlink(entry);
	const struct thaw_pack_source source = {.read = read_member,
						.context = unpacking,
						.size = (uint64_t)archive_entry_size(entry),
						.name = archive_entry_pathname(entry)};
	struct thaw_pack_meta meta;
	uint32_t made;

	meta_of(entry, &meta);
	if (hard_link)
		return put_hard_link(unpacking, directory, name, hard_link, err);
	switch (archive_entry_filetype(entry)) {
	case AE_IFDIR:
		return thaw_pack_put_directory(unpacking->pack, directory, name, strlen(name),
					       &meta, &made, err);
	case AE_IFLNK:
		return thaw_pack_put_link(
			unpacking->pack, directory, name, strlen(name), &meta,
			archive_entry_symlink(entry) ? archive_entry_symlink(entry) : "", err);
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
	const char *path = archive_entry_pathname(entry);
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

	archive_read_support_format_tar(unpacking->archive);
	archive_read_support_format_gnutar(unpacking->archive);
	archive_read_support_filter_gzip(unpacking->archive);
	archive_read_support_filter_bzip2(unpacking->archive);
	archive_read_support_filter_xz(unpacking->archive);
	archive_read_support_filter_zstd(unpacking->archive);
	if (archive_read_open_filename(unpacking->archive, unpacking->path, BLOCK_SIZE) !=
	    ARCHIVE_OK)
		return fail_archive(unpacking, err);
	while ((got = archive_read_next_header(unpacking->archive, &entry)) == ARCHIVE_OK ||
	       got == ARCHIVE_WARN)
		if (take_member(unpacking, entry, err) < 0)
			return -1;
	return got == ARCHIVE_EOF ? 0 : fail_archive(unpacking, err);
}

int thaw_pack_archive(struct thaw_pack *pack, const char *path, size_t *skipped,
		      struct thaw_error *err)
{
	struct unpacking unpacking = {.pack = pack, .archive = archive_read_new(), .path = path};
	int done;

	if (!unpacking.archive)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	done = unpack(&unpacking, err);
	archive_read_free(unpacking.archive);
	if (done == 0)
		*skipped += unpacking.skipped;
	return done;
}
