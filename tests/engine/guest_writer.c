/* SPDX-License-Identifier: Apache-2.0 */
/* A guest whose every request writes a byte of each of the same WRITER_PAGES pages, for the test of
 * write sets. It counts in each, and answers with the sum of what it found there. */
#include <stdint.h>

#include <thaw/abi.h>
#include <thaw/guest.h>

#include "tests/engine/writer.h"

static volatile uint8_t pages[WRITER_PAGES][THAW_PAGE_SIZE] __attribute__((aligned(4096)));

static int write_them(struct thaw_invocation *invocation)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < WRITER_PAGES; i++)
		sum += pages[i][i]++;
	thaw_printf(invocation, "%u\n", sum);
	return 0;
}

int main(void)
{
	for (unsigned i = 0; i < WRITER_PAGES; i++)
		pages[i][i] = 1;
	thaw_serve(write_them);
}
