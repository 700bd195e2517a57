/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording the working set of a booted image. One clone runs a request; then its page tables tell
 * which pages the request touched, by their entries, and which of them it wrote, by private pages.
 * The backend serves the image for the time of this run alone.
 */
#include "engine/kvm/working_set.h"

#include <errno.h>

#include "engine/host/request_source.h"
#include "engine/image/working_set.h"
#include "engine/kvm/machine/bank.h"
#include "engine/kvm/run.h"
#include "engine/kvm/serve.h"
#include "engine/kvm/shells.h"

#define PAGE THAW_PAGE_SIZE

static int take_range(const struct kvm_image *image, const struct kvm_machine *machine,
		      const struct thaw_range *range, struct thaw_recording *recording)
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
			    thaw_recording_add(recording, at | !!(*entry & KVM_PTE_PRIVATE)))
				return -1;
	}
	return 0;
}

static int run_one(struct kvm_backend *backend, const struct thaw_source *source,
		   const struct thaw_run *run, struct thaw_recording *recording,
		   struct thaw_outcome *outcome, struct thaw_error *err)
{
	struct thaw_request_header header;
	struct thaw_instance *instance;
	int result = 0;

	if (kvm_create(backend, &instance, err))
		return -1;
	thaw_request_source_fill(source->requests, run->request_length, run->deadline_ns, &header);
	kvm_run(instance, run, &header, outcome);
	if (outcome->kind != THAW_OUTCOME_lost)
		for (size_t i = 0; i < source->memory->range_count && !result; i++)
			result = take_range(&backend->image,
					    &((struct kvm_instance *)instance)->machine,
					    &source->memory->ranges[i], recording);
	kvm_destroy(instance);
	return result ? thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM,
					"no memory for the working set")
		      : 0;
}

int kvm_record(struct kvm_backend *backend, const struct thaw_source *source,
	       const struct thaw_run *run, struct thaw_recording *recording,
	       struct thaw_outcome *outcome, struct thaw_error *err)
{
	int result = kvm_serve_start(backend, source, err);

	if (!result)
		result = run_one(backend, source, run, recording, outcome, err);
	kvm_serve_stop(backend);
	return result;
}
