/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.clone: for each byte that comes on standard input, one clone, exit and wait, and how long
 * that took goes back as eight bytes. Static, with nothing mapped but itself: a process that does
 * less cannot be had.
 */
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "snapshot-format/base/clock.h"

int main(void)
{
	char go;

	while (read(STDIN_FILENO, &go, 1) == 1) {
		uint64_t took = thaw_monotonic_ns();
		pid_t child = _Fork();

		if (child == 0)
			_exit(0);
		if (child < 0 || waitpid(child, NULL, 0) != child)
			return 1;
		took = thaw_monotonic_ns() - took;
		if (write(STDIN_FILENO, &took, sizeof(took)) != (ssize_t)sizeof(took))
			return 1;
	}
	return 0;
}
