/* SPDX-License-Identifier: Apache-2.0 */
/* The shim calls that change the guest's memory. Arguments came in registers, and are hostile. */
#include "guest-stub/shim/kvm/shim.h"

/* The host puts mappings back where they were when it recycles the clone. */
static void log_changed(uint64_t start, uint64_t end)
{
	struct kvm_control *control = KVM_CONTROL;

	if (control->changed_count < KVM_CHANGED_MAX)
		control->changed[control->changed_count++] = (struct kvm_interval){start, end};
	else
		control->overflow = 1;
}

static long map(uint64_t start, uint64_t end, uint32_t prot)
{
	struct shim_ranges *ranges = KVM_RANGES;

	if (!shim_ranges_free(ranges, start, end))
		return THAW_EINVAL;
	if ((end - start) / THAW_PAGE_SIZE > KVM_CONTROL->memory_pages - ranges->mapped_pages)
		return THAW_ENOMEM;
	shim_ranges_add(ranges, start, end, prot, SHIM_SOURCE_ZERO);
	log_changed(start, end);
	return 0;
}

static long unmap(uint64_t start, uint64_t end)
{
	if (!shim_ranges_mapped(KVM_RANGES, start, end))
		return THAW_EINVAL;
	shim_ranges_cut(KVM_RANGES, start, end);
	kvm_pages_drop(start, end);
	log_changed(start, end);
	return 0;
}

static long protect(uint64_t start, uint64_t end, uint32_t prot)
{
	if (!shim_ranges_mapped(KVM_RANGES, start, end))
		return THAW_EINVAL;
	shim_ranges_protect(KVM_RANGES, start, end, prot);
	kvm_pages_protect(start, end, prot);
	log_changed(start, end);
	return 0;
}

long kvm_memory_call(long number, const struct thaw_shim_memory *call)
{
	uint64_t end = call->start + call->length;
	long error = shim_memory_check(number, call);

	if (error)
		return error;
	if (!shim_ranges_room(KVM_RANGES))
		return THAW_ENOMEM;
	if (number == THAW_SHIM_CALL_unmap)
		return unmap(call->start, end);
	return number == THAW_SHIM_CALL_map ? map(call->start, end, call->prot)
					    : protect(call->start, end, call->prot);
}
