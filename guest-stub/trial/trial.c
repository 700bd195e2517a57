/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest with which `thaw doctor` tries a host. Its answer shows all that a backend must do:
 * bytes went in and came back changed, the memory of the boot is there, a fresh page could be
 * mapped, time and entropy came.
 */
#include <thaw/guest.h>

static uint8_t table[256]; /* filled at boot: an answer proves that the clone has that memory */
static unsigned served;

static int answer(struct thaw_invocation *invocation)
{
	size_t length;
	const uint8_t *request = thaw_request_body(invocation, &length);
	uint8_t *reply = malloc(length + 1);

	if (!reply || served++ || !thaw_wall_ns() || !thaw_generation(invocation))
		return 1;
	for (size_t i = 0; i < length; i++)
		reply[i] = table[request[i]];
	return thaw_write(invocation, reply, length) ? 1 : 0;
}

int main(void)
{
	for (unsigned i = 0; i < sizeof(table); i++)
		table[i] = (uint8_t)(255 - i);
	thaw_serve(answer);
}
