/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that name an image. */
#ifndef THAW_CLI_IMAGE_ARGUMENTS_H
#define THAW_CLI_IMAGE_ARGUMENTS_H

#include "pool/cli/cli.h"
#include "pool/cli/daemon.h"

/* Turns NAME|FILE into a path, which the caller frees. An argument that has a slash or ends in
 * .thaw is a file, any other is a function's name. A name without an image fails with
 * THAW_ERR_NOT_FOUND, and ERR names the nearest function. */
int thaw_cli_image_argument(const struct thaw_cli *cli, const char *argument, char **path,
			    struct thaw_error *err);

#endif
