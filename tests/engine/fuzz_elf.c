/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: for any bytes, the program parser either refuses them with a reason or keeps every
 * promise of its header. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/test_elf_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t memory = UINT64_C(16) << 20;
	struct thaw_error err = THAW_ERROR_INIT;
	const char *broken = NULL;
	struct thaw_elf elf;

	if (test_elf_parse(data, size, memory, &elf, &err) == 0)
		broken = test_elf_broken_promise(&elf, size, memory);
	else if (err.kind != THAW_ERR_FAILURE || !err.message[0])
		broken = "a reason with each refusal";
	if (broken) {
		fprintf(stderr, "broken promise: %s\n", broken);
		abort();
	}
	return 0;
}
