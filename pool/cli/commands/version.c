/* SPDX-License-Identifier: Apache-2.0 */
/* `thaw version`: prints the versions of the program and of its formats. */
#include <stdio.h>

#include "guest-stub/include/thaw/abi.h"
#include "pool/cli/args.h"
#include "pool/cli/commands/commands.h"
#include "pool/wire/protocol.h"
#include "snapshot-format/image.h"

int thaw_command_version(struct thaw_cli *cli, int argc, char **argv)
{
	struct thaw_operands operands = {
		.flags = THAW_FLAG_JSON, .args_doc = "", .doc = "Print the version."};
	struct thaw_error err = THAW_ERROR_INIT;

	if (thaw_cli_operands(cli, &operands, argc, argv, &err) < 0)
		return thaw_cli_report(&err);
	if (thaw_cli_json(&operands))
		return thaw_cli_print_json(
			json_pack("{s:s, s:i, s:i, s:i}", "version", THAW_VERSION, "image_format",
				  (int)THAW_IMAGE_VERSION, "guest_abi", THAW_ABI_VERSION,
				  "protocol", (int)THAW_PROTOCOL_VERSION));
	printf("thaw %s (image format %u, guest ABI %d, protocol %u)\n", THAW_VERSION,
	       THAW_IMAGE_VERSION, THAW_ABI_VERSION, THAW_PROTOCOL_VERSION);
	return thaw_cli_finish(0);
}
