/* SPDX-License-Identifier: Apache-2.0 */
/* A function whose image has as many MiB as its argument says, no two pages alike, and that
 * writes as many of these pages as the request says: for measuring how cost grows with either. */
#include <thaw/guest.h>

#define BALLAST	  ((unsigned char *)0x100000000)
#define PAGE	  4096ul
#define MIB_PAGES 256ul

static unsigned long pages;

static int write_pages(struct thaw_invocation *invocation)
{
	size_t length;
	const char *text = thaw_request_body(invocation, &length);
	unsigned long count = length ? strtoul(text, NULL, 10) : 0;

	for (unsigned long i = 0; i < count && i < pages; i++)
		BALLAST[i * PAGE]++;
	return 0;
}

int main(int argc, char **argv)
{
	pages = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) * MIB_PAGES;
	if (thaw_map(BALLAST, pages * PAGE, THAW_MAP_READ | THAW_MAP_WRITE))
		thaw_abort("no memory for the ballast");
	for (unsigned long i = 0; i < pages; i++) {
		memset(BALLAST + i * PAGE, 0x5a, PAGE);
		*(unsigned long *)(void *)(BALLAST + i * PAGE + 8) = i;
	}
	thaw_serve(write_pages);
}
