/* SPDX-License-Identifier: Apache-2.0 */
/* The shim calls that change the guest's memory: the kernel's mappings, and the table that
 * describes them. */
#include <stdbool.h>
#include <sys/mman.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"
#include "guest-stub/shim/ranges.h"

bool shim_is_booting;
struct shim_ranges shim_ranges;

void shim_memory_init(const struct shim_control *control)
{
	for (uint32_t i = 0; i < control->range_count; i++)
		shim_ranges_add(&shim_ranges, control->ranges[i].start,
				control->ranges[i].start + control->ranges[i].length,
				control->ranges[i].prot, SHIM_SOURCE_IMAGE);
}

void shim_memory_record(struct thaw_ready *ready)
{
	shim_ranges_record(&shim_ranges, ready);
}

static long map(uint64_t start, uint64_t end, uint32_t prot)
{
	long flags =
		shim_is_booting ? MAP_SHARED | MAP_FIXED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	long fd = shim_is_booting ? SHIM_FD_MEMORY : -1;
	long at;

	if (!shim_ranges_free(&shim_ranges, start, end))
		return THAW_EINVAL;
	at = sys_mmap(start, end - start, prot, flags, fd, fd < 0 ? 0 : start);
	if (at < 0)
		return at;
	shim_ranges_add(&shim_ranges, start, end, prot, SHIM_SOURCE_ZERO);
	return 0;
}

static long unmap(uint64_t start, uint64_t end)
{
	long error;

	if (!shim_ranges_mapped(&shim_ranges, start, end))
		return THAW_EINVAL;
	/* While booting, the pages are the memory file's: they would stay in it, count against the
	 * limit, and come back with the next map. */
	if (shim_is_booting) {
		error = sys3(SYS_madvise, (long)start, (long)(end - start), MADV_REMOVE);
		if (error)
			return error;
	}
	error = sys_munmap(start, end - start);
	if (!error)
		shim_ranges_cut(&shim_ranges, start, end);
	return error;
}

static long protect(uint64_t start, uint64_t end, uint32_t prot)
{
	long error;

	if (!shim_ranges_mapped(&shim_ranges, start, end))
		return THAW_EINVAL;
	/* Memory must be there before it is opened. */
	shim_early_bring(start, end);
	error = sys3(SYS_mprotect, (long)start, (long)(end - start), prot);
	if (!error)
		shim_ranges_protect(&shim_ranges, start, end, prot);
	return error;
}

long shim_memory_call(long number, const struct thaw_shim_memory *argument)
{
	const volatile struct thaw_shim_memory *from = argument;
	struct thaw_shim_memory call;
	uint64_t end;
	long error;

	/* In the order of KVM's gate, so that a bad pointer faults at the same byte. */
	call.start = from->start;
	call.length = from->length;
	call.prot = from->prot;
	call.reserved = from->reserved;
	end = call.start + call.length;
	error = shim_memory_check(number, &call);
	if (error)
		return error;
	if (!shim_ranges_room(&shim_ranges))
		return THAW_ENOMEM;
	if (number == THAW_SHIM_CALL_unmap)
		return unmap(call.start, end);
	return number == THAW_SHIM_CALL_map ? map(call.start, end, call.prot)
					    : protect(call.start, end, call.prot);
}
