/* SPDX-License-Identifier: Apache-2.0 */
/* Answers with values that must differ in each invocation: random bytes, wall and monotonic time in
 * ns, the generation. */
#include <thaw/guest.h>

static int entropy(struct thaw_invocation *invocation)
{
	uint8_t bytes[32];

	thaw_random(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		thaw_printf(invocation, "%02x", bytes[i]);
	return thaw_printf(invocation, " %llu %llu %llu\n", (unsigned long long)thaw_wall_ns(),
			   (unsigned long long)thaw_monotonic_ns(),
			   (unsigned long long)thaw_generation(invocation));
}

int main(void)
{
	thaw_serve(entropy);
}
