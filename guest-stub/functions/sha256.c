/* SPDX-License-Identifier: Apache-2.0 */
/* Answers with the SHA-256 of the request: 64 hexadecimal digits and a newline. Reads the request
 * piece by piece, whatever its size. */
#include <thaw/guest.h>

#include "guest-stub/functions/sha256_digest.h"

static int sha256(struct thaw_invocation *invocation)
{
	struct sha256_state state;
	uint8_t digest[SHA256_SIZE];
	const void *piece;
	long length;

	sha256_begin(&state);
	while ((length = thaw_read_piece(invocation, &piece)) > 0)
		sha256_add(&state, piece, (size_t)length);
	if (length < 0)
		thaw_abort("the host failed to deliver the request");
	sha256_end(&state, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		thaw_printf(invocation, "%02x", digest[i]);
	return thaw_print(invocation, "\n");
}

int main(void)
{
	thaw_serve(sha256);
}
