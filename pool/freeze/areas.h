/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The areas of this host from which a Linux program that is frozen gets what it looks for without
 * being named (discover.h). The program is not to be trusted, and neither is the first line of a
 * script: only what the operator wrote makes an area, and the rules here keep secrets out.
 *
 *   - the system: /usr, /opt, some of /etc. What everybody may read.
 *   - the project: the current directory, directories and files that the command line names and the
 *     directories of those files, the directory above with a package.json or the like, a virtual
 *     environment. No hidden names but .venv.
 *   - the user's own libraries: ~/.local/lib and the like.
 *
 * A home directory, one that everybody may write to, and directories like /etc are no projects:
 * from there come only files with the ending of the script. Nothing is taken through a path that
 * another user than this one and root may change.
 */
#ifndef THAW_FREEZE_AREAS_H
#define THAW_FREEZE_AREAS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct thaw_area {
	char *path;   /* absolute, without links; of the system, a star at its end makes it a prefix
		     */
	char *ending; /* only files that end so; or NULL */
	bool below;   /* of those, the ones in directories below, too */
	enum thaw_area_kind { THAW_AREA_SYSTEM, THAW_AREA_PROJECT, THAW_AREA_LIBRARY } kind;
};

#define THAW_AREAS_MAX 512u

struct thaw_areas {
	struct thaw_area at[THAW_AREAS_MAX];
	size_t count;
};

/* Makes the areas for the operator's command line, WORDS (NULL-terminated), in the directory CWD.
 * PROGRAM is the path of the program that the first word names; NULL if that is a script. The
 * caller releases AREAS with thaw_areas_free(). Areas beyond THAW_AREAS_MAX are left out. */
void thaw_areas_make(struct thaw_areas *areas, const char *cwd, char *const *words,
		     const char *program);
void thaw_areas_free(struct thaw_areas *areas);

/* Whether an area, or AREA, has the file or directory at the absolute path REAL, without links, and
 * this user may read it. STATUS is that of stat(). It may be taken if its path is trusted as well. */
bool thaw_areas_have(const struct thaw_areas *areas, const char *real, const struct stat *status);
bool thaw_area_has(const struct thaw_area *area, const char *real, const struct stat *status);

/* Whether REAL is of the project, and not of the packages of others that it holds. */
bool thaw_areas_own(const struct thaw_areas *areas, const char *real);
/* Whether REAL is a directory of which only files with an ending may be seen. */
bool thaw_areas_is_loose(const struct thaw_areas *areas, const char *real);
/* Whether the directory REAL can hold a project. */
bool thaw_areas_can_be_project(const char *real);
/* Whether a directory of this NAME holds packages of others. */
bool thaw_areas_is_packages(const char *name);

/* The ending of a file's name, with its dot; NULL: it has none. */
const char *thaw_areas_ending(const char *path);
/* Makes the absolute path of WORD, which starts from CWD if it is relative. False: it is empty, or
 * too long. */
bool thaw_areas_path(const char *cwd, const char *word, char *path, size_t size);
/* Whether PATH is DIRECTORY or below it. */
bool thaw_areas_is_below(const char *path, const char *directory);

/* Whether only this user and root can change what has STATUS, that of lstat(). */
bool thaw_areas_is_ours(const struct stat *status);
/* Whether only this user and root can change where PATH leads. */
bool thaw_areas_is_trusted(const char *path);

#endif
