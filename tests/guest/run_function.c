/* SPDX-License-Identifier: Apache-2.0 */
/* run-function PROGRAM [ARGS]: runs one invocation in the test's machine, from standard input to
 * standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/guest/machine.h"

int main(int argc, char **argv)
{
	static char request[1 << 20];
	struct machine machine = {.program = argc > 1 ? argv[1] : NULL};
	struct machine_request one = {.bytes = request};
	struct machine_outcome *outcomes;

	if (argc < 2)
		return 2;
	machine.args = (const char *const *)argv + 2;
	one.length = fread(request, 1, sizeof(request), stdin);
	outcomes = machine_run(&machine, &one, 1);
	fprintf(stderr, "%s%s", outcomes[1].log, outcomes[0].log);
	if (outcomes[0].end != MACHINE_FINISHED) {
		fprintf(stderr, "run-function: boot ended %d (%d), invocation %d (%d)\n",
			(int)outcomes[1].end, outcomes[1].status, (int)outcomes[0].end,
			outcomes[0].status);
		return 125;
	}
	fwrite(outcomes[0].response, 1, outcomes[0].response_length, stdout);
	return outcomes[0].status;
}
