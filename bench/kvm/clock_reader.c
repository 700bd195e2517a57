/* SPDX-License-Identifier: Apache-2.0 */
/* A Linux program that reads the clock as often as its request says. The cost of its invocations
 * shows what a reading costs, and whether one leaves the virtual machine. */
#include <stdio.h>
#include <time.h>

int main(void)
{
	unsigned long count, backwards = 0;
	struct timespec last = {0}, now;

	if (scanf("%lu", &count) != 1)
		return 1;
	for (unsigned long i = 0; i < count; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		backwards += now.tv_sec < last.tv_sec ||
			     (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
		last = now;
	}
	return backwards != 0;
}
