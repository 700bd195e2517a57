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
	_Atomic int allocations, calls; /* counted since wrap_arm() */
	_Atomic int live;		/* allocations not freed, armed or not */
} wrap;

void wrap_arm(void);
void wrap_disarm(void);
bool wrap_hit(void); /* true when the chosen call has been reached */

#endif
