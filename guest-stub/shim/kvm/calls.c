/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through the gate, except for the `next` that ends an invocation, which entry.S handles
 * alone. */
#include "guest-stub/shim/dispatch.h"
#include "guest-stub/shim/kvm/shim.h"

/* Leaves the record of the ready point during a boot, the same record as the process shim's. */
static void record_ready(uint64_t return_address)
{
	const struct kvm_description *image = KVM_DESCRIPTION;
	const struct kvm_control *control = KVM_CONTROL;
	struct thaw_ready *ready = (struct thaw_ready *)KVM_MAILBOX->request_window;
	/* The places of rbx, rbp, r12, r13, r14, r15 in the order that abi.h gives. */
	static const uint8_t saved[] = {1, 6, 12, 13, 14, 15};

	/* XSAVE does not write components that are in their initial state. */
	memset(ready, 0, sizeof(*ready) + image->xsave_length);
	ready->abi_version = THAW_ABI_VERSION;
	shim_ranges_record(KVM_RANGES, ready);
	ready->xsave_mask = image->xsave_mask;
	ready->xsave_length = image->xsave_length;
	for (unsigned i = 0; i < sizeof(saved); i++)
		ready->registers[saved[i]] = control->saved[i];
	/* The state after the gate has returned. */
	ready->registers[16] = return_address;
	ready->registers[7] = control->user_rsp + 8;
	ready->registers[17] = 0x202;
	ready->dispatch = control->dispatch;
	ready->registers[18] = control->bases[0];
	ready->registers[19] = control->bases[1];
	if (image->flags & KVM_FLAG_FSGSBASE) {
		__asm__ volatile("rdfsbase %0" : "=r"(ready->registers[18]));
		__asm__ volatile("rdgsbase %0" : "=r"(ready->registers[19]));
	}
	__asm__ volatile("xsave64 %0"
			 : "+m"(*(uint8_t(*)[KVM_XSAVE_MAX])ready->xsave)
			 : "a"((uint32_t)image->xsave_mask),
			   "d"((uint32_t)(image->xsave_mask >> 32))
			 : "memory");
}

static long set_dispatch(const struct thaw_shim_dispatch *dispatch)
{
	if (!shim_dispatch_check(dispatch))
		return THAW_EINVAL;
	KVM_CONTROL->dispatch = *dispatch;
	return 0;
}

static void write_msr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static long set_segments(uint64_t fs, uint64_t gs)
{
	if (fs >= THAW_BASE_END || gs >= THAW_BASE_END)
		return THAW_EINVAL;
	KVM_CONTROL->bases[0] = fs;
	KVM_CONTROL->bases[1] = gs;
	if (KVM_DESCRIPTION->flags & KVM_FLAG_FSGSBASE) {
		__asm__ volatile("wrfsbase %0\n\twrgsbase %1" : : "r"(fs), "r"(gs));
	} else {
		write_msr(KVM_MSR_FS_BASE, fs);
		write_msr(KVM_MSR_FS_BASE + 1, gs);
	}
	return 0;
}

long kvm_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct kvm_control *control = KVM_CONTROL;
	const volatile struct thaw_clock *clock = &KVM_MAILBOX->request.clock;
	struct thaw_shim_memory memory = {a, b, (uint32_t)c, (uint32_t)(c >> 32)};
	struct thaw_shim_dispatch dispatch = {a, b, c, d};

	control->extra[0] = control->extra[1] = 0;
	switch (number) {
	case THAW_SHIM_CALL_map:
	case THAW_SHIM_CALL_unmap:
	case THAW_SHIM_CALL_protect:
		return kvm_memory_call(number, &memory);
	case THAW_SHIM_CALL_clock:
		kvm_exit_call(THAW_CALL_CLOCK);
		control->extra[0] = clock->wall_ns;
		control->extra[1] = clock->monotonic_ns;
		return 0;
	case THAW_SHIM_CALL_dispatch:
		return set_dispatch(&dispatch);
	case THAW_SHIM_CALL_segments:
		return set_segments(a, b);
	case THAW_SHIM_CALL_tick:
		kvm_exit_call(THAW_CALL_TICK);
		return 0;
	case THAW_HYPERCALL_next:
		record_ready(a);
		break;
	default:
		break;
	}
	/* Refuse numbers above 32 bits: cut short, one could look like a `next` to the host, while
	 * the guest's state would still be in the processor. */
	kvm_exit_call(number == (uint32_t)number ? (uint32_t)number : UINT32_MAX);
	return (long)KVM_MAILBOX->reply;
}

void kvm_prefault_pages(void)
{
	const struct kvm_description *image = KVM_DESCRIPTION;
	uint32_t count = image->prefault_count;

	for (uint32_t i = 0; i < count && i < KVM_PREFAULT_MAX; i++)
		kvm_page_in(image->prefault[i], image->prefault[i] & 1, false);
}
