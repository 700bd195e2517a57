/* SPDX-License-Identifier: Apache-2.0 */
/* A function that writes one byte in as many pages of its image as the request says. It shows the
 * cost of copying a page on a write and of undoing that. */
#include <thaw/guest.h>

#define PAGES 2048

/* No page of it is zero, so that the image has every page. */
static unsigned char memory[PAGES][4096];

static int write_pages(struct thaw_invocation *invocation)
{
	size_t length;
	const char *text = thaw_request_body(invocation, &length);
	unsigned long count = length ? strtoul(text, NULL, 10) : 0;

	for (unsigned long i = 0; i < count && i < PAGES; i++)
		memory[i][0]++;
	return 0;
}

int main(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		memset(memory[i], 1 + i % 255, sizeof(memory[i]));
	thaw_serve(write_pages);
}
