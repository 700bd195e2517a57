/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning what an invocation of a booted image touches: one clone runs it, and its page tables
 * tell. An entry that is there was touched, a private page was written. All that it takes is
 * started for it and taken down again.
 */
#include <errno.h>

#include "engine/host/request_source.h"
#include "engine/image/working_set.h"
#include "engine/kvm/kvm.h"

#define PAGE THAW_PAGE_SIZE

static int take_range(const struct kvm_image *image, const struct kvm_machine *machine,
		      const struct thaw_range *range, struct thaw_recording *touches)
{
	uint64_t end = range->start + range->length, next;

	for (uint64_t at = range->start; at < end;) {
		const uint64_t *entry = kvm_bank_entry(image, machine->bank, at, &next);

		if (!entry) {
			at = next;
			continue;
		}
		for (; at < end && at < next; at += PAGE, entry++)
			if (*entry & KVM_PTE_PRESENT &&
			    thaw_recording_add(touches, at | !!(*entry & KVM_PTE_PRIVATE)))
				return -1;
	}
	return 0;
}

static int run_one(struct thaw_backend_state *state, const struct thaw_source *source,
		   const struct thaw_run *run, struct thaw_recording *touches,
		   struct thaw_outcome *outcome, struct thaw_error *err)
{
	struct thaw_request_header header;
	struct thaw_instance *instance;
	int result = 0;

	if (kvm_create(state, &instance, err))
		return -1;
	thaw_request_source_fill(source->requests, run->request_length, run->deadline_ns, &header);
	kvm_run(instance, run, &header, outcome);
	if (outcome->kind != THAW_OUTCOME_lost)
		for (size_t i = 0; i < source->memory->range_count && !result; i++)
			result = take_range(&state->image,
					    &((struct kvm_instance *)instance)->machine,
					    &source->memory->ranges[i], touches);
	kvm_destroy(instance);
	return result ? thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for notes") : 0;
}

int kvm_learn(struct thaw_backend_state *state, const struct thaw_source *source,
	      const struct thaw_run *run, struct thaw_recording *touches,
	      struct thaw_outcome *outcome, struct thaw_error *err)
{
	int result = kvm_start(state, source, err);

	if (!result)
		result = run_one(state, source, run, touches, outcome, err);
	kvm_maker_stop(state);
	kvm_watch_stop(state);
	kvm_image_finish(&state->image);
	kvm_snapshot_free(state->snapshot);
	state->snapshot = NULL;
	state->closing = false;
	return result;
}
