/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through the gate: the shim answers shim calls itself, and hands hypercalls to the host
 * through the mailbox. */
#include <stdbool.h>
#include <time.h>

#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

void shim_post(uint32_t number)
{
	struct thaw_mailbox *mailbox = SHIM_MAILBOX;

	mailbox->call.number = number;
	/* Release: the host, once it sees its turn, must see what guest and shim wrote.
	 * Sequentially consistent: the host says that it sleeps before it reads the turn for the
	 * last time, so it either sees this turn or is woken. */
	__atomic_store_n(&mailbox->turn, THAW_TURN_HOST, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&mailbox->host_sleeps, __ATOMIC_SEQ_CST))
		sys_futex_wake(&mailbox->turn);
}

void shim_exchange(void)
{
	struct thaw_mailbox *mailbox = SHIM_MAILBOX;

	/* Acquire: the request or reply was written before the turn was given. */
	while (__atomic_load_n(&mailbox->turn, __ATOMIC_ACQUIRE) == THAW_TURN_HOST)
		sys_futex_wait(&mailbox->turn, THAW_TURN_HOST);
}

/* Records the ready point: everything that an image keeps of the vCPU. Registers that a call may
 * change are zero. */
static void record_ready(void)
{
	struct thaw_ready *ready = (struct thaw_ready *)SHIM_MAILBOX->request_window;
	/* The gate has stored these. The others are of the program's last call, fault or tick. */
	static const uint8_t kept[] = {SHIM_RBX, SHIM_RBP, SHIM_RSP, SHIM_R12,
				       SHIM_R13, SHIM_R14, SHIM_R15, SHIM_RIP};
	uint64_t mask = shim_xsave_mask;
	uint32_t length = shim_xsave_length;

	/* The window may have held a request, and XSAVE does not write components that are in their
	 * initial state. */
	memset(ready, 0, sizeof(*ready) + length);
	ready->abi_version = THAW_ABI_VERSION;
	shim_memory_record(ready);
	ready->xsave_mask = mask;
	ready->xsave_length = length;
	for (unsigned i = 0; i < sizeof(kept); i++)
		ready->registers[kept[i]] = shim_registers[kept[i]];
	ready->registers[SHIM_RFLAGS] = 0x202;
	ready->dispatch = shim_entries;
	shim_segments_store(ready->registers);
	__asm__ volatile("xsave64 %0"
			 : "+m"(*(uint8_t(*)[SHIM_XSAVE_MAX])ready->xsave)
			 : "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

static long read_clock(struct thaw_shim_clock *out)
{
	struct timespec wall, monotonic;

	if (sys3(SYS_clock_gettime, CLOCK_REALTIME, (long)&wall, 0) ||
	    sys3(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&monotonic, 0))
		return THAW_EINVAL;
	out->wall_ns = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
	out->monotonic_ns = (uint64_t)monotonic.tv_sec * 1000000000u + (uint64_t)monotonic.tv_nsec;
	return 0;
}

/* Sequentially consistent: the guest has stored `tick_ns` before; the host says how it sleeps before
 * it reads `tick_ns` for the last time. So the host either sees the guest's wish or is called. */
static long call_for_ticks(void)
{
	if (__atomic_load_n(&SHIM_MAILBOX->host_sleeps, __ATOMIC_SEQ_CST) == THAW_SLEEP_LONG) {
		shim_post(THAW_CALL_TICK);
		shim_exchange();
	}
	return 0;
}

long shim_dispatch(long number, void *argument)
{
	switch (number) {
	case THAW_SHIM_CALL_map:
	case THAW_SHIM_CALL_unmap:
	case THAW_SHIM_CALL_protect:
		return shim_memory_call(number, argument);
	case THAW_SHIM_CALL_clock:
		return read_clock(argument);
	case THAW_SHIM_CALL_dispatch:
		return shim_dispatch_call(argument);
	case THAW_SHIM_CALL_segments:
		return shim_segments_call(argument);
	case THAW_SHIM_CALL_tick:
		return call_for_ticks();
	default:
		break;
	}
	if (number == THAW_HYPERCALL_next && shim_is_booting)
		record_ready();
	/* The host reads 32 bits of a number; cut to those, some invalid numbers would be valid. */
	shim_post(number == (uint32_t)number ? (uint32_t)number : UINT32_MAX);
	/* After `next` comes another invocation, which begins as the image says. */
	if (number == THAW_HYPERCALL_next && !shim_is_booting)
		shim_rest();
	shim_exchange();
	return (long)SHIM_MAILBOX->reply;
}
