/* SPDX-License-Identifier: Apache-2.0 */
/* See areas.h. */
#include "pool/freeze/areas.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"

/* In so many directories above a script a mark of a project is looked for. */
#define LEVELS_MAX   6

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Paths ---- */

bool thaw_areas_is_below(const char *path, const char *directory)
{
	const size_t length = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return true;
	return strncmp(path, directory, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

bool thaw_areas_path(const char *cwd, const char *word, char *path, size_t size)
{
	return *word && (size_t)snprintf(path, size, "%s%s%s", *word == '/' ? "" : cwd,
					 *word == '/' ? "" : "/", word) < size;
}

const char *thaw_areas_ending(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');

	return dot && dot[1] ? dot : NULL;
}

bool thaw_areas_is_packages(const char *name)
{
	return strcmp(name, "node_modules") == 0 || strcmp(name, "site-packages") == 0 ||
	       strcmp(name, "dist-packages") == 0;
}

static const char *home(void)
{
	const char *path = getenv("HOME");

	return path && *path == '/' ? path : "/root";
}

/* It is none if it holds more than one: the root, what lies above or at the home directory, where
 * everybody may write, and the system's. */
bool thaw_areas_can_be_project(const char *real)
{
	static const char *const whole[] = {"/boot", "/dev", "/etc",	"/proc",
					    "/run",  "/sys", "/var/log"};
	static const char *const tops[] = {"/home", "/mnt", "/opt",    "/srv",
					   "/usr",  "/var", "/var/lib"};
	thaw_autofree char *own = realpath(home(), NULL);
	struct stat status;

	for (size_t i = 0; i < COUNT(whole); i++)
		if (thaw_areas_is_below(real, whole[i]))
			return false;
	for (size_t i = 0; i < COUNT(tops); i++)
		if (strcmp(real, tops[i]) == 0)
			return false;
	return strcmp(real, "/") != 0 && !thaw_areas_is_below(own ? own : "/root", real) &&
	       stat(real, &status) == 0 && !(status.st_mode & S_IWOTH);
}

/* ---- Making areas ---- */

/* Adds an area, unless it is there without an ending. ENDING may be NULL. */
static void add(struct thaw_areas *areas, const char *path, enum thaw_area_kind kind,
		const char *ending)
{
	struct thaw_area *area = &areas->at[areas->count];

	if (areas->count == THAW_AREAS_MAX)
		return;
	for (size_t i = 0; i < areas->count; i++)
		if (strcmp(areas->at[i].path, path) == 0 && !areas->at[i].ending)
			return;
	*area = (struct thaw_area){
		.path = strdup(path), .ending = ending ? strdup(ending) : NULL, .kind = kind};
	if (area->path && (!ending || area->ending)) {
		areas->count++;
		return;
	}
	free(area->path);
	free(area->ending);
}

/* The directory REAL holds the project, or loose files of which FILE is one. */
static void add_project(struct thaw_areas *areas, const char *real, const char *file)
{
	const char *ending = file ? thaw_areas_ending(file) : NULL;

	if (thaw_areas_can_be_project(real))
		add(areas, real, THAW_AREA_PROJECT, NULL);
	else if (ending)
		add(areas, real, THAW_AREA_PROJECT, ending);
}

/* Adds the directories above PATH that mark themselves as the top of a project. */
static void add_tops(struct thaw_areas *areas, const char *path)
{
	static const char *const marks[] = {"package.json", "node_modules", "pyproject.toml",
					    "setup.py",	    "Gemfile",	    "pyvenv.cfg",
					    ".git",	    "composer.json"};
	thaw_autofree char *directory = strdup(path);

	for (int level = 0; directory && level < LEVELS_MAX; level++) {
		char *slash = strrchr(directory, '/');
		char mark[PATH_MAX];

		if (!slash || slash == directory)
			return;
		*slash = '\0';
		if (!thaw_areas_can_be_project(directory))
			return;
		for (size_t i = 0; i < COUNT(marks); i++)
			if (thaw_areas_path(directory, marks[i], mark, sizeof(mark)) &&
			    access(mark, F_OK) == 0)
				add(areas, directory, THAW_AREA_PROJECT, NULL);
	}
}

/* WORD may name a file or a directory of this host. */
static void add_named(struct thaw_areas *areas, const char *cwd, const char *word)
{
	char path[PATH_MAX];
	thaw_autofree char *real = NULL;
	struct stat status;
	char *slash;

	if (!thaw_areas_path(cwd, word, path, sizeof(path)))
		return;
	real = realpath(path, NULL);
	if (!real || stat(real, &status) < 0)
		return;
	if (S_ISDIR(status.st_mode))
		add_project(areas, real, NULL);
	if (!S_ISREG(status.st_mode))
		return;
	add(areas, real, THAW_AREA_PROJECT, NULL);
	add_tops(areas, real);
	slash = strrchr(real, '/');
	if (slash == real)
		return;
	*slash = '\0';
	add_project(areas, real, slash + 1);
}

/* A word may name several: --file=a.R, -cp lib:classes, -Ilib, @arguments. */
static void add_word(struct thaw_areas *areas, const char *cwd, const char *word)
{
	thaw_autofree char *copy = strdup(word);
	char *rest = NULL;

	/* The text of `python3 -c` is no path. */
	if (!copy || strlen(word) >= PATH_MAX || strchr(word, '\n'))
		return;
	add_named(areas, cwd, word);
	if (word[0] == '-' && word[1] && word[1] != '-')
		add_named(areas, cwd, word + 2);
	for (char *piece = strtok_r(copy, "=:,@", &rest); piece;
	     piece = strtok_r(NULL, "=:,@", &rest))
		add_named(areas, cwd, piece);
}

static void add_standard(struct thaw_areas *areas)
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
	char path[PATH_MAX];

	for (size_t i = 0; i < COUNT(system); i++)
		add(areas, system[i], THAW_AREA_SYSTEM, NULL);
	for (size_t i = 0; i < COUNT(own); i++) {
		thaw_autofree char *real = NULL;

		if (thaw_areas_path(home(), own[i], path, sizeof(path)))
			real = realpath(path, NULL);
		if (real)
			add(areas, real, THAW_AREA_LIBRARY, NULL);
	}
}

void thaw_areas_make(struct thaw_areas *areas, const char *cwd, char *const *words,
		     const char *program)
{
	thaw_autofree char *real = realpath(cwd, NULL);

	areas->count = 0;
	add_standard(areas);
	if (real)
		add_project(areas, real, NULL);
	for (size_t i = 0; words[i]; i++)
		add_word(areas, cwd, words[i]);
	/* The interpreter of a virtual environment. */
	if (program)
		add_tops(areas, program);
}

void thaw_areas_free(struct thaw_areas *areas)
{
	for (size_t i = 0; i < areas->count; i++) {
		free(areas->at[i].path);
		free(areas->at[i].ending);
	}
	areas->count = 0;
}

/* ---- What they have ---- */

/* Whether a component of REAL behind the area is hidden, and not below a directory of packages. */
static bool is_hidden(const struct thaw_area *area, const char *real)
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

static bool project_has(const struct thaw_area *area, const char *real, const struct stat *status)
{
	const char *ending = thaw_areas_ending(real);

	if (is_hidden(area, real))
		return false;
	if (!area->ending || strcmp(real, area->path) == 0)
		return true;
	return S_ISREG(status->st_mode) &&
	       (area->below || !strchr(real + strlen(area->path) + 1, '/')) && ending &&
	       strcmp(ending, area->ending) == 0;
}

/* The environment brings the locale that it names, and not those of the host. */
static bool system_has(const struct thaw_area *area, const char *real, const struct stat *status)
{
	const size_t length = strlen(area->path);
	bool inside = area->path[length - 1] == '*' ? strncmp(real, area->path, length - 1) == 0
						    : thaw_areas_is_below(real, area->path);

	return inside && status->st_mode & S_IROTH && !thaw_areas_is_below(real, "/usr/lib/locale");
}

bool thaw_area_has(const struct thaw_area *area, const char *real, const struct stat *status)
{
	if (area->kind == THAW_AREA_SYSTEM)
		return system_has(area, real, status);
	return thaw_areas_is_below(real, area->path) &&
	       (area->kind == THAW_AREA_LIBRARY || project_has(area, real, status));
}

bool thaw_areas_have(const struct thaw_areas *areas, const char *real, const struct stat *status)
{
	for (size_t i = 0; i < areas->count; i++)
		if (thaw_area_has(&areas->at[i], real, status))
			return access(real, R_OK) == 0;
	return false;
}

/* Whether a component of PATH is a directory of packages. */
static bool is_in_packages(const char *path)
{
	thaw_autofree char *copy = strdup(path);
	char *rest = NULL;

	for (char *name = copy ? strtok_r(copy, "/", &rest) : NULL; name;
	     name = strtok_r(NULL, "/", &rest))
		if (thaw_areas_is_packages(name))
			return true;
	return false;
}

bool thaw_areas_own(const struct thaw_areas *areas, const char *real)
{
	for (size_t i = 0; i < areas->count; i++)
		if (areas->at[i].kind == THAW_AREA_PROJECT &&
		    thaw_areas_is_below(real, areas->at[i].path))
			return !is_in_packages(real);
	return false;
}

bool thaw_areas_is_loose(const struct thaw_areas *areas, const char *real)
{
	for (size_t i = 0; i < areas->count; i++)
		if (areas->at[i].ending && strcmp(areas->at[i].path, real) == 0)
			return true;
	return false;
}

/* ---- Who else can change it ---- */

bool thaw_areas_is_ours(const struct stat *status)
{
	return (status->st_uid == 0 || status->st_uid == geteuid()) &&
	       (S_ISLNK(status->st_mode) || !(status->st_mode & S_IWOTH) ||
		status->st_mode & S_ISVTX);
}

bool thaw_areas_is_trusted(const char *whole)
{
	thaw_autofree char *path = strdup(whole);

	while (path) {
		char *slash = strrchr(path, '/');
		struct stat status;

		if (lstat(*path ? path : "/", &status) < 0 || !thaw_areas_is_ours(&status))
			return false;
		if (!*path)
			return true;
		*slash = '\0';
	}
	return false;
}
