/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves a secret in every place where a function can leave something, and then ends its invocation
 * properly, or improperly when asked for an odd call. The test then searches a recycled machine for
 * the secret. The request is a struct order followed by more of the secret.
 */
#include <thaw/abi.h>
#include <thaw/guest.h>

#include "tests/kvm/secret.h"

#define ARENA 0x40000ul

extern void guest_leave(void) __attribute__((noreturn));
/* Where the program's writable memory begins, for guest_leave.S. */
uint8_t guest_hot[16] __attribute__((section(".thaw_hot")));

static uint8_t data[ARENA] __attribute__((aligned(4096))) = {1};
static uint8_t zeroes[ARENA] __attribute__((aligned(4096)));

/* In the request window; guest_leave.S uses the same layout. */
struct leave {
	uint64_t secret[2], number, syscall;
	uint32_t flags, reserved[7];
	uint8_t fx[512];
	uint64_t ymm[2];
};
_Static_assert(offsetof(struct leave, fx) == 64 && offsetof(struct leave, ymm) == 576, "layout");

static void fill(const struct secret_order *order, uintptr_t start, size_t length)
{
	volatile uint64_t *to = (volatile uint64_t *)start;

	for (size_t i = 0; i < length / 8; i++)
		to[i] = order->secret[i % 2];
}

/* Makes a call with the secret in every register that may hold it; the registers are restored. */
static long call(const struct secret_order *order, long number, void *argument)
{
	register long (*gate)(long, void *) __asm__("r10") = (long (*)(long, void *))THAW_GATE;
	uint64_t low = order->secret[0], high = order->secret[1];
	long result;

	/* Below any data that the compiler may have put under the stack pointer. */
	__asm__ volatile("sub $128, %%rsp\n\tpush %%rbx\n\tpush %%rbp\n\t"
			 "mov %[low], %%rbx\n\tmov %[low], %%r12\n\tmov %[low], %%r13\n\t"
			 "mov %[high], %%r14\n\tmov %[high], %%r15\n\tmov %[high], %%rbp\n\t"
			 "call *%%r10\n\t"
			 "pop %%rbp\n\tpop %%rbx\n\tadd $128, %%rsp"
			 : "=a"(result), "+D"(number), "+S"(argument),
			   "+r"(gate), [low] "+d"(low), [high] "+c"(high)
			 :
			 : "r8", "r9", "r11", "r12", "r13", "r14", "r15", "memory");
	return result;
}

static volatile struct thaw_mailbox *mailbox(void)
{
	return (volatile struct thaw_mailbox *)THAW_MAILBOX;
}

static void log_secret(const struct secret_order *order)
{
	fill(order, (uintptr_t)mailbox()->scratch, THAW_SCRATCH_SIZE);
	mailbox()->call.number = THAW_HYPERCALL_log;
	mailbox()->call.length = THAW_LOG_LINE_MAX;
	call(order, THAW_HYPERCALL_log, NULL);
	mailbox()->call.number = THAW_HYPERCALL_random;
	mailbox()->call.length = 64;
	call(order, THAW_HYPERCALL_random, NULL);
}

/* Makes calls with the secret as number and address, which the host or the shim looks at before it
 * refuses them. */
static void ask_for_secrets(const struct secret_order *order)
{
	struct thaw_shim_memory memory = {order->secret[0], order->secret[1],
					  (uint32_t)order->secret[0], (uint32_t)order->secret[1]};
	struct thaw_shim_clock clock;

	thaw_must(call(order, THAW_SHIM_CALL_map, &memory) == THAW_EINVAL);
	memory.reserved = 0;
	thaw_must(call(order, THAW_SHIM_CALL_protect, &memory) == THAW_EINVAL);
	call(order, THAW_SHIM_CALL_clock, &clock);
}

/* Maps and fills memory until none is left, and unmaps some of it again. */
static void fill_mappings(const struct secret_order *order)
{
	uintptr_t at = THAW_MAP_BASE;

	for (size_t piece = 0x40000; piece >= THAW_PAGE_SIZE;) {
		if (thaw_map((void *)at, piece, THAW_MAP_READ | THAW_MAP_WRITE) < 0) {
			piece /= 2;
			continue;
		}
		fill(order, at, piece);
		at += piece + 0x200000 - piece % 0x200000;
	}
	thaw_must(thaw_protect((void *)THAW_MAP_BASE, 0x10000, THAW_MAP_READ) == 0);
	thaw_must(thaw_protect((void *)(THAW_MAP_BASE + 0x10000), 0x10000,
			       THAW_MAP_READ | THAW_MAP_EXEC) == 0);
	thaw_must(thaw_unmap((void *)(THAW_MAP_BASE + 0x20000), 0x10000) == 0);
}

/* Fills memory of the image, in every way that there is. */
static void fill_arenas(const struct secret_order *order)
{
	uintptr_t bss = (uintptr_t)zeroes, words = (uintptr_t)data;

	fill(order, bss, ARENA);
	fill(order, words, ARENA);
	thaw_must(thaw_protect(data, 0x10000, THAW_MAP_READ) == 0);
	thaw_must(thaw_unmap(data + 0x10000, 0x10000) == 0);
	thaw_must(thaw_unmap(zeroes, 0x10000) == 0);
	thaw_must(thaw_map(zeroes, 0x10000, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	fill(order, bss, 0x8000);
	/* guest_leave() fills all of it once more. */
	thaw_must(thaw_protect(data, 0x10000, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	thaw_must(thaw_map(data + 0x10000, 0x10000, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
}

static void fill_heap(const struct secret_order *order)
{
	for (unsigned i = 0; i < 8; i++) {
		void *block = malloc(50000);

		thaw_must(block != NULL);
		fill(order, (uintptr_t)block, 50000);
		if (i % 3 == 0)
			free(block);
	}
}

static uint64_t gate_syscall(void)
{
	const uint8_t *gate = (const uint8_t *)THAW_GATE;

	for (unsigned i = 0; i < THAW_PAGE_SIZE - 1; i++)
		if (gate[i] == 0x0f && gate[i + 1] == 0x05)
			return THAW_GATE + i;
	thaw_abort("the gate has no system call");
}

static void prepare_state(const struct secret_order *order, uint8_t *fx)
{
	static const uint16_t control = 0x0c3f; /* all masked, to zero, single */
	uint32_t mxcsr = 0xffff;

	__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])fx));
	memcpy(&mxcsr, fx + 28, sizeof(mxcsr)); /* MXCSR_MASK, 0 for the default */
	mxcsr = mxcsr ? mxcsr : 0xffbf;
	memcpy(fx, &control, sizeof(control));
	fx[4] = 0xff; /* all registers in use */
	for (unsigned i = 0; i < 2; i++)
		memcpy(fx + 8 + i * 8, &order->secret[i], 8);
	memcpy(fx + 24, &mxcsr, sizeof(mxcsr));
	for (unsigned i = 0; i < 24; i++)
		memcpy(fx + 32 + i * 16, order->secret, i < 8 ? 10 : 16);
}

static int handle(struct thaw_invocation *invocation)
{
	struct leave *leave =
		(struct leave *)(THAW_MAILBOX + offsetof(struct thaw_mailbox, request_window));
	struct secret_order order;
	uint8_t rest[16];

	thaw_must(thaw_read(invocation, &order, sizeof(order)) == sizeof(order));
	if (order.number == 0)
		return thaw_printf(invocation, "nothing asked for") < 0;
	while (thaw_read(invocation, rest, sizeof(rest)) > 0)
		;
	log_secret(&order);
	ask_for_secrets(&order);
	fill_arenas(&order);
	fill_heap(&order);
	fill_mappings(&order);
	fill(&order, THAW_MAILBOX, THAW_MAILBOX_SIZE);
	leave->secret[0] = order.secret[0];
	leave->secret[1] = order.secret[1];
	leave->number = order.number;
	leave->syscall = gate_syscall();
	leave->flags = order.flags;
	prepare_state(&order, leave->fx);
	memcpy(leave->ymm, order.secret, sizeof(leave->ymm));
	mailbox()->call.number = THAW_HYPERCALL_next;
	mailbox()->call.status = 0;
	mailbox()->call.length = THAW_WINDOW_SIZE;
	guest_leave();
}

int main(void)
{
	thaw_serve(handle);
}
