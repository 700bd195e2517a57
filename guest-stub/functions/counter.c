/* SPDX-License-Identifier: Apache-2.0 */
/* Counts its invocations, and always answers 1: each invocation starts from the frozen memory. */
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
