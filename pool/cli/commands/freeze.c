/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `thaw freeze`: boots a program in a jail and installs its image. The program gets only files that
 * this user may read. The image appears under its name whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/cli/commands/commands.h"
#include "pool/cli/daemon.h"
#include "pool/common/paths.h"
#include "pool/freeze/boot.h"
#include "pool/freeze/options.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/save.h"

static void summarize(const struct thaw_freeze_options *freeze,
		      const struct thaw_freeze_result *result, const char *path)
{
	char boot_text[THAW_TEXT_MAX], memory[THAW_TEXT_MAX], file[THAW_TEXT_MAX];

	thaw_cli_say("%s: ready in %s, %s of memory frozen to %s (%s, %s backend) in %s",
		     freeze->name, thaw_text_duration(result->boot_ns, boot_text),
		     thaw_text_size(result->sizes.nonzero_bytes, memory),
		     thaw_text_size(result->sizes.file_bytes, file), result->cpu_level,
		     result->backend, path);
}

/* Opens the directory that PATH is in. *FILE_NAME points to the last component of PATH. */
static int open_directory(const char *path, const char **file_name, struct thaw_error *err)
{
	const char *slash = strrchr(path, '/');
	thaw_autofree char *directory =
		slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd;

	if (!directory)
		return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return thaw_fail_errno(err, THAW_ERR_FAILURE, errno, "cannot open directory %s",
				       directory);
	*file_name = slash ? slash + 1 : path;
	return fd;
}

static int freeze_to(const struct thaw_freeze_options *freeze, const char *path,
		     struct thaw_freeze_result *result, struct thaw_error *err)
{
	__attribute__((cleanup(thaw_save_cancel))) struct thaw_save save = THAW_SAVE_INIT;
	const char *file_name = NULL;
	thaw_autoclose int directory_fd = open_directory(path, &file_name, err);

	if (directory_fd < 0)
		return -1;
	if (thaw_save_begin(directory_fd, &save, err) < 0)
		return thaw_error_wrap(err, "%s", path);
	if (thaw_freeze_boot(freeze, save.fd, result, err) < 0)
		return -1;
	return thaw_save_commit(&save, file_name, err);
}

static int freeze_and_install(const struct thaw_cli *cli, const struct thaw_freeze_options *freeze,
			      struct thaw_error *err)
{
	struct thaw_freeze_result result;
	thaw_autofree char *path = NULL;
	struct thaw_error unserved = THAW_ERROR_INIT;

	if (thaw_paths_make(cli->state, 0700, err) < 0 ||
	    thaw_cli_image_path(cli, freeze->name, &path, err) < 0 ||
	    freeze_to(freeze, path, &result, err) < 0)
		return -1;
	summarize(freeze, &result, path);
	if (thaw_cli_wait_served(cli, freeze->name, result.uuid, &unserved) >= 0)
		return 0;
	if (unserved.kind == THAW_ERR_IMAGE) {
		*err = unserved;
		return -1;
	}
	/* The image is installed, so the command succeeds; the daemon's failure is a warning. */
	thaw_cli_say("%s", unserved.message);
	return 0;
}

int thaw_command_freeze(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_freeze_options freeze;
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_freeze_result result;
	int done;

	if (thaw_freeze_parse(cli, &freeze, argc, argv, &err) < 0)
		return thaw_cli_report(&err);
	if (freeze.image) {
		done = freeze_to(&freeze, freeze.image, &result, &err);
		if (done == 0)
			summarize(&freeze, &result, freeze.image);
	} else {
		done = freeze_and_install(cli, &freeze, &err);
	}
	return done < 0 ? thaw_cli_report(&err) : 0;
}
