/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.clone: for each byte on standard input, does one clone, exit and wait, and sends the time
 * back as eight bytes. The program is static, with nothing mapped but itself: no process does
 * less.
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
