/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest of the process backend. It knows the shim, reports that its invocation is done,
 * and leaves its clone in one of the ways of tamper.h. Or it is honest, and answers with the
 * processor's state as it found it.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include <thaw/abi.h>
#include <thaw/guest.h>

#include "tests/engine/tamper.h"

#define VICTIM_SIZE    0x4000ul
#define SOMEWHERE      0x800000000ul /* free addresses of the region */
#define SYS_FUTEX      202
#define ALL_FLAGS      0x244ed7ul /* arithmetic ones, DF, NT, AC, ID, IF */
#define TRAP_FLAG      0x100ul
#define PRCTL_DISPATCH 59

enum { VECTORS = 1, FSGSBASE = 2, KEYS = 4, SELECTORS = 8, POSTED = 16 };

struct leave {
	uint64_t secret[2], rip, flags, what, rdi, rsi, rdx, r10, rax, rsp, reserved[5];
	uint8_t xsave[4096] __attribute__((aligned(64)));
};
_Static_assert(offsetof(struct leave, xsave) == 128, "tamper.S");

extern long tamper_next(void);
extern _Noreturn void tamper_leave(struct leave *leave);
extern const uint8_t tamper_wait[];
extern struct tamper_seen tamper_seen;
extern uint32_t tamper_features;

struct tamper_seen tamper_seen __attribute__((aligned(64))) = {.reserved = {1}};
uint32_t tamper_features = 1;
static uint8_t victim[VICTIM_SIZE] __attribute__((aligned(4096))) = {1};

#define mailbox ((volatile struct thaw_mailbox *)THAW_MAILBOX)

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static void map(uint64_t at, uint64_t length)
{
	thaw_must(call(SYS_mmap, (long)at, (long)length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1) == (long)at);
}

static void move(uint64_t from, uint64_t to)
{
	thaw_must(call(SYS_mremap, (long)from, THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE,
		       MREMAP_MAYMOVE | MREMAP_FIXED, (long)to) == (long)to);
}

static void unmap(uint64_t start, uint64_t end)
{
	thaw_must(call(SYS_munmap, (long)start, (long)(end - start), 0, 0, 0) == 0);
}

static void protect(uint64_t at, uint64_t length, long prot)
{
	thaw_must(call(SYS_mprotect, (long)at, (long)length, prot, 0, 0) == 0);
}

static __attribute__((noinline)) void fill(const struct tamper_order *order, uint64_t start,
					   uint64_t end)
{
	for (volatile uint64_t *at = (volatile uint64_t *)start; at < (volatile uint64_t *)end;
	     at += 2) {
		at[0] = order->secret[0];
		at[1] = order->secret[1];
	}
}

/* Fills everything but the stack from a little below here to NEEDED. */
static __attribute__((noinline)) void fill_all(const struct tamper_order *order, uint64_t needed)
{
	uint64_t here = (uint64_t)__builtin_frame_address(0) - 2048;

	here &= ~15ul;
	needed = (needed + 15) & ~15ul;
	for (uint64_t i = 0; i < order->range_count; i++) {
		uint64_t start = order->ranges[i].start, end = order->ranges[i].end;

		/* Whoever is done too early, by that word, is not done as it should be. */
		if (start == THAW_MAILBOX)
			start += 16;
		if (here >= start && here < end) {
			fill(order, start, here);
			fill(order, needed, end);
		} else {
			fill(order, start, end);
		}
	}
}

static void change_text(void)
{
	volatile uint8_t *gate = (volatile uint8_t *)THAW_GATE;
	uint64_t below = THAW_REGION_END - THAW_PAGE_SIZE;
	uint8_t was = gate[0];

	map(below, THAW_PAGE_SIZE);
	protect(below, 2 * THAW_PAGE_SIZE, PROT_READ | PROT_WRITE);
	gate[0] = 0xcc;
	gate[0] = was;
	protect(below, 2 * THAW_PAGE_SIZE, PROT_READ | PROT_EXEC);
	unmap(below, THAW_REGION_END);
}

static void replace_variables(const struct tamper_order *order)
{
	uint64_t start = order->bss_start, end = order->bss_end;

	if (end - start > THAW_MAILBOX_SIZE)
		start = end - THAW_MAILBOX_SIZE;
	map(SOMEWHERE, THAW_MAILBOX_SIZE);
	move(SOMEWHERE, start);
	if (start + THAW_MAILBOX_SIZE > end)
		unmap(end, start + THAW_MAILBOX_SIZE);
}

static void prepare_vectors(const struct tamper_order *order, uint8_t *xsave)
{
	static const uint16_t control = 0x0c3f; /* all masked, to zero, single */
	uint32_t mxcsr = 0xffff, eax, ebx, ecx, edx;
	uint64_t components;

	for (unsigned i = 0; i < 4096; i += 16)
		memcpy(xsave + i, order->secret, 16);
	__asm__ volatile("fldpi\n\tfstpt %0" : "=m"(*(uint8_t(*)[10])xsave)); /* sets pointers */
	__asm__ volatile("fxsave64 %0" : "=m"(*(uint8_t(*)[512])xsave));
	memcpy(&mxcsr, xsave + 28, sizeof(mxcsr));
	mxcsr = mxcsr ? mxcsr : 0xffbf;
	memcpy(xsave, &control, sizeof(control));
	xsave[4] = 0xff;
	memcpy(xsave + 8, order->secret, 16);
	memcpy(xsave + 24, &mxcsr, sizeof(mxcsr));
	for (unsigned i = 0; i < 24; i++)
		memcpy(xsave + 32 + i * 16, order->secret, i < 8 ? 10 : 16);
	memset(xsave + 512, 0, 64);
	__cpuid_count(0xd, 0, eax, ebx, ecx, edx);
	components = eax & 0xe7;
	memcpy(xsave + 512, &components, sizeof(components));
}

static void post(void)
{
	mailbox->turn = THAW_TURN_HOST;
	call(SYS_FUTEX, (long)&mailbox->turn, 1, 0x7fffffff, 0, 0);
}

static void finish_call(uint32_t length)
{
	mailbox->call.number = THAW_HYPERCALL_next;
	mailbox->call.status = 0;
	mailbox->call.length = length;
}

static _Noreturn __attribute__((noinline)) void tamper(const struct tamper_order *order)
{
	static const struct rlimit many = {1000, 1000};
	static const struct timespec a_while = {1000, 0};
	const uint64_t one_cpu = 1;
	struct leave leave = {.secret = {order->secret[0], order->secret[1]},
			      .rip = order->wait,
			      .flags = 0x202,
			      .rdi = (uint64_t)&mailbox->turn,
			      .rdx = THAW_TURN_HOST,
			      .rax = SYS_FUTEX,
			      .rsp = order->secret[0]};
	uint64_t page = (uint64_t)victim + THAW_PAGE_SIZE;

	finish_call(0);
	switch ((enum tamper_trick)order->trick) {
	case TAMPER_honest:
	case TAMPER_COUNT:
		break;
	case TAMPER_jump:
		leave.rip += (uint64_t)(int64_t)order->offset;
		leave.rdi = leave.rdx = leave.rax = order->secret[0];
		leave.rsi = leave.r10 = order->secret[1];
		break;
	case TAMPER_trap_flag:
		leave.flags |= TRAP_FLAG;
		__attribute__((fallthrough));
	case TAMPER_registers:
		prepare_vectors(order, leave.xsave);
		leave.flags |= ALL_FLAGS;
		leave.what |= VECTORS | SELECTORS | (tamper_features & FSGSBASE);
		break;
	case TAMPER_write_disabled:
		leave.what |= tamper_features & KEYS;
		break;
	case TAMPER_bases_near:
		thaw_must(call(SYS_arch_prctl, ARCH_SET_FS, 16, 0, 0, 0) == 0);
		thaw_must(call(SYS_arch_prctl, ARCH_SET_GS, 24, 0, 0, 0) == 0);
		break;
	case TAMPER_bases:
		mailbox->bases_changed = 1;
		__attribute__((fallthrough));
	case TAMPER_bases_hidden:
		thaw_must(call(SYS_arch_prctl, ARCH_SET_FS, (long)order->secret[0], 0, 0, 0) == 0);
		thaw_must(call(SYS_arch_prctl, ARCH_SET_GS, (long)order->secret[1], 0, 0, 0) == 0);
		break;
	case TAMPER_affinity:
		call(SYS_sched_setaffinity, 0, sizeof(one_cpu), (long)&one_cpu, 0, 0);
		break;
	case TAMPER_dispatch_on:
		post();
		leave.what |= POSTED;
		call(SYS_prctl, PRCTL_DISPATCH, 1, (long)THAW_SHIM_BASE, THAW_SHIM_SIZE, 0);
		break;
	case TAMPER_limit:
		call(SYS_prlimit64, 0, RLIMIT_NPROC, (long)&many, 0, 0);
		break;
	case TAMPER_fill: {
		struct tamper_order copy = *order;

		fill_all(&copy, (uint64_t)__builtin_frame_address(0) + 16);
		finish_call(0);
		break;
	}
	case TAMPER_map_and_unmap:
		map(SOMEWHERE, VICTIM_SIZE);
		fill(order, SOMEWHERE, SOMEWHERE + VICTIM_SIZE);
		unmap(SOMEWHERE, SOMEWHERE + VICTIM_SIZE);
		break;
	case TAMPER_map:
		map(SOMEWHERE, VICTIM_SIZE);
		break;
	case TAMPER_unmap_image:
		unmap(page, page + THAW_PAGE_SIZE);
		break;
	case TAMPER_cover_image:
		map(page, THAW_PAGE_SIZE);
		break;
	case TAMPER_protect_image:
		protect(page, THAW_PAGE_SIZE, PROT_READ);
		break;
	case TAMPER_protect_and_back:
		fill(order, page, page + THAW_PAGE_SIZE);
		protect(page, THAW_PAGE_SIZE, PROT_READ);
		protect(page, THAW_PAGE_SIZE, PROT_READ | PROT_WRITE);
		break;
	case TAMPER_mailbox_away_and_back:
		move(THAW_MAILBOX, SOMEWHERE);
		move(SOMEWHERE, THAW_MAILBOX);
		break;
	case TAMPER_mailbox_copied:
		post();
		leave.what |= POSTED;
		move(THAW_MAILBOX, SOMEWHERE);
		map(SOMEWHERE * 2 / 3 & ~0xffful, THAW_MAILBOX_SIZE);
		move(SOMEWHERE * 2 / 3 & ~0xffful, THAW_MAILBOX);
		mailbox->turn = THAW_TURN_HOST;
		unmap(SOMEWHERE, SOMEWHERE + THAW_MAILBOX_SIZE);
		break;
	case TAMPER_variables_replaced:
		replace_variables(order);
		break;
	case TAMPER_text_changed:
		change_text();
		break;
	case TAMPER_spin:
		post();
		for (;;)
			__asm__ volatile("pause");
	case TAMPER_waits_elsewhere:
		leave.rip = (uint64_t)tamper_wait;
		break;
	case TAMPER_waits_for_other:
		leave.rdi = (uint64_t)&mailbox->up;
		leave.rdx = mailbox->up;
		break;
	case TAMPER_waits_a_while:
		leave.r10 = (uint64_t)&a_while;
		break;
	case TAMPER_sigreturn:
		call(SYS_rt_sigreturn, 0, 0, 0, 0, 0);
		break;
	case TAMPER_sigaltstack:
		call(SYS_sigaltstack, 0, 0, 0, 0, 0);
		break;
	}
	tamper_leave(&leave);
}

static void look_at_processor(void)
{
	unsigned eax, ebx, ecx = 0, edx;

	__cpuid_count(7, 0, eax, ebx, ecx, edx);
	/* Only the auxiliary vector says whether the kernel lets programs use them; the test passes
	 * it on. */
	tamper_features = ecx & 1u << 4 ? KEYS : 0;
}

int main(int argc, char **argv)
{
	struct tamper_order order;
	uint32_t length = 0;

	look_at_processor();
	if (argc > 1 && strcmp(argv[1], "fsgsbase") == 0)
		tamper_features |= FSGSBASE;
	for (;;) {
		finish_call(length);
		thaw_must(tamper_next() >= 0);
		memcpy(&order, (const void *)(uintptr_t)mailbox->request_window, sizeof(order));
		if (order.trick != TAMPER_honest)
			tamper(&order);
		memcpy((void *)(uintptr_t)mailbox->response_window, &tamper_seen,
		       sizeof(tamper_seen));
		length = sizeof(tamper_seen);
	}
}
