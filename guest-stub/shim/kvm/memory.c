/* SPDX-License-Identifier: Apache-2.0 */
/* The shim calls that change the guest's memory. Their arguments came in registers and are
 * hostile. */
#include "guest-stub/shim/kvm/shim.h"

static void remove_changed(struct kvm_control *control, uint32_t at)
{
	control->changed_count--;
	for (; at < control->changed_count; at++)
		control->changed[at] = control->changed[at + 1];
	control->changed[at] = (struct kvm_interval){0, 0}; /* nothing is left beyond the count */
}

static void insert_changed(struct kvm_control *control, uint32_t at, uint64_t start, uint64_t end)
{
	for (uint32_t i = control->changed_count++; i > at; i--)
		control->changed[i] = control->changed[i - 1];
	control->changed[at] = (struct kvm_interval){start, end};
}

/* Logs where mappings changed: the host undoes these intervals when it recycles the clone. Without
 * room for another interval, a neighbour grows over the gap. Undoing too much costs only time. */
static void log_changed(uint64_t start, uint64_t end)
{
	struct kvm_control *control = KVM_CONTROL;
	struct kvm_interval *changed = control->changed;
	uint32_t at = 0;

	while (at < control->changed_count && changed[at].end < start)
		at++;
	if (at == control->changed_count || changed[at].start > end) {
		if (control->changed_count < KVM_CHANGED_MAX) {
			insert_changed(control, at, start, end);
			return;
		}
		if (at && (at == control->changed_count ||
			   start - changed[at - 1].end < changed[at].start - end))
			at--;
	}
	if (changed[at].start > start)
		changed[at].start = start;
	if (changed[at].end < end)
		changed[at].end = end;
	while (at + 1 < control->changed_count && changed[at + 1].start <= changed[at].end) {
		if (changed[at].end < changed[at + 1].end)
			changed[at].end = changed[at + 1].end;
		remove_changed(control, at + 1);
	}
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
