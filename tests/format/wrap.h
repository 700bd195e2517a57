/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that fail on demand: the linker's --wrap puts these between the library and what it calls.
 */
#ifndef THAW_TEST_WRAP_H
#define THAW_TEST_WRAP_H

#include <stdbool.h>

enum wrap_mode { WRAP_FAIL, WRAP_KILL, WRAP_END };

/* All zero: nothing is in the way. */
extern struct wrap {
	bool armed;
	int fail_allocation; /* this allocation fails, counting from 1; 0: none */
	int fail_call; /* this system call fails with EIO, or is where the process is killed */
	enum wrap_mode mode;
	bool no_threads, no_tmpfile, no_proc;
	bool short_transfers; /* reads and writes move little at a time, and are interrupted */
	/* What was done to files, in order: w a write, f a flush of a file, d one of a directory, l
	 * a link, r a rename. What does not fit is left out. */
	char steps[4096];
	_Atomic int allocations, calls; /* since armed */
	_Atomic int live;		/* allocations that were not given back, armed or not */
} wrap;

void wrap_arm(void);
void wrap_disarm(void);
bool wrap_hit(void); /* whether what was to fail has come up */

#endif
