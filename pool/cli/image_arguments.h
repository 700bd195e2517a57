/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that name an image. */
#ifndef THAW_CLI_IMAGE_H
#define THAW_CLI_IMAGE_H

#include "pool/cli/cli.h"
#include "pool/cli/daemon.h"

/*
 * NAME|FILE: what has a slash or ends in .thaw is a file, anything else a function's name. *PATH is
 * to be freed. A name without an image is THAW_ERR_NOT_FOUND, with the nearest that has one.
 */
int thaw_cli_image_argument(const struct thaw_cli *cli, const char *argument, char **path,
			    struct thaw_error *err);

#endif
