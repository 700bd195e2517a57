/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any message is refused with a text or described within its bounds. */
#include <stdint.h>
#include <stdlib.h>

#include "pool/wire/frame_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct thaw_frame_view view;
	uint8_t sum = 0;

	if (thaw_frame_check(data, size, size, &view))
		return 0;
	if (view.body < data || view.length > size || view.body + view.length != data + size)
		abort();
	if (view.type == THAW_FRAME_request && (view.length > view.request.length ||
						(!view.more && view.length != view.request.length)))
		abort();
	for (size_t i = 0; i < view.length; i++)
		sum ^= view.body[i];
	/* For the sanitizers: the compiler may not leave these reads out. */
	__asm__ volatile("" : : "r"(sum));
	return 0;
}
