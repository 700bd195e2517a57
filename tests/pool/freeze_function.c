/* SPDX-License-Identifier: Apache-2.0 */
/* Boots a program with the engine and writes its image to DIRECTORY/NAME.thaw: it freezes without
 * the client, so that the daemon's tests do not depend on that. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/engine.h"

int main(int argc, char **argv)
{
	const struct thaw_engine_config open_config = {.max_instances = 1};
	struct thaw_boot_config config = {.memory_size = 64u << 20,
					  .boot_timeout_ns = UINT64_C(30000000000)};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_engine *engine = NULL;
	char *args[] = {argv[3], NULL};
	char final[512], temporary[512];
	int fd, failed = 1;

	if (argc != 5) {
		fprintf(stderr, "usage: freeze-function DIRECTORY NAME PROGRAM TIMEOUT_MS\n");
		return 2;
	}
	snprintf(final, sizeof(final), "%s/%s.thaw", argv[1], argv[2]);
	snprintf(temporary, sizeof(temporary), "%s/.%s.new", argv[1], argv[2]);
	config.name = argv[2];
	config.program = argv[3];
	config.timeout_ns = strtoull(argv[4], NULL, 10) * 1000000u;
	config.args = args;
	config.program_fd = open(config.program, O_RDONLY | O_CLOEXEC);
	fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (thaw_engine_open(&open_config, &engine, &err) == 0 &&
	    thaw_engine_boot(engine, &config, &err) == 0 &&
	    thaw_engine_write(engine, fd, 1, NULL, NULL, NULL, &err) == 0)
		failed = rename(temporary, final);
	if (failed)
		fprintf(stderr, "freeze-function: %s\n", err.message);
	thaw_engine_close(engine);
	close(fd);
	close(config.program_fd);
	return failed ? 1 : 0;
}
