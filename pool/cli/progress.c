/* SPDX-License-Identifier: Apache-2.0 */
/* Draws the progress line; see progress.h. */
#include "pool/cli/progress.h"
#include "snapshot-format/base/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WIDTH	  30u
#define REDRAW_NS UINT64_C(80000000)

void thaw_progress_init(struct thaw_progress *progress)
{
	*progress = (struct thaw_progress){.terminal = isatty(STDERR_FILENO) == 1,
					   .started_ns = thaw_monotonic_ns()};
}

void thaw_progress_draw(struct thaw_progress *progress, const char *what, uint64_t done,
			uint64_t total)
{
	uint64_t now = thaw_monotonic_ns();
	double part = total > 0 && done <= total ? (double)done / (double)total : 0;
	char bar[WIDTH + 1];

	if (!progress->terminal || now - progress->drawn_ns < REDRAW_NS)
		return;
	progress->drawn_ns = now;
	progress->shown = true;
	for (unsigned i = 0; i < WIDTH; i++)
		bar[i] = i < (unsigned)(part * WIDTH) ? '#' : '.';
	bar[WIDTH] = '\0';
	if (total > 0)
		fprintf(stderr, "\r\033[K%-8s [%s] %3.0f %%", what, bar, part * 100);
	else
		fprintf(stderr, "\r\033[K%-8s %.1f s", what,
			(double)(now - progress->started_ns) / 1e9);
	fflush(stderr);
}

void thaw_progress_clear(struct thaw_progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
