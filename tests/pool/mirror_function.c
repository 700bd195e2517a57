/* SPDX-License-Identifier: Apache-2.0 */
/* A function that echoes its request: bodies of every size in both directions. */
#include <thaw/guest.h>

static int mirror(struct thaw_invocation *invocation)
{
	const void *piece;
	long length;

	while ((length = thaw_read_piece(invocation, &piece)) > 0)
		if (thaw_write(invocation, piece, (size_t)length) < 0)
			return 1;
	return length < 0;
}

int main(void)
{
	thaw_serve(mirror);
}
