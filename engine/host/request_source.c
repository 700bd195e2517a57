/* SPDX-License-Identifier: Apache-2.0 */
/* Generation, entropy and time for requests; see request_source.h. */
#include "engine/host/request_source.h"

#include <errno.h>
#include <sys/random.h>

int thaw_request_source_init(struct thaw_request_source *source, struct thaw_error *err)
{
	uint64_t first;

	thaw_tsc_init(&source->tsc);
	if (thaw_entropy_init(&source->entropy, err))
		return -1;
	/* Engines count from different places, so that generations differ between them too. */
	if (getrandom(&first, sizeof(first), 0) != sizeof(first))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "no entropy for the first generation");
	atomic_init(&source->generation, first);
	return 0;
}

void thaw_request_source_finish(struct thaw_request_source *source)
{
	thaw_entropy_finish(&source->entropy);
}

/* Never 0, which means that there is none. */
static uint64_t next_generation(struct thaw_request_source *source)
{
	uint64_t next;

	do
		next = atomic_fetch_add_explicit(&source->generation, 1, memory_order_relaxed) + 1;
	while (!next);
	return next;
}

void thaw_request_source_fill(struct thaw_request_source *source, uint64_t length,
			      uint64_t deadline_ns, struct thaw_request_header *header)
{
	*header = (struct thaw_request_header){.generation = next_generation(source),
					       .length = length,
					       .deadline_ns = deadline_ns};
	thaw_entropy_take(&source->entropy, header->seed, sizeof(header->seed));
	thaw_tsc_sample(&source->tsc, &header->clock);
}
