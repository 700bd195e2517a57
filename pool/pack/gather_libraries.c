/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the shared libraries that programs need, by the rules of the dynamic loader, glibc's
 * (ld.so(8)) or musl's, without running it. A guest has no loader cache, so a library in a
 * directory that the loader knows only from its cache also gets a link in a standard directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pack/gather_elf.h"
#include "pool/pack/gather_internal.h"
#include "snapshot-format/base/cleanup.h"

#define CONF_DEPTH_MAX	8
#define DIRECTORIES_MAX 1024u
#define LIB		"lib/x86_64-linux-gnu" /* what $LIB stands for on Debian */
#define PLATFORM	"x86_64"
#define LINK_DIRECTORY	"/lib/x86_64-linux-gnu"

/* The directories compiled into Debian's loader, in its order. */
static const char *const standard_directories[] = {"/lib/x86_64-linux-gnu",
						   "/usr/lib/x86_64-linux-gnu",
						   "/lib64",
						   "/usr/lib64",
						   "/lib",
						   "/usr/lib"};
#define STANDARD_COUNT (sizeof(standard_directories) / sizeof(standard_directories[0]))

/* ---- /etc/ld.so.conf ---- */

static int read_conf(struct thaw_gather *gather, const char *path, int depth,
		     struct thaw_error *err);

static int include_conf(struct thaw_gather *gather, const char *pattern, int depth,
			struct thaw_error *err)
{
	thaw_autofree char *whole = NULL;
	glob_t found = {0};
	int done = 0;

	if (asprintf(&whole, "%s%s", *pattern == '/' ? "" : "/etc/", pattern) < 0) {
		whole = NULL;
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	}
	if (glob(whole, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc && done == 0; i++)
			done = read_conf(gather, found.gl_pathv[i], depth + 1, err);
	globfree(&found);
	return done;
}

static int add_conf_directory(struct thaw_gather *gather, const char *path, struct thaw_error *err)
{
	char **grown;

	if (gather->library_directory_count == DIRECTORIES_MAX)
		return 0;
	grown = realloc(gather->library_directories,
			(gather->library_directory_count + 1) * sizeof(*grown));
	if (!grown)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	gather->library_directories = grown;
	grown[gather->library_directory_count] = strdup(path);
	if (!grown[gather->library_directory_count])
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	gather->library_directory_count++;
	return 0;
}

static int read_conf(struct thaw_gather *gather, const char *path, int depth,
		     struct thaw_error *err)
{
	char line[PATH_MAX];
	FILE *file;
	int done = 0;

	if (depth > CONF_DEPTH_MAX)
		return 0;
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (done == 0 && fgets(line, sizeof(line), file)) {
		char *word = line + strspn(line, " \t"), *end;

		word[strcspn(word, "#\n=")] = '\0';
		for (end = word + strlen(word);
		     end > word && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'); end--)
			end[-1] = '\0';
		if (strncmp(word, "include", 7) == 0 && (word[7] == ' ' || word[7] == '\t'))
			done = include_conf(gather, word + 8 + strspn(word + 8, " \t"), depth, err);
		else if (*word == '/')
			done = add_conf_directory(gather, word, err);
	}
	fclose(file);
	return done;
}

static int need_conf(struct thaw_gather *gather, struct thaw_error *err)
{
	if (gather->library_directories_read)
		return 0;
	gather->library_directories_read = true;
	return read_conf(gather, "/etc/ld.so.conf", 0, err);
}

/* ---- Searching as glibc does ---- */

struct search {
	struct thaw_gather *gather;
	const char *name;
	char path[PATH_MAX]; /* the file that was tried last */
	bool in_tree;	     /* it is packed already */
};

static bool is_library(const char *path)
{
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct thaw_elf_needs needs;
	struct stat status;
	bool fits;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	    thaw_elf_needs(fd, path, &needs, NULL) < 0)
		return false;
	fits = needs.kind == THAW_ELF_LINUX && needs.shared;
	thaw_elf_needs_free(&needs);
	return fits;
}

static bool try_directory(struct search *search, const char *directory)
{
	uint32_t entry;

	if (*directory != '/' || (size_t)snprintf(search->path, sizeof(search->path), "%s/%s",
						  directory, search->name) >= sizeof(search->path))
		return false;
	entry = thaw_pack_find(search->gather->pack, THAW_PACK_ROOT, search->path, true);
	search->in_tree =
		entry != THAW_PACK_NONE && S_ISREG(thaw_pack_mode(search->gather->pack, entry));
	return is_library(search->path) || search->in_tree;
}

/* Expands $ORIGIN, $LIB and $PLATFORM, with or without braces. False: the result is too long. */
static bool expand(const char *text, size_t length, const char *origin, char *out, size_t size)
{
	static const char *const names[] = {"ORIGIN", "LIB", "PLATFORM"};
	const char *const values[] = {origin, LIB, PLATFORM};
	const char *end = text + length;
	size_t used = 0;

	while (text < end) {
		const char *value = NULL;
		size_t taken = 1, brace = end - text > 1 && text[1] == '{';

		for (size_t i = 0; i < 3 && *text == '$'; i++) {
			size_t name = strlen(names[i]);

			if ((size_t)(end - text) >= 1 + name + 2 * brace &&
			    memcmp(text + 1 + brace, names[i], name) == 0 &&
			    (!brace || text[2 + name] == '}')) {
				value = values[i];
				taken = 1 + name + 2 * brace;
				break;
			}
		}
		if (used + (value ? strlen(value) : 1) >= size)
			return false;
		if (value)
			memcpy(out + used, value, strlen(value));
		else
			out[used] = *text;
		used += value ? strlen(value) : 1;
		text += taken;
	}
	out[used] = '\0';
	return true;
}

/* Tries a list of directories, separated by colons or semicolons; NULL is an empty list. */
static bool try_list(struct search *search, const char *list, const char *object)
{
	const char *slash = strrchr(object, '/');
	thaw_autofree char *origin = strndup(object, slash ? (size_t)(slash - object) : 0);

	while (list && origin) {
		size_t length = strcspn(list, ":;");
		char directory[PATH_MAX];

		if (length && expand(list, length, origin, directory, sizeof(directory)) &&
		    try_directory(search, directory))
			return true;
		list = list[length] ? list + length + 1 : NULL;
	}
	return false;
}

/* Tries the RPATH of the object and of the objects that load it. Hardly any file has one, so the
 * files are read again instead of being kept. */
static bool try_rpaths(struct search *search, int object)
{
	struct thaw_gather *gather = search->gather;

	for (; object >= 0; object = gather->objects[object].loader) {
		const char *path = gather->objects[object].path;
		thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct thaw_elf_needs needs = {0};
		bool found = false;

		if (fd >= 0 && thaw_elf_needs(fd, path, &needs, NULL) == 0 && !needs.runpath)
			found = try_list(search, needs.rpath, path);
		thaw_elf_needs_free(&needs);
		if (found)
			return true;
	}
	return false;
}

static bool try_cache(struct search *search, bool *only_in_cache)
{
	*only_in_cache = false;
	for (size_t i = 0; i < search->gather->library_directory_count; i++) {
		const char *directory = search->gather->library_directories[i];

		if (!try_directory(search, directory))
			continue;
		*only_in_cache = true;
		for (size_t k = 0; k < STANDARD_COUNT; k++)
			if (strcmp(directory, standard_directories[k]) == 0)
				*only_in_cache = false;
		return true;
	}
	return false;
}

static bool try_standard(struct search *search)
{
	for (size_t i = 0; i < STANDARD_COUNT; i++)
		if (try_directory(search, standard_directories[i]))
			return true;
	return false;
}

static bool search_glibc(struct search *search, int object, const struct thaw_elf_needs *needs,
			 bool *only_in_cache)
{
	struct thaw_gather *gather = search->gather;
	const char *path = gather->objects[object].path;

	return (!needs->runpath && try_rpaths(search, object)) ||
	       try_list(search, gather->library_path, path) ||
	       try_list(search, needs->runpath, path) || try_cache(search, only_in_cache) ||
	       try_standard(search);
}

/* ---- musl ---- */

#define MUSL_LOADER "/ld-musl-x86_64.so.1"
#define MUSL_PATHS  "/etc/ld-musl-x86_64.path"

static bool is_musl_itself(const char *name)
{
	return strcmp(name, "libc.so") == 0 || strncmp(name, "libc.musl-", 10) == 0 ||
	       strncmp(name, "ld-musl-", 8) == 0;
}

static bool search_musl(struct search *search, int object, const struct thaw_elf_needs *needs)
{
	const char *path = search->gather->objects[object].path;
	char list[PATH_MAX] = "/lib:/usr/local/lib:/usr/lib";
	FILE *file = fopen(MUSL_PATHS, "re");

	if (file) {
		size_t got = fread(list, 1, sizeof(list) - 1, file);

		list[got] = '\0';
		for (char *at = list; *at; at++)
			if (*at == '\n')
				*at = ':';
		fclose(file);
	}
	return try_list(search, search->gather->library_path, path) ||
	       try_list(search, needs->runpath ? needs->runpath : needs->rpath, path) ||
	       try_list(search, list, path);
}

/* Whether the program at the end of OBJECT's chain of loaders uses musl. */
static bool uses_musl(const struct thaw_gather *gather, int object)
{
	struct thaw_elf_needs needs = {0};
	bool musl = false;

	while (gather->objects[object].loader >= 0)
		object = gather->objects[object].loader;
	thaw_autoclose int fd = open(gather->objects[object].path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || thaw_elf_needs(fd, gather->objects[object].path, &needs, NULL) < 0)
		return false;
	if (needs.interpreter)
		musl = strstr(needs.interpreter, MUSL_LOADER) != NULL;
	thaw_elf_needs_free(&needs);
	return musl;
}

/* ---- One object after another ---- */

static int link_to_cached(struct thaw_gather *gather, const struct search *search,
			  struct thaw_error *err)
{
	const struct thaw_pack_meta meta = {0};
	uint32_t directory;

	if (thaw_pack_make_directories(gather->pack, LINK_DIRECTORY, &directory, err) < 0)
		return -1;
	if (thaw_pack_child(gather->pack, directory, search->name, strlen(search->name)) !=
	    THAW_PACK_NONE)
		return 0;
	return thaw_pack_put_link(gather->pack, directory, search->name, strlen(search->name),
				  &meta, search->path, err);
}

static int take_library(struct thaw_gather *gather, int object, struct search *search, bool cached,
			struct thaw_error *err)
{
	const bool needed = gather->objects[object].needed;
	size_t before = gather->object_count;

	if (search->in_tree)
		return 0;
	if (thaw_gather_path(gather, search->path, needed, err) < 0)
		return -1;
	/* Their libraries are searched for in the RPATH of this object too. */
	for (size_t i = before; i < gather->object_count; i++)
		gather->objects[i].loader = object;
	return cached ? link_to_cached(gather, search, err) : 0;
}

static int find_one(struct thaw_gather *gather, int object, const struct thaw_elf_needs *needs,
		    const char *name, bool musl, struct thaw_error *err)
{
	struct search search = {.gather = gather, .name = name};
	bool cached = false, found;

	if (strchr(name, '/')) {
		found = *name == '/' && is_library(name);
		snprintf(search.path, sizeof(search.path), "%s", name);
	} else if (musl && is_musl_itself(name)) {
		return 0;
	} else if (musl) {
		found = search_musl(&search, object, needs);
	} else {
		found = search_glibc(&search, object, needs, &cached);
	}
	if (found)
		return take_library(gather, object, &search, cached, err);
	if (!gather->objects[object].needed)
		return 0;
	return thaw_fail(err, THAW_ERR_FAILURE,
			 "%s needs the shared library %s, which is in none of the loader's "
			 "directories: install it, or pack it with --file "
			 "HOST:/lib/x86_64-linux-gnu/%s",
			 gather->objects[object].path, name, name);
}

static int take_interpreter(struct thaw_gather *gather, const struct thaw_elf_needs *needs,
			    struct thaw_error *err)
{
	if (!needs->interpreter)
		return 0;
	if (*needs->interpreter != '/')
		return thaw_fail(err, THAW_ERR_FAILURE, "its loader '%s' is not an absolute path",
				 needs->interpreter);
	if (access(needs->interpreter, F_OK) == 0 && !is_library(needs->interpreter))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "its loader '%s' is not a loader for Linux on x86-64",
				 needs->interpreter);
	if (thaw_gather_path(gather, needs->interpreter, true, err) < 0)
		return -1;
	if (strstr(needs->interpreter, MUSL_LOADER))
		return access(MUSL_PATHS, R_OK) == 0
			       ? thaw_gather_path(gather, MUSL_PATHS, true, err)
			       : 0;
	/* glibc opens this library itself, when a thread is cancelled or calls pthread_exit(). */
	if (needs->needed_count && access(LINK_DIRECTORY "/libgcc_s.so.1", R_OK) == 0)
		return thaw_gather_path(gather, LINK_DIRECTORY "/libgcc_s.so.1", false, err);
	return 0;
}

static int take_needs(struct thaw_gather *gather, int object, const struct thaw_elf_needs *needs,
		      struct thaw_error *err)
{
	const bool musl = uses_musl(gather, object);

	/* A library may name an interpreter too. A failure to pack it matters only for an object
	 * that is needed. */
	if (take_interpreter(gather, needs, err) < 0)
		return gather->objects[object].needed
			       ? thaw_error_wrap(err, "%s", gather->objects[object].path)
			       : 0;
	for (size_t i = 0; i < needs->needed_count; i++)
		if (find_one(gather, object, needs, needs->needed[i], musl, err) < 0)
			return -1;
	return 0;
}

static int take_object(struct thaw_gather *gather, int object, struct thaw_error *err)
{
	const char *path = gather->objects[object].path;
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct thaw_elf_needs needs;
	int done;

	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open %s", path);
	if (thaw_elf_needs(fd, path, &needs, err) < 0)
		return gather->objects[object].needed ? -1 : 0;
	done = needs.kind == THAW_ELF_LINUX ? take_needs(gather, object, &needs, err) : 0;
	thaw_elf_needs_free(&needs);
	return done;
}

int thaw_gather_libraries(struct thaw_gather *gather, struct thaw_error *err)
{
	if (need_conf(gather, err) < 0)
		return -1;
	while (gather->object_done < gather->object_count)
		if (take_object(gather, (int)gather->object_done++, err) < 0)
			return -1;
	return 0;
}
