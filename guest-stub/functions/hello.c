/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest function: answers every request with a greeting. */
#include <thaw/guest.h>

static int hello(struct thaw_invocation *invocation)
{
	return thaw_print(invocation, "hello, world\n");
}

int main(void)
{
	thaw_serve(hello);
}
