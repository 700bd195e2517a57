/* SPDX-License-Identifier: Apache-2.0 */
/* Collects the files of a Linux program, outside the jail and with this user's rights. */
#ifndef THAW_FREEZE_TREE_H
#define THAW_FREEZE_TREE_H

#include "pool/freeze/discover.h"
#include "pool/freeze/environment.h"
#include "pool/freeze/options.h"
#include "pool/pack/gather_program.h"

struct thaw_freeze_tree {
	struct thaw_command command;	     /* the program, and its command line */
	struct thaw_environment environment; /* of a Linux program */
	int fd; /* the tree, a sealed memory file; -1 for a native function */
	uint64_t size;
	bool discovers; /* the core tells what the program looks for */
};

#define THAW_FREEZE_TREE_INIT                                                                      \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Finds the program and, unless it is a native function, packs its tree, with what DISCOVERY has
 * found. Begins DISCOVERY, which is zeroed then, the first time; the caller finishes it. The caller
 * releases OUT with thaw_freeze_tree_finish(). */
int thaw_freeze_tree_make(const struct thaw_freeze_options *freeze,
			  struct thaw_discovery *discovery, struct thaw_freeze_tree *out,
			  struct thaw_error *err);
void thaw_freeze_tree_finish(struct thaw_freeze_tree *tree);

#endif
