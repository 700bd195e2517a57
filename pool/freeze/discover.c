/* SPDX-License-Identifier: Apache-2.0 */
/* See discover.h. */
#include "pool/freeze/discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/include/thaw/tree.h"
#include "pool/pack/gather_program.h"
#include "snapshot-format/base/cleanup.h"

/* A directory with all below it is little up to these bounds. A package of modules then costs one
 * boot, and not one for each of its levels. */
#define DEEP_BYTES (UINT64_C(4) << 20)
#define DEEP_FILES 1000u
#define DEPTH_MAX  32
/* Of everything. */
#define BYTES_MAX  (UINT64_C(1) << 30)
#define FILES_MAX  100000u
#define SOUGHT_MAX 200000u

/* ---- Areas ---- */

static bool is_below(const char *path, const char *directory)
{
	const size_t length = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return true;
	return strncmp(path, directory, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

/* Whether PATH is the area's, or below it. A star ends the text of a prefix. */
static bool is_in(const char *path, const struct thaw_discovery_area *area)
{
	const size_t length = strlen(area->path);

	if (area->path[length - 1] == '*')
		return strncmp(path, area->path, length - 1) == 0;
	return is_below(path, area->path);
}

static void add_area(struct thaw_discovery *discovery, const char *path,
		     enum thaw_discovery_kind kind, const char *ending)
{
	char *copy;

	if (discovery->area_count == THAW_DISCOVERY_AREAS_MAX)
		return;
	for (size_t i = 0; i < discovery->area_count; i++)
		if (strcmp(discovery->areas[i].path, path) == 0 && !discovery->areas[i].ending)
			return;
	copy = strdup(path);
	if (copy)
		discovery->areas[discovery->area_count++] =
			(struct thaw_discovery_area){.path = copy, .ending = ending, .kind = kind};
}

static const char *home(void)
{
	const char *path = getenv("HOME");

	return path && *path == '/' ? path : "/root";
}

/* A directory that is no project, because it holds more than one: the root, what lies above or at
 * the home directory, and where everybody may write. */
static bool is_loose(const char *real)
{
	thaw_autofree char *own = realpath(home(), NULL);
	struct stat status;

	return strcmp(real, "/") == 0 || is_below(own ? own : "/root", real) ||
	       stat(real, &status) < 0 || status.st_mode & S_IWOTH;
}

/* The ending of a file's name, with its dot. */
static const char *ending_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');

	return dot && dot[1] ? dot : NULL;
}

/* The directory REAL holds the project, or loose files of which FILE is one. */
static void add_project(struct thaw_discovery *discovery, const char *real, const char *file)
{
	const char *ending = file ? ending_of(file) : NULL;

	if (!is_loose(real))
		add_area(discovery, real, THAW_DISCOVERY_PROJECT, NULL);
	else if (ending)
		add_area(discovery, real, THAW_DISCOVERY_PROJECT, ending);
}

static bool has(const char *directory, const char *name)
{
	char path[PATH_MAX];

	return (size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) < sizeof(path) &&
	       access(path, F_OK) == 0;
}

/* Adds the directory above a script that marks itself as the top of a project. */
static void add_top(struct thaw_discovery *discovery, char *directory)
{
	static const char *const marks[] = {"package.json", "node_modules", "pyproject.toml",
					    "setup.py",	    "Gemfile",	    "pyvenv.cfg",
					    ".git",	    "composer.json"};

	for (int level = 0; level < 6; level++) {
		char *slash = strrchr(directory, '/');

		if (!slash || slash == directory || is_loose(directory))
			return;
		for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
			if (has(directory, marks[i]))
				add_area(discovery, directory, THAW_DISCOVERY_PROJECT, NULL);
		*slash = '\0';
	}
}

/* What the operator wrote names a file or a directory of this host. */
static void add_named(struct thaw_discovery *discovery, const char *cwd, const char *word)
{
	char path[PATH_MAX];
	thaw_autofree char *real = NULL;
	struct stat status;
	char *slash;

	if (!*word || (size_t)snprintf(path, sizeof(path), "%s%s%s", *word == '/' ? "" : cwd,
				       *word == '/' ? "" : "/", word) >= sizeof(path))
		return;
	real = realpath(path, NULL);
	if (!real || stat(real, &status) < 0)
		return;
	if (S_ISDIR(status.st_mode)) {
		add_project(discovery, real, NULL);
		return;
	}
	if (!S_ISREG(status.st_mode))
		return;
	add_area(discovery, real, THAW_DISCOVERY_PROJECT, NULL);
	slash = strrchr(real, '/');
	if (slash == real)
		return;
	snprintf(path, sizeof(path), "%s", real);
	*slash = '\0';
	add_project(discovery, real, path);
	add_top(discovery, real);
}

/* A word may name several: --file=a.R, -cp lib:classes, -Ilib, @arguments. */
static void add_word(struct thaw_discovery *discovery, const char *cwd, const char *word)
{
	thaw_autofree char *copy = strdup(word);
	char *rest = NULL;

	/* The text of `python3 -c` is no path. */
	if (!copy || strlen(word) >= PATH_MAX || strchr(word, '\n'))
		return;
	add_named(discovery, cwd, word);
	if (word[0] == '-' && word[1] && word[1] != '-')
		add_named(discovery, cwd, word + 2);
	for (char *piece = strtok_r(copy, "=:,@", &rest); piece;
	     piece = strtok_r(NULL, "=:,@", &rest))
		add_named(discovery, cwd, piece);
}

static void add_standard(struct thaw_discovery *discovery)
{
	static const char *const system[] = {
		"/usr",
		"/opt",
		"/etc/alternatives",
		"/etc/erlang",
		"/etc/fonts",
		"/etc/ghc",
		"/etc/ImageMagick*",
		"/etc/java*",
		"/etc/locale.alias",
		"/etc/lua",
		"/etc/magic*",
		"/etc/maven*",
		"/etc/mime.types",
		"/etc/ocaml*",
		"/etc/octave*",
		"/etc/perl",
		"/etc/php",
		"/etc/python3*",
		"/etc/R",
		"/etc/racket",
		"/etc/sbclrc",
		"/etc/texmf",
	};
	static const char *const own[] = {".local/lib", ".local/share/gem", ".gem",
					  "perl5",	".luarocks",	    "R"};

	for (size_t i = 0; i < sizeof(system) / sizeof(system[0]); i++)
		add_area(discovery, system[i], THAW_DISCOVERY_SYSTEM, NULL);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		char path[PATH_MAX];

		if ((size_t)snprintf(path, sizeof(path), "%s/%s", home(), own[i]) < sizeof(path))
			add_area(discovery, path, THAW_DISCOVERY_LIBRARY, NULL);
	}
}

/* ---- What may be taken ---- */

/* Whether nobody but this user and root can change what has STATUS, as it is seen without following
 * links. */
static bool is_ours(const struct stat *status)
{
	return (status->st_uid == 0 || status->st_uid == geteuid()) &&
	       (S_ISLNK(status->st_mode) || !(status->st_mode & S_IWOTH) ||
		status->st_mode & S_ISVTX);
}

/* Whether nobody but this user and root can change where PATH leads. */
static bool is_trusted(const char *whole)
{
	char path[PATH_MAX];

	if (strlen(whole) >= sizeof(path))
		return false;
	memcpy(path, whole, strlen(whole) + 1);
	for (;;) {
		char *slash = strrchr(path, '/');
		struct stat status;

		if (lstat(*path ? path : "/", &status) < 0 || !is_ours(&status))
			return false;
		if (!*path)
			return true;
		*slash = '\0';
	}
}

/* Whether a component of REAL behind the area is hidden, and not below a directory of packages. */
static bool is_hidden(const struct thaw_discovery_area *area, const char *real)
{
	for (const char *at = strchr(real + strlen(area->path), '/'); at;
	     at = strchr(at + 1, '/')) {
		if (strncmp(at, "/node_modules/", 14) == 0 || strncmp(at, "/.venv/", 7) == 0 ||
		    strcmp(at, "/.venv") == 0)
			return false;
		if (at[1] == '.')
			return true;
	}
	return false;
}

static bool area_allows(const struct thaw_discovery_area *area, const char *real,
			const struct stat *status)
{
	if (!is_in(real, area))
		return false;
	switch (area->kind) {
	case THAW_DISCOVERY_SYSTEM:
		/* The environment brings the locale that it names, and not those of the host. */
		return status->st_mode & S_IROTH && !is_below(real, "/usr/lib/locale");
	case THAW_DISCOVERY_LIBRARY:
		return true;
	case THAW_DISCOVERY_PROJECT:
		break;
	}
	if (is_hidden(area, real))
		return false;
	if (!area->ending || strcmp(real, area->path) == 0)
		return true;
	return S_ISREG(status->st_mode) &&
	       (area->below || !strchr(real + strlen(area->path) + 1, '/')) && ending_of(real) &&
	       strcmp(ending_of(real), area->ending) == 0;
}

static bool is_in_areas(const struct thaw_discovery *discovery, const char *real,
			const struct stat *status)
{
	for (size_t i = 0; i < discovery->area_count; i++)
		if (area_allows(&discovery->areas[i], real, status))
			return access(real, R_OK) == 0;
	return false;
}

static bool is_allowed(const struct thaw_discovery *discovery, const char *real,
		       const struct stat *status)
{
	return is_in_areas(discovery, real, status) && is_trusted(real);
}

/* ---- Taking ---- */

/* Whether KIND and PATH were not noted before. */
static bool is_new(struct thaw_discovery *discovery, char kind, const char *path)
{
	thaw_autofree char *key = NULL;
	char **found;

	if (discovery->sought_count >= SOUGHT_MAX || asprintf(&key, "%c%s", kind, path) < 0) {
		key = NULL;
		return false;
	}
	found = tsearch(key, &discovery->sought, (int (*)(const void *, const void *))strcmp);
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

/* Takes the file or the directory itself at PATH. */
static void take(struct thaw_discovery *discovery, char *path, uint64_t bytes)
{
	if (!is_new(discovery, 't', path))
		return;
	if (discovery->file_count >= FILES_MAX || bytes > BYTES_MAX - discovery->bytes) {
		discovery->full = true;
		return;
	}
	add(discovery, (struct thaw_discovered){.path = path});
	discovery->file_count++;
	discovery->bytes += bytes;
	if (discovery->verbose)
		thaw_cli_say("packed %s", path);
}

/* A walk through a directory with all below it, which counts or takes. */
struct survey {
	struct thaw_discovery *discovery;
	const struct thaw_discovery_area *only; /* what it allows; or NULL: all that may be taken */
	bool takes;
	uint64_t bytes;
	size_t files;
};

static void survey_directory(struct survey *survey, const char *path, int depth);

static void survey_one(struct survey *survey, char *path, int depth)
{
	thaw_autofree char *real = NULL;
	struct stat status;
	uint64_t bytes;

	/* The directory that it is in is trusted. */
	if (lstat(path, &status) < 0 || !is_ours(&status))
		return;
	if (S_ISLNK(status.st_mode)) {
		real = realpath(path, NULL);
		if (!real || stat(real, &status) < 0 || S_ISDIR(status.st_mode) ||
		    !is_trusted(real))
			return;
	}
	if ((!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) ||
	    !is_in_areas(survey->discovery, real ? real : path, &status) ||
	    (survey->only && S_ISREG(status.st_mode) && !area_allows(survey->only, path, &status)))
		return;
	bytes = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
	survey->files++;
	survey->bytes += bytes;
	if (survey->takes)
		take(survey->discovery, path, bytes);
	if (S_ISDIR(status.st_mode))
		survey_directory(survey, path, depth + 1);
}

static bool is_much(const struct survey *survey)
{
	return survey->files > DEEP_FILES || survey->bytes > DEEP_BYTES;
}

static void survey_directory(struct survey *survey, const char *path, int depth)
{
	struct dirent **names = NULL;
	int count = depth > DEPTH_MAX ? 0 : scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char below[PATH_MAX];

		if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0 &&
		    !is_much(survey) &&
		    (size_t)snprintf(below, sizeof(below), "%s/%s", path, names[i]->d_name) <
			    sizeof(below))
			survey_one(survey, below, depth);
		free(names[i]);
	}
	free(names);
}

/* Takes all that is in the directory REAL and below it, or what ONLY allows of it, if that is
 * little. */
static bool take_deep(struct thaw_discovery *discovery, const char *real,
		      const struct thaw_discovery_area *only)
{
	struct survey survey = {.discovery = discovery, .only = only};

	if (!is_trusted(real))
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
		if (is_below(path, parts[i]))
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

/* The project's own files, and not the packages of others that it holds. */
static bool is_own(const struct thaw_discovery *discovery, const char *real)
{
	bool own = false;

	for (size_t i = 0; i < discovery->area_count; i++)
		own |= discovery->areas[i].kind == THAW_DISCOVERY_PROJECT &&
		       is_below(real, discovery->areas[i].path);
	return own && !strstr(real, "/site-packages") && !strstr(real, "/dist-packages") &&
	       !strstr(real, "/node_modules");
}

/* Loose files lie in the directory REAL, and nothing else of it may be seen. */
static bool is_loose_area(const struct thaw_discovery *discovery, const char *real)
{
	for (size_t i = 0; i < discovery->area_count; i++)
		if (discovery->areas[i].ending && strcmp(discovery->areas[i].path, real) == 0)
			return true;
	return false;
}

static void note_directory(struct thaw_discovery *discovery, char *real)
{
	/* What is in a directory is taken once, whoever asks. */
	if (!is_new(discovery, 'd', real))
		return;
	if (is_own(discovery, real) && take_deep(discovery, real, NULL))
		return;
	if (!is_loose_area(discovery, real))
		add(discovery, (struct thaw_discovered){.path = real,
							.names = true,
							.hidden = !is_own(discovery, real)});
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
	if (!is_allowed(discovery, real, &status) || !is_trusted(path)) {
		if (kind == THAW_TREE_SOUGHT_MISSING)
			refuse(discovery, path);
		return;
	}
	if (kind == THAW_TREE_SOUGHT_MISSING) {
		take(discovery, path, S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0);
		if (S_ISREG(status.st_mode))
			note_file(discovery, real);
	}
	if (S_ISDIR(status.st_mode))
		note_directory(discovery, real);
}

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
	struct thaw_discovery_area beside = {.kind = THAW_DISCOVERY_PROJECT, .below = true};
	char path[PATH_MAX];
	thaw_autofree char *real = NULL;
	struct stat status;
	char *slash;

	if ((size_t)snprintf(path, sizeof(path), "%s%s%s", *word == '/' ? "" : cwd,
			     *word == '/' ? "" : "/", word) >= sizeof(path))
		return;
	real = realpath(path, NULL);
	if (!real || stat(real, &status) < 0 || !S_ISREG(status.st_mode) || !is_text(real) ||
	    !ending_of(path) || !is_trusted(path))
		return;
	beside.ending = ending_of(path);
	slash = strrchr(real, '/');
	*slash = '\0';
	if (slash == real || is_loose(real) || !is_own(discovery, real))
		return;
	beside.path = real;
	take_deep(discovery, real, &beside);
	add(discovery, (struct thaw_discovered){.path = real, .names = true});
}

int thaw_discovery_init(struct thaw_discovery *discovery, const char *cwd, char *const *words,
			bool verbose, struct thaw_error *err)
{
	thaw_autofree char *real = realpath(cwd, NULL);

	*discovery = (struct thaw_discovery){.verbose = verbose};
	add_standard(discovery);
	if (real)
		add_project(discovery, real, NULL);
	for (size_t i = 0; words[i]; i++)
		add_word(discovery, cwd, words[i]);
	if (words[0] && strchr(words[0], '/')) {
		/* bin/python of a virtual environment. */
		thaw_autofree char *program = strdup(words[0]);

		if (program)
			add_top(discovery, program);
	}
	discovery->found = calloc(64, sizeof(*discovery->found));
	discovery->room = 64;
	if (!discovery->found)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	for (size_t i = 1; words[0] && words[i]; i++)
		take_beside(discovery, cwd, words[i]);
	return 0;
}

void thaw_discovery_finish(struct thaw_discovery *discovery)
{
	for (size_t i = 0; i < discovery->area_count; i++)
		free(discovery->areas[i].path);
	for (size_t i = 0; i < discovery->count; i++)
		free(discovery->found[i].path);
	for (size_t i = 0; i < discovery->refused_count; i++)
		free(discovery->refused[i]);
	free(discovery->found);
	tdestroy(discovery->sought, free);
	*discovery = (struct thaw_discovery){0};
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
