/* SPDX-License-Identifier: Apache-2.0 */
/* A progress line on standard error. When that is no terminal, nothing is drawn. */
#ifndef THAW_CLI_PROGRESS_H
#define THAW_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct thaw_progress {
	bool terminal, shown;
	uint64_t started_ns, drawn_ns;
};

void thaw_progress_init(struct thaw_progress *progress);
/* Draws "WHAT [#####.....] 50 %", at most every 80 ms. With TOTAL 0 (unknown) it draws the time
 * since thaw_progress_init() instead. */
void thaw_progress_draw(struct thaw_progress *progress, const char *what, uint64_t done,
			uint64_t total);
/* Erases the line. Call it before you print anything else. */
void thaw_progress_clear(struct thaw_progress *progress);

#endif
