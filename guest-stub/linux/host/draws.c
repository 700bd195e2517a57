/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what the program draws before its ready point. `freeze` shows the line that tells it. */
#include "guest-stub/linux/host/draws.h"
#include "guest-stub/linux/host/host.h"

/* Reads of /dev/urandom so small seed hash tables: Perl's are of 4 bytes. */
#define SMALL 8u

/*
 * What C libraries and runtimes draw for themselves when they start, each once: no keys. Node.js (48
 * bytes for OpenSSL) and PHP (twice 16) are not here, since a program may draw the same for a key.
 */
static const struct start {
	size_t length;
	bool nonblock_only;
} starts[] = {
	{8, true},    /* glibc's malloc */
	{24, false},  /* the hash tables of Python and Ruby */
	{2496, true}, /* Python's module random, which is seeded anew after the thaw */
};

#define STARTS (sizeof(starts) / sizeof(starts[0]))

static uint64_t drawn;
static bool seen[STARTS];

static bool is_start(size_t length, bool nonblock)
{
	for (size_t i = 0; i < STARTS; i++)
		if (!seen[i] && length == starts[i].length &&
		    (nonblock || !starts[i].nonblock_only))
			return seen[i] = true;
	return false;
}

void draw_random(void *buffer, size_t length, bool nonblock)
{
	host_random(buffer, length);
	if (!host_is_ready() && !is_start(length, nonblock) && (nonblock || length >= SMALL))
		drawn += length;
}

void draws_tell(void)
{
	if (drawn)
		host_log("thaw: note: %s drew %lu random byte%s before its ready point. What it "
			 "made of that is the same in every invocation, unless it draws anew when "
			 "its process id has changed, as OpenSSL's generator does. For keys, salts "
			 "or nonces, freeze with --at-start",
			 config.program, (unsigned long)drawn, drawn == 1 ? "" : "s");
}
