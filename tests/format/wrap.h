/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that fail on demand: the linker's --wrap puts these between the library and the functions
 * that it calls. */
#ifndef THAW_TEST_WRAP_H
#define THAW_TEST_WRAP_H

#include <stdbool.h>

enum wrap_mode { WRAP_FAIL, WRAP_KILL, WRAP_END };

/* All zero: nothing fails. */
extern struct wrap {
	bool armed;
	int fail_allocation; /* this allocation fails, counting from 1; 0: none */
	int fail_call;	     /* this system call fails with EIO, or kills the process */
	enum wrap_mode mode;
	bool no_threads, no_tmpfile, no_proc;
	bool short_transfers; /* reads and writes move little at a time and are interrupted */
	/* The operations on files, in order: w a write, f a flush of a file, d a flush of a directory,
	 * l a link, r a rename. Later ones that do not fit are left out. */
	char steps[4096];
	_Atomic int allocations, calls; /* counted since wrap_arm() */
	_Atomic int live;		/* allocations not freed, armed or not */
} wrap;

void wrap_arm(void);
void wrap_disarm(void);
bool wrap_hit(void); /* true when the chosen call has been reached */

#endif
