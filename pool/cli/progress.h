/* SPDX-License-Identifier: Apache-2.0 */
/* A progress line on standard error, when that is a terminal; nothing at all when it is not. */
#ifndef THAW_CLI_PROGRESS_H
#define THAW_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct thaw_progress {
	bool terminal, shown;
	uint64_t started_ns, drawn_ns;
};

void thaw_progress_init(struct thaw_progress *progress);
/* "WHAT [#####.....] 50 %", at most some ten times a second; TOTAL 0: how much is to be done is not
 * known. */
void thaw_progress_draw(struct thaw_progress *progress, const char *what, uint64_t done,
			uint64_t total);
/* Takes the line away: call before anything else is printed. */
void thaw_progress_clear(struct thaw_progress *progress);

#endif
