/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs the locale of a name, as glibc's setlocale() finds it: a directory of files for the
 * categories, or a record of the archive that localedef(1) writes. An archive holds all locales of a
 * host, from 3 to 220 MB, so a tree gets the one record as a directory, which glibc reads as well.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pack/gather_locale.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"

#define LOCALES	   "/usr/lib/locale"
#define ARCHIVE	   LOCALES "/locale-archive"
#define NAME_SIZE  64u
#define SIZE_MAX_  (UINT32_C(16) << 20) /* of one category */
#define NAMES_MAX  65536u
#define MAGIC	   UINT32_C(0xde020109)
#define CATEGORIES 13

/* The archive's layout, of glibc's locale/locarchive.h. */
struct archive_header {
	uint32_t magic, serial;
	uint32_t names_offset, names_used, names_size;
	uint32_t strings_offset, strings_used, strings_size;
	uint32_t records_offset, records_used, records_size;
	uint32_t sums_offset, sums_used, sums_size;
};

struct archive_name {
	uint32_t hash, name_offset, record_offset; /* a record of 0: the slot is free */
};

struct archive_record {
	uint32_t references;
	struct {
		uint32_t offset, length;
	} categories[CATEGORIES];
};

/* By the number of the category; LC_ALL has no file. */
static const char *const category_files[CATEGORIES] = {
	"LC_CTYPE",	    "LC_NUMERIC",      "LC_TIME",      "LC_COLLATE",
	"LC_MONETARY",	    "SYS_LC_MESSAGES", NULL,	       "LC_PAPER",
	"LC_NAME",	    "LC_ADDRESS",      "LC_TELEPHONE", "LC_MEASUREMENT",
	"LC_IDENTIFICATION"};
#define MESSAGES 5

/* Writes NAME with its codeset as glibc stores it: "de_DE.UTF-8@euro" is "de_DE.utf8@euro". False: the
 * name is none that glibc would look up, or it needs no files. */
static bool normalize(const char *name, char *out)
{
	const char *dot = strchr(name, '.'), *modifier = strchr(name, '@'), *at = name;
	size_t used = 0;

	if (!*name || *name == '.' || strlen(name) + 4 > NAME_SIZE || strchr(name, '/') ||
	    strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0)
		return false;
	if (modifier && dot && dot > modifier)
		dot = NULL;
	while (*at && at != dot)
		out[used++] = *at++;
	if (dot) {
		size_t digits = strspn(dot + 1, "0123456789");
		const char *end = modifier ? modifier : dot + strlen(dot);

		out[used++] = *at++;
		if (dot + 1 + digits == end) {
			memcpy(out + used, "iso", 3);
			used += 3;
		}
		for (; at < end; at++)
			if ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9'))
				out[used++] = *at;
			else if (*at >= 'A' && *at <= 'Z')
				out[used++] = (char)(*at - 'A' + 'a');
		while (*at)
			out[used++] = *at++;
	}
	out[used] = '\0';
	return true;
}

bool thaw_locale_is_utf8(const char *name)
{
	char normal[NAME_SIZE];
	const char *dot = normalize(name, normal) ? strchr(normal, '.') : NULL;

	return dot && strncmp(dot, ".utf8", 5) == 0 && (dot[5] == '\0' || dot[5] == '@');
}

/* ---- The archive ---- */

static bool read_all(int fd, uint64_t offset, void *buffer, size_t length)
{
	return thaw_read_at(fd, buffer, length, offset) == (ssize_t)length;
}

static bool is_named(int fd, const struct archive_name *entry, const char *name)
{
	char text[NAME_SIZE];
	size_t length = strlen(name) + 1;

	return entry->record_offset && read_all(fd, entry->name_offset, text, length) &&
	       memcmp(text, name, length) == 0;
}

/* Finds the record of the locale NAME, in the archive's spelling. */
static bool find_record(int fd, const char *name, struct archive_record *out)
{
	struct archive_header header;
	thaw_autofree struct archive_name *names = NULL;

	if (!read_all(fd, 0, &header, sizeof(header)) || header.magic != MAGIC ||
	    header.names_size > NAMES_MAX)
		return false;
	names = calloc(header.names_size + 1u, sizeof(*names));
	if (!names || !read_all(fd, header.names_offset, names, header.names_size * sizeof(*names)))
		return false;
	for (uint32_t i = 0; i < header.names_size; i++)
		if (is_named(fd, &names[i], name))
			return read_all(fd, names[i].record_offset, out, sizeof(*out));
	return false;
}

static int put_category(struct thaw_pack *pack, int fd, const struct archive_record *record,
			int category, uint32_t directory, struct thaw_error *err)
{
	uint32_t length = record->categories[category].length;
	thaw_autofree uint8_t *bytes = length <= SIZE_MAX_ ? malloc(length + 1u) : NULL;

	if (!bytes || !read_all(fd, record->categories[category].offset, bytes, length))
		return thaw_fail(err, THAW_ERR_FAILURE, "%s: damaged, or too large", ARCHIVE);
	return thaw_pack_put_bytes(pack, directory, category_files[category], 0644, bytes, length,
				   err);
}

int thaw_locale_extract(struct thaw_pack *pack, const char *archive, const char *name,
			struct thaw_error *err)
{
	thaw_autoclose int fd = open(archive, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char normal[NAME_SIZE], path[PATH_MAX];
	struct archive_record record;
	uint32_t directory, messages;

	if (fd < 0 || !normalize(name, normal) || !find_record(fd, normal, &record))
		return 0;
	snprintf(path, sizeof(path), LOCALES "/%s/LC_MESSAGES", normal);
	if (thaw_pack_make_directories(pack, path, &messages, err) < 0)
		return -1;
	directory = thaw_pack_parent(pack, messages);
	for (int i = 0; i < CATEGORIES; i++)
		if (category_files[i] &&
		    put_category(pack, fd, &record, i, i == MESSAGES ? messages : directory, err) <
			    0)
			return -1;
	return 1;
}

/* ---- A name ---- */

/* Finds the directory of a locale on this host. glibc takes the name as it is, too. */
static bool find_directory(const char *name, const char *normal, char *path, size_t size)
{
	const char *const names[] = {name, normal};

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, size, LOCALES "/%s/LC_CTYPE", names[i]);
		if (access(path, R_OK) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		return true;
	}
	return false;
}

bool thaw_locale_exists(const char *name)
{
	thaw_autoclose int fd = open(ARCHIVE, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char normal[NAME_SIZE], path[PATH_MAX];
	struct archive_record record;

	return normalize(name, normal) && (find_directory(name, normal, path, sizeof(path)) ||
					   (fd >= 0 && find_record(fd, normal, &record)));
}

bool thaw_locale_in_tree(const struct thaw_pack *pack, const char *name)
{
	char normal[NAME_SIZE], path[PATH_MAX];

	if (!normalize(name, normal))
		return false;
	snprintf(path, sizeof(path), LOCALES "/%s/LC_CTYPE", normal);
	return thaw_pack_find(pack, THAW_PACK_ROOT, path, true) != THAW_PACK_NONE;
}

int thaw_gather_locale(struct thaw_gather *gather, const char *name, struct thaw_error *err)
{
	char normal[NAME_SIZE], path[PATH_MAX];
	int done;

	if (strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0 || !*name)
		return 1;
	if (!normalize(name, normal))
		return 0;
	if (thaw_locale_in_tree(gather->pack, name))
		return 1;
	/* glibc asks the archive first. */
	done = thaw_locale_extract(gather->pack, ARCHIVE, name, err);
	if (done != 0)
		return done;
	if (!find_directory(name, normal, path, sizeof(path)))
		return 0;
	return thaw_gather_directory(gather, path, NULL, NULL, true, err) < 0 ? -1 : 1;
}
