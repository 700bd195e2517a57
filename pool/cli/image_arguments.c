/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments that name an image; see image_arguments.h. */
#include "pool/cli/image_arguments.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/common/paths.h"
#include "snapshot-format/base/cleanup.h"

static bool is_file_name(const char *argument)
{
	size_t length = strlen(argument), suffix = strlen(THAW_IMAGE_SUFFIX);

	return strchr(argument, '/') ||
	       (length > suffix && strcmp(argument + length - suffix, THAW_IMAGE_SUFFIX) == 0);
}

int thaw_cli_image_argument(const struct thaw_cli *cli, const char *argument, char **path,
			    struct thaw_error *err)
{
	thaw_autofree char *made = NULL;

	if (is_file_name(argument)) {
		made = strdup(argument);
		if (!made)
			return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
	} else if (thaw_parse_name(argument, err) < 0 ||
		   thaw_cli_image_path(cli, argument, &made, err) < 0) {
		return -1;
	} else if (access(made, F_OK) < 0) {
		return thaw_cli_no_function(cli, argument, err);
	}
	*path = thaw_take(made);
	return 0;
}
