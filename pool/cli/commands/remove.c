/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw remove`: unlinks images. A daemon notices and stops serving them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/cli/image_arguments.h"
#include "pool/common/paths.h"
#include "snapshot-format/base/cleanup.h"

#define GONE_WAIT_MS 5000u
#define POLL_MS	     10u

static int remove_one(const struct thaw_cli *cli, const char *name, struct thaw_error *err)
{
	thaw_autofree char *path = NULL;

	if (thaw_parse_name(name, err) < 0 || thaw_cli_image_path(cli, name, &path, err) < 0)
		return -1;
	if (unlink(path) == 0)
		return 0;
	if (errno == ENOENT)
		return thaw_cli_no_function(cli, name, err);
	return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot remove %s", path);
}

/* After a crash of the host, an image that was reported as removed does not come back. */
static int flush_state(const struct thaw_cli *cli, struct thaw_error *err)
{
	thaw_autoclose int fd = open(cli->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot flush %s", cli->state);
	return 0;
}

/* Waits until the daemon has stopped serving NAME, so that an invocation after this command fails
 * as expected. */
static void wait_gone(const struct thaw_cli *cli, const char *name)
{
	for (unsigned waited = 0; waited < GONE_WAIT_MS; waited += POLL_MS) {
		struct thaw_connection *connection = NULL;

		if (!thaw_paths_daemon_alive(cli->run, NULL) ||
		    thaw_connect(cli->run, name, &connection, NULL) < 0)
			return;
		thaw_disconnect(connection);
		nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
	}
	thaw_cli_say("%s is removed, but the daemon still serves it: was it started with the same "
		     "--state?",
		     name);
}

int thaw_command_remove(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {
		.least = 1,
		.most = 10000,
		.args_doc = "NAME...",
		.doc = "Remove functions and their images. Running invocations finish."};
	struct thaw_error err = THAW_ERROR_INIT;
	size_t removed = 0;
	int code = 0;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0)
		return thaw_cli_report(&err);
	for (size_t i = 0; i < operands.count; i++)
		if (remove_one(cli, operands.operands[i], &err) < 0) {
			code = thaw_cli_report(&err);
			operands.operands[i] = NULL;
		} else {
			removed++;
		}
	if (removed > 0 && flush_state(cli, &err) < 0)
		code = thaw_cli_report(&err);
	for (size_t i = 0; i < operands.count; i++)
		if (operands.operands[i])
			wait_gone(cli, operands.operands[i]);
	return code;
}
