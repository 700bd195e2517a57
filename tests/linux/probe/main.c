/* SPDX-License-Identifier: Apache-2.0 */
/* Runs all parts. Some run before the request is read, so before the ready point, and again
 * after. */
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

static __thread int of_this_thread = 7;
static int constructed;

__attribute__((constructor)) static void construct(void)
{
	constructed = 1;
}

static void say_goodbye(void)
{
	printf("atexit\n");
}

int main(int argc, char **argv)
{
	char line[64];

	atexit(say_goodbye);
	for (int i = 1; i < argc; i++)
		printf("argument %d %s\n", i, argv[i]);
	printf("environment %s\n", getenv("PROBE") ? getenv("PROBE") : "none");
	printf("tls %d constructed %d page %ld secure %lu\n", of_this_thread, constructed,
	       sysconf(_SC_PAGESIZE), getauxval(AT_SECURE));
	probe_memory();
	probe_shared();
	probe_code();
	probe_vectors();
	probe_mutexes_early();
	while (fgets(line, sizeof(line), stdin))
		printf("line %s", line);
	of_this_thread++;
	probe_memory();
	probe_shared();
	probe_code();
	probe_threads();
	probe_mutexes();
	probe_checks();
	probe_signals();
	probe_waiting();
	probe_clocks();
	probe_identities(); /* last: the program is another user then */
	printf("tls %d\n", of_this_thread);
	return 42;
}
