/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is executed in the namespaces of a jail and then enters it: the privileges that an
 * exec leaves must be enough. Exit code 0: it is in, and sealed; 2: it saw a file system; 1: any
 * other failure. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/jail/jail.h"

int main(void)
{
	const struct thaw_jail_config config = {.uid = THAW_JAIL_UID_BASE, .max_fds = 16};
	struct thaw_jail_report report = {0};
	struct thaw_error err = THAW_ERROR_INIT;
	const int keep[] = {2};

	if (thaw_jail_enter(&config, &report, &err) || thaw_jail_keep_fds(keep, 1, &err) ||
	    thaw_jail_seal(THAW_JAIL_WORKER, &err) || thaw_jail_seal_loaded(&err)) {
		dprintf(2, "%s\n", err.message);
		_exit(1);
	}
	_exit(report.empty_root ? 0 : 2);
}
