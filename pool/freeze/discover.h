/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the files that a Linux program looks for while it boots: modules beside a script, a
 * runtime's own libraries, plugins. The Linux core tells which paths led to nothing and which
 * directories were listed. What this host has there, and areas.h allows, is packed, and the program
 * boots again, until it looks for nothing more.
 *
 * A file comes with all that is in its directory, if that is little, because modules come in
 * packages. A directory that is listed comes with its names: with the content of its files if it is
 * the project's and little, otherwise without (thaw/tree.h, THAW_TREE_NODE_ABSENT).
 */
#ifndef THAW_FREEZE_DISCOVER_H
#define THAW_FREEZE_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/freeze/areas.h"
#include "snapshot-format/base/error.h"

struct thaw_discovered {
	char *path;  /* absolute */
	bool names;  /* the names in the directory, instead of the file itself */
	bool hidden; /* those that begin with a dot, too */
};

struct thaw_discovery {
	bool verbose;
	struct thaw_areas areas;
	/* What of this host is to be packed, in the order in which it was found. */
	struct thaw_discovered *found;
	size_t count, room;
	uint64_t bytes;
	size_t file_count; /* without directories */
	void *sought;	   /* a tree of search.h: what was noted already */
	size_t sought_count;
	char *refused[4]; /* what this host has and the areas do not */
	size_t refused_count;
	bool full; /* a bound was reached */
};

/* Begins for the operator's command line, WORDS (NULL-terminated), in the guest's directory CWD,
 * from which relative names start. PROGRAM is as for thaw_areas_make(). The caller releases
 * DISCOVERY with thaw_discovery_finish(), after an error too. */
int thaw_discovery_init(struct thaw_discovery *discovery, const char *cwd, char *const *words,
			const char *program, bool verbose, struct thaw_error *err);
void thaw_discovery_finish(struct thaw_discovery *discovery);

/* Takes the LENGTH bytes of a line of the core (thaw/tree.h, THAW_TREE_SOUGHT), without its first.
 * Bytes that are no such line are ignored. */
void thaw_discovery_note(struct thaw_discovery *discovery, const char *line, size_t length);

/* Tells the person at the terminal what was found. FAILED: the program did not boot, so what was
 * refused is of interest. */
void thaw_discovery_say(const struct thaw_discovery *discovery, bool failed);

#endif
