/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of guest_state.h. They come before any use, because loading a bad XSAVE area or a
 * non-canonical base would fault in the shim and not in the guest.
 */
#include "engine/host/guest_state.h"

#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "guest-stub/shim/dispatch.h"
#include "snapshot-format/base/cleanup.h"

#define XSAVE_LEGACY	 512u /* Intel SDM vol. 1, 13.4: legacy region, then the header */
#define XSAVE_HEADER	 64u
#define XSAVE_MXCSR	 24u
#define USER_ADDRESS_END (UINT64_C(1) << 47)

_Static_assert((int)THAW_REGISTER_COUNT == (int)THAW_REGISTERS,
	       "the ABI's registers are the image's");

#define COMPONENTS 63u

/* Where each component ends in the standard layout; 0: this processor lacks it. Asked once, as in
 * cpu.c. */
static uint32_t component_ends[COMPONENTS];

static void read_component_ends(void)
{
	unsigned length, offset, ecx, edx;
	uint64_t present;

	if (!__get_cpuid_count(0xd, 0, &length, &offset, &ecx, &edx))
		return;
	present = length | (uint64_t)edx << 32;
	for (unsigned component = 2; component < COMPONENTS; component++) {
		if (!(present >> component & 1))
			continue;
		__cpuid_count(0xd, component, length, offset, ecx, edx);
		component_ends[component] = length ? offset + length : 0;
	}
}

uint32_t thaw_xsave_size(uint64_t mask)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint32_t size = XSAVE_LEGACY + XSAVE_HEADER;

	pthread_once(&once, read_component_ends);
	for (unsigned component = 2; component < COMPONENTS; component++) {
		if (!(mask >> component & 1))
			continue;
		if (!component_ends[component])
			return 0;
		if (component_ends[component] > size)
			size = component_ends[component];
	}
	return size;
}

static int check_xsave(const struct thaw_vcpu *vcpu, struct thaw_error *err)
{
	struct thaw_cpu_features host;
	uint64_t present, compact;
	uint32_t mxcsr;

	thaw_cpu_host(&host);
	if (!(vcpu->xsave_mask & 1) || vcpu->xsave_mask & ~(uint64_t)host.word[THAW_CPU_XCR0])
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the vector state has components %#llx, this processor %#x",
				 (unsigned long long)vcpu->xsave_mask, host.word[THAW_CPU_XCR0]);
	if (vcpu->xsave_length != thaw_xsave_size(vcpu->xsave_mask))
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the vector state has %u bytes, and its components need %u",
				 vcpu->xsave_length, thaw_xsave_size(vcpu->xsave_mask));
	memcpy(&mxcsr, vcpu->xsave + XSAVE_MXCSR, sizeof(mxcsr));
	memcpy(&present, vcpu->xsave + XSAVE_LEGACY, sizeof(present));
	memcpy(&compact, vcpu->xsave + XSAVE_LEGACY + 8, sizeof(compact));
	/* XRSTOR would fault on these: SDM vol. 1, 13.8.1. */
	if (present & ~vcpu->xsave_mask || compact || mxcsr >> 16)
		return thaw_fail(err, THAW_ERR_IMAGE, "the vector state's header is not valid");
	for (unsigned i = 16; i < XSAVE_HEADER; i++)
		if (vcpu->xsave[XSAVE_LEGACY + i])
			return thaw_fail(err, THAW_ERR_IMAGE,
					 "the vector state's header is not valid");
	return 0;
}

int thaw_vcpu_check(const struct thaw_vcpu *vcpu, struct thaw_error *err)
{
	static const struct {
		enum thaw_register index;
		const char *name;
		uint64_t end;
	} addresses[] = {{THAW_RIP, "instruction pointer", THAW_REGION_END},
			 {THAW_RSP, "stack pointer", THAW_REGION_END},
			 {THAW_FS_BASE, "FS base", USER_ADDRESS_END},
			 {THAW_GS_BASE, "GS base", USER_ADDRESS_END}};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		if (vcpu->registers[addresses[i].index] >= addresses[i].end)
			return thaw_fail(err, THAW_ERR_IMAGE,
					 "the guest's %s is %#llx, outside its memory",
					 addresses[i].name,
					 (unsigned long long)vcpu->registers[addresses[i].index]);
	return check_xsave(vcpu, err);
}

int thaw_dispatch_check(const struct thaw_dispatch *dispatch, struct thaw_error *err)
{
	const struct thaw_shim_dispatch call = {dispatch->start, dispatch->end,
						dispatch->syscall_entry, dispatch->fault_entry};

	return shim_dispatch_check(&call)
		       ? 0
		       : thaw_fail(err, THAW_ERR_IMAGE,
				   "the guest's entries for system calls and faults are not in its "
				   "code");
}

int thaw_ranges_check(const struct thaw_range *ranges, size_t count, uint64_t memory_limit,
		      struct thaw_error *err)
{
	uint64_t floor = THAW_REGION_BASE, total = 0, end;

	if (count > THAW_RANGES_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the guest has %zu memory ranges, more than %lu", count,
				 THAW_RANGES_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct thaw_range *range = &ranges[i];
		uint32_t prot = range->prot;

		if (!range->length || (range->start | range->length) % THAW_PAGE_SIZE ||
		    __builtin_add_overflow(range->start, range->length, &end) ||
		    range->start < floor || end > THAW_REGION_END)
			return thaw_fail(err, THAW_ERR_IMAGE,
					 "memory range %zu (%#llx, %#llx bytes) is not valid", i,
					 (unsigned long long)range->start,
					 (unsigned long long)range->length);
		if (prot & ~7u || !(prot & THAW_PROT_READ) ||
		    (prot & THAW_PROT_WRITE && prot & THAW_PROT_EXEC))
			return thaw_fail(err, THAW_ERR_IMAGE, "memory range %zu has protection %#x",
					 i, prot);
		floor = end;
		total += range->length; /* cannot overflow: disjoint and within the region */
	}
	if (total > memory_limit)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "%llu bytes of memory are mapped, and the limit is %llu",
				 (unsigned long long)total, (unsigned long long)memory_limit);
	return 0;
}

static void take_ranges(const struct thaw_ready *record, struct thaw_ready_state *ready)
{
	for (size_t i = 0; i < record->range_count; i++) {
		ready->ranges[i].start = record->ranges[i].start;
		ready->ranges[i].length = record->ranges[i].length;
		ready->ranges[i].prot = record->ranges[i].prot;
	}
	ready->range_count = record->range_count;
}

int thaw_ready_take(const struct thaw_ready *record, size_t record_size, uint64_t memory_limit,
		    const struct thaw_vcpu *asked, struct thaw_ready_state *ready,
		    struct thaw_error *err)
{
	thaw_autofree uint8_t *xsave = NULL;

	if (record->abi_version != THAW_ABI_VERSION || record->range_count > THAW_RANGES_MAX ||
	    record->xsave_mask != asked->xsave_mask ||
	    record->xsave_length != asked->xsave_length ||
	    record->xsave_length > record_size - sizeof(*record))
		return thaw_fail(err, THAW_ERR_FAILURE,
				 "the guest spoiled the record of its ready point");
	take_ranges(record, ready);
	xsave = malloc(record->xsave_length);
	if (!xsave)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, ENOMEM, "no memory for vector state");
	memcpy(xsave, record->xsave, record->xsave_length);
	memcpy(ready->vcpu.registers, record->registers, sizeof(ready->vcpu.registers));
	ready->vcpu.xsave_mask = record->xsave_mask;
	ready->vcpu.xsave_length = record->xsave_length;
	ready->vcpu.xsave = xsave;
	ready->dispatch = (struct thaw_dispatch){record->dispatch.start, record->dispatch.end,
						 record->dispatch.syscall_entry,
						 record->dispatch.fault_entry};
	if (thaw_ranges_check(ready->ranges, ready->range_count, memory_limit, err) ||
	    thaw_vcpu_check(&ready->vcpu, err) || thaw_dispatch_check(&ready->dispatch, err)) {
		ready->vcpu.xsave = NULL;
		if (err)
			err->kind = THAW_ERR_FAILURE; /* there is no image yet */
		return thaw_error_wrap(err, "the guest's ready point cannot be frozen");
	}
	xsave = NULL; /* READY owns it now */
	return 0;
}
