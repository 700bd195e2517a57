/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the files that a Linux program looks for while it boots: modules beside a script, a
 * runtime's own libraries, plugins. The Linux core tells which paths led to nothing and which
 * directories were listed; what this host has there, and the rules below allow, is packed, and the
 * program boots again, until it looks for nothing more.
 *
 * A file comes with all that is in its directory, if that is little, because modules come in
 * packages. A directory that is listed comes with its names: with the content of its files if it is
 * the project's and little, otherwise without (thaw/tree.h, THAW_TREE_NODE_ABSENT).
 *
 * The program is not to be trusted, so it gets what it asks for only from
 *
 *   - the system: /usr, /opt, some of /etc. What everybody may read.
 *   - the project: the current directory, directories and files that the command line names and the
 *     directories of those files, the directory above with a package.json or the like, a virtual
 *     environment. No hidden names but .venv, and none where others may write.
 *   - the user's own libraries: ~/.local/lib and the like.
 *
 * A home directory, and one that everybody may write to, is no project: from there come only files
 * with the ending of the script. Nothing comes through a path that somebody else may change.
 */
#ifndef THAW_FREEZE_DISCOVER_H
#define THAW_FREEZE_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/freeze/options.h"

struct thaw_discovery_area {
	char *path;	    /* absolute, without links */
	const char *ending; /* only files that end so; or NULL */
	bool below;	    /* of those, the ones in directories below, too */
	enum thaw_discovery_kind {
		THAW_DISCOVERY_SYSTEM,
		THAW_DISCOVERY_PROJECT,
		THAW_DISCOVERY_LIBRARY
	} kind;
};

#define THAW_DISCOVERY_AREAS_MAX 512u

struct thaw_discovered {
	char *path;  /* absolute */
	bool names;  /* the names in the directory, instead of the file itself */
	bool hidden; /* those that begin with a dot, too */
};

struct thaw_discovery {
	bool verbose;
	struct thaw_discovery_area areas[THAW_DISCOVERY_AREAS_MAX];
	size_t area_count;
	/* What of this host is to be packed, in the order in which it was found. */
	struct thaw_discovered *found;
	size_t count, room;
	uint64_t bytes;
	size_t file_count;
	void *sought; /* a tree of search.h: the lines that were noted already */
	size_t sought_count;
	char *refused[4]; /* what this host has and the rules do not allow */
	size_t refused_count;
	bool full; /* a bound was reached */
};

/* Sets the areas for a program that is started with WORDS (NULL-terminated) in directory CWD. */
int thaw_discovery_init(struct thaw_discovery *discovery, const char *cwd, char *const *words,
			bool verbose, struct thaw_error *err);
void thaw_discovery_finish(struct thaw_discovery *discovery);

/* Takes the LENGTH bytes of a line of the core (thaw/tree.h, THAW_TREE_SOUGHT), without its first.
 * Bytes that are no such line are ignored. */
void thaw_discovery_note(struct thaw_discovery *discovery, const char *line, size_t length);

/* Tells the person at the terminal what was found. FAILED: the program did not boot, so what was
 * refused is of interest. */
void thaw_discovery_say(const struct thaw_discovery *discovery, bool failed);

#endif
