/* SPDX-License-Identifier: Apache-2.0 */
/* See discover.h. */
#include "pool/freeze/discover.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-stub/include/thaw/tree.h"
#include "pool/cli/cli.h"
#include "snapshot-format/base/cleanup.h"

/* A directory with all below it is little up to these bounds, the last of which counts what is
 * looked at. A package of modules then costs one boot, and not one for each of its levels. */
#define DEEP_BYTES (UINT64_C(4) << 20)
#define DEEP_FILES 1000u
#define DEEP_NAMES 10000u
#define DEPTH_MAX  32
/* Of everything. */
#define BYTES_MAX  (UINT64_C(1) << 30)
#define FILES_MAX  100000u
#define SOUGHT_MAX 200000u

/* ---- Taking ---- */

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Whether KIND and PATH were not noted before. */
static bool is_new(struct thaw_discovery *discovery, char kind, const char *path)
{
	thaw_autofree char *key = NULL;
	char **found;

	if (discovery->sought_count >= SOUGHT_MAX) {
		discovery->full = true;
		return false;
	}
	if (asprintf(&key, "%c%s", kind, path) < 0) {
		key = NULL;
		return false;
	}
	found = tsearch(key, &discovery->sought, compare);
	if (!found || *found != key)
		return false;
	key = NULL; /* the tree has it */
	discovery->sought_count++;
	return true;
}

static void add(struct thaw_discovery *discovery, struct thaw_discovered found)
{
	if (discovery->count == discovery->room) {
		const size_t room = 2 * discovery->room;
		void *grown = realloc(discovery->found, room * sizeof(*discovery->found));

		if (!grown)
			return;
		discovery->found = grown;
		discovery->room = room;
	}
	found.path = strdup(found.path);
	if (found.path)
		discovery->found[discovery->count++] = found;
}

static uint64_t bytes_of(const struct stat *status)
{
	return S_ISREG(status->st_mode) ? (uint64_t)status->st_size : 0;
}

/* Takes the file or the directory itself at PATH, with STATUS. */
static void take(struct thaw_discovery *discovery, char *path, const struct stat *status)
{
	if (!is_new(discovery, 't', path))
		return;
	if (discovery->file_count >= FILES_MAX || bytes_of(status) > BYTES_MAX - discovery->bytes) {
		discovery->full = true;
		return;
	}
	add(discovery, (struct thaw_discovered){.path = path});
	discovery->file_count += S_ISREG(status->st_mode);
	discovery->bytes += bytes_of(status);
	if (discovery->verbose)
		thaw_cli_say("packed %s", path);
}

/* ---- A directory with all below it ---- */

/* A walk, which counts or takes. */
struct survey {
	struct thaw_discovery *discovery;
	const struct thaw_area *only; /* what it has; or NULL: all that may be taken */
	bool takes;
	uint64_t bytes;
	size_t files, names;
};

static bool is_much(const struct survey *survey)
{
	return survey->files > DEEP_FILES || survey->bytes > DEEP_BYTES ||
	       survey->names > DEEP_NAMES;
}

/* Whether what is at PATH may be taken, if the directory that it is in is trusted. *STATUS becomes
 * that of the file or directory that it leads to. Links to directories are not followed. */
static bool may_take(const struct survey *survey, const char *path, struct stat *status)
{
	thaw_autofree char *real = NULL;

	if (lstat(path, status) < 0 || !thaw_areas_is_ours(status))
		return false;
	if (S_ISLNK(status->st_mode)) {
		real = realpath(path, NULL);
		if (!real || stat(real, status) < 0 || !S_ISREG(status->st_mode) ||
		    !thaw_areas_is_trusted(real))
			return false;
	}
	if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode))
		return false;
	if (survey->only && S_ISREG(status->st_mode) && !thaw_area_has(survey->only, path, status))
		return false;
	return thaw_areas_have(&survey->discovery->areas, real ? real : path, status);
}

static void survey_directory(struct survey *survey, const char *path, int depth);

static void survey_one(struct survey *survey, char *path, const char *name, int depth)
{
	struct stat status;

	if (!may_take(survey, path, &status))
		return;
	survey->files++;
	survey->bytes += bytes_of(&status);
	if (survey->takes)
		take(survey->discovery, path, &status);
	/* Packages of others come when they are looked for. */
	if (S_ISDIR(status.st_mode) && !thaw_areas_is_packages(name))
		survey_directory(survey, path, depth + 1);
}

static void survey_directory(struct survey *survey, const char *path, int depth)
{
	struct dirent **names = NULL;
	int count = depth > DEPTH_MAX ? 0 : scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;
		char below[PATH_MAX];

		survey->names++;
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !is_much(survey) &&
		    thaw_areas_path(path, name, below, sizeof(below)))
			survey_one(survey, below, name, depth);
		free(names[i]);
	}
	free(names);
}

/* Takes all that is in the directory REAL and below it, or what ONLY has of it, if that is little. */
static bool take_deep(struct thaw_discovery *discovery, const char *real,
		      const struct thaw_area *only)
{
	struct survey survey = {.discovery = discovery, .only = only};

	if (!thaw_areas_is_trusted(real))
		return false;
	survey_directory(&survey, real, 0);
	if (is_much(&survey))
		return false;
	survey = (struct survey){.discovery = discovery, .only = only, .takes = true};
	survey_directory(&survey, real, 0);
	return true;
}

/* ---- What the program says ---- */

/* What is there anyway, or of no use to a guest. */
static bool is_of_the_core(const char *path)
{
	static const char *const parts[] = {
		"/proc", "/sys", "/dev", "/run", "/etc/ld.so.cache", "/etc/ld.so.preload"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (thaw_areas_is_below(path, parts[i]))
			return true;
	return false;
}

static void refuse(struct thaw_discovery *discovery, const char *path)
{
	char *copy;

	if (discovery->refused_count == sizeof(discovery->refused) / sizeof(char *) ||
	    is_of_the_core(path))
		return;
	copy = strdup(path);
	if (copy)
		discovery->refused[discovery->refused_count++] = copy;
}

/* What is in a directory is taken once, whatever asks for it. */
static void note_directory(struct thaw_discovery *discovery, char *real)
{
	bool own = thaw_areas_own(&discovery->areas, real);

	if (!is_new(discovery, 'd', real) || (own && take_deep(discovery, real, NULL)))
		return;
	if (!thaw_areas_is_loose(&discovery->areas, real))
		add(discovery,
		    (struct thaw_discovered){.path = real, .names = true, .hidden = !own});
}

static void note_file(struct thaw_discovery *discovery, const char *real)
{
	thaw_autofree char *parent = strdup(real);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash || slash == parent)
		return;
	*slash = '\0';
	if (is_new(discovery, 'p', parent))
		take_deep(discovery, parent, NULL);
}

static void note(struct thaw_discovery *discovery, char kind, char *path)
{
	thaw_autofree char *real = realpath(path, NULL);
	struct stat status;

	if (!real || stat(real, &status) < 0 ||
	    !(S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)))
		return;
	if (!thaw_areas_have(&discovery->areas, real, &status) || !thaw_areas_is_trusted(real) ||
	    !thaw_areas_is_trusted(path)) {
		if (kind == THAW_TREE_SOUGHT_MISSING)
			refuse(discovery, path);
		return;
	}
	if (kind == THAW_TREE_SOUGHT_MISSING) {
		take(discovery, path, &status);
		if (S_ISREG(status.st_mode))
			note_file(discovery, real);
	}
	if (S_ISDIR(status.st_mode))
		note_directory(discovery, real);
}

void thaw_discovery_note(struct thaw_discovery *discovery, const char *line, size_t length)
{
	char path[PATH_MAX];

	if (length < 2 || length > sizeof(path) || line[1] != '/' ||
	    (line[0] != THAW_TREE_SOUGHT_MISSING && line[0] != THAW_TREE_SOUGHT_LISTED) ||
	    memchr(line, '\0', length))
		return;
	memcpy(path, line + 1, length - 1);
	path[length - 1] = '\0';
	if (is_new(discovery, line[0], path))
		note(discovery, line[0], path);
}

/* ---- What the command line says ---- */

/* Whether the file at PATH is a text: a script, rather than data. */
static bool is_text(const char *path)
{
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char bytes[512];
	ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	return got > 0 && !memchr(bytes, 0, (size_t)got);
}

/* A script may load others only when it serves a request, when it is too late to find them. So what
 * ends as a script does comes with it, from its directory and below, if that is little; and the
 * names in its directory, so that the log tells which of them it misses. */
static void take_beside(struct thaw_discovery *discovery, const char *cwd, const char *word)
{
	struct thaw_area beside = {.kind = THAW_AREA_PROJECT, .below = true};
	char path[PATH_MAX];
	thaw_autofree char *real = NULL, *ending = NULL;
	struct stat status;
	char *slash;

	if (thaw_areas_path(cwd, word, path, sizeof(path)))
		real = realpath(path, NULL);
	if (!real || stat(real, &status) < 0 || !S_ISREG(status.st_mode) ||
	    !thaw_areas_ending(path) || !is_text(real) || !thaw_areas_is_trusted(path))
		return;
	slash = strrchr(real, '/');
	*slash = '\0';
	if (slash == real || !thaw_areas_can_be_project(real) ||
	    !thaw_areas_own(&discovery->areas, real))
		return;
	ending = strdup(thaw_areas_ending(path));
	if (!ending)
		return;
	beside.path = real;
	beside.ending = ending;
	take_deep(discovery, real, &beside);
	add(discovery, (struct thaw_discovered){.path = real, .names = true});
}

int thaw_discovery_init(struct thaw_discovery *discovery, const char *cwd, char *const *words,
			const char *program, bool verbose, struct thaw_error *err)
{
	*discovery = (struct thaw_discovery){.verbose = verbose, .room = 64};
	discovery->found = calloc(discovery->room, sizeof(*discovery->found));
	if (!discovery->found)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	thaw_areas_make(&discovery->areas, cwd, words, program);
	for (size_t i = 0; words[i]; i++)
		take_beside(discovery, cwd, words[i]);
	return 0;
}

void thaw_discovery_finish(struct thaw_discovery *discovery)
{
	thaw_areas_free(&discovery->areas);
	for (size_t i = 0; i < discovery->count; i++)
		free(discovery->found[i].path);
	for (size_t i = 0; i < discovery->refused_count; i++)
		free(discovery->refused[i]);
	free(discovery->found);
	tdestroy(discovery->sought, free);
	*discovery = (struct thaw_discovery){0};
}

void thaw_discovery_say(const struct thaw_discovery *discovery, bool failed)
{
	char size[THAW_TEXT_MAX];

	if (discovery->file_count)
		thaw_cli_say("packed %zu files (%s) that the program looks for%s",
			     discovery->file_count, thaw_text_size(discovery->bytes, size),
			     discovery->verbose ? "" : "; --verbose lists them");
	if (discovery->full)
		thaw_cli_say("it looks for more files than are packed without being named: name "
			     "them with --dir");
	for (size_t i = 0; failed && i < discovery->refused_count; i++)
		thaw_cli_say("it looked for %s, which is on this host: if it may have that, add "
			     "--file %s",
			     discovery->refused[i], discovery->refused[i]);
}
