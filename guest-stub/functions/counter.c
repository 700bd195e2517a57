/* SPDX-License-Identifier: Apache-2.0 */
/* Counts its invocations, and so answers 1 for ever: each one starts from the memory as it was
 * frozen. */
#include <thaw/guest.h>

static unsigned count;

static int counter(struct thaw_invocation *invocation)
{
	return thaw_printf(invocation, "%u\n", ++count);
}

int main(void)
{
	thaw_serve(counter);
}
