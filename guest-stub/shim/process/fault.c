/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of the guest, and system calls of a program that it holds. An event that is not for the
 * guest's own entries goes to the host as a description, for the log, and the process ends. Nothing
 * depends on this: the kernel kills a guest that breaks this handler, and the host learns of the
 * death all the same.
 */
#include <linux/audit.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "guest-stub/shim/dispatch.h"
#include "guest-stub/shim/process/rest.h"
#include "guest-stub/shim/process/shim.h"
#include "guest-stub/shim/process/sys.h"

/* The kernel's own layout, which differs from libc's. */
struct kernel_sigaction {
	void (*handler)(void);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

#define SA_RESTORER_	   0x04000000ul
#define SYS_USER_DISPATCH_ 2  /* si_code */
#define PAGE_FAULT	   14 /* vector */

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SHIM_TICK_SIGNAL};

/* Pages of it that no signal has touched cost nothing. */
uint8_t shim_signal_stack[SIGNAL_STACK_SIZE] __attribute__((aligned(4096)));

/* The kernel's register numbers, in the shim's order. */
static const uint8_t gregs[] = {
	[SHIM_RAX] = REG_RAX, [SHIM_RBX] = REG_RBX,   [SHIM_RCX] = REG_RCX, [SHIM_RDX] = REG_RDX,
	[SHIM_RSI] = REG_RSI, [SHIM_RDI] = REG_RDI,   [SHIM_RBP] = REG_RBP, [SHIM_RSP] = REG_RSP,
	[SHIM_R8] = REG_R8,   [SHIM_R9] = REG_R9,     [SHIM_R10] = REG_R10, [SHIM_R11] = REG_R11,
	[SHIM_R12] = REG_R12, [SHIM_R13] = REG_R13,   [SHIM_R14] = REG_R14, [SHIM_R15] = REG_R15,
	[SHIM_RIP] = REG_RIP, [SHIM_RFLAGS] = REG_EFL};

static void describe(int signal, const siginfo_t *info, const long long *saved)
{
	struct thaw_fault *fault = &SHIM_MAILBOX->fault;

	fault->signal = (uint32_t)signal;
	fault->vector = signal == SIGSYS ? 0xffffffffu : (uint32_t)saved[REG_TRAPNO];
	fault->address = signal == SIGSYS ? (uint64_t)info->si_syscall : (uint64_t)info->si_addr;
	if (signal == SHIM_TICK_SIGNAL) {
		fault->signal = 0;
		fault->vector = THAW_VECTOR_TICK;
		fault->address = 0;
	}
	for (unsigned int i = 0; i < sizeof(gregs); i++)
		fault->registers[i] = (uint64_t)saved[gregs[i]];
	shim_segments_store(fault->registers);
}

/* For such a call the kernel has restored RAX, which is the call's number; RIP is behind the
 * instruction. */
static bool is_program_call(int signal, const siginfo_t *info)
{
	return signal == SIGSYS && info->si_code == SYS_USER_DISPATCH_ &&
	       info->si_arch == AUDIT_ARCH_X86_64;
}

/* The last two instructions of a return from a signal, in gate.S. */
extern const uint8_t shim_return_stack[] __attribute__((visibility("hidden"))),
	shim_return_jump[] __attribute__((visibility("hidden")));
extern uint64_t shim_return __attribute__((visibility("hidden")));

/*
 * A tick may come during the return from another signal, whose last instruction goes to shim_return.
 * The return from the tick uses that word too. So where one of the last two instructions was
 * interrupted, they are carried out here, on the registers in SAVED. The word is written just before
 * these two, so elsewhere it does not matter.
 */
static void finish_return(long long *saved)
{
	if (saved[REG_RIP] == (long long)shim_return_stack) {
		saved[REG_RSP] = ((const ucontext_t *)saved[REG_RSP])->uc_mcontext.gregs[REG_RSP];
		saved[REG_RIP] = (long long)shim_return;
	} else if (saved[REG_RIP] == (long long)shim_return_jump) {
		saved[REG_RIP] = (long long)shim_return;
	}
}

/* Called by gate.S. Returns when the guest shall go on: it has opened a page, or a tick came at a
 * place where the guest has no use for it. */
__attribute__((visibility("hidden"))) void shim_fault(int signal, const siginfo_t *info,
						      void *context);

void shim_fault(int signal, const siginfo_t *info, void *context)
{
	mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
	long long *saved = machine->gregs;

	if (signal == SHIM_TICK_SIGNAL) {
		finish_return(saved);
		if (!shim_dispatch_takes(&shim_entries, (uint64_t)saved[REG_RIP],
					 (uint64_t)saved[REG_RSP]))
			return;
	}

	/* Wherever the fault was, in the shim too. */
	if (signal == SIGSEGV && saved[REG_TRAPNO] == PAGE_FAULT &&
	    (shim_record_fault((uint64_t)saved[REG_CR2], (uint64_t)saved[REG_ERR]) ||
	     shim_early_fault((uint64_t)saved[REG_CR2], (uint64_t)saved[REG_ERR])))
		return;
	if (!shim_dispatch_takes(&shim_entries, (uint64_t)saved[REG_RIP],
				 (uint64_t)saved[REG_RSP])) {
		describe(signal, info, saved);
		shim_post(THAW_CALL_FAULT);
		sys_exit(128 + signal);
	}
	for (unsigned int i = 0; i < sizeof(gregs); i++)
		shim_registers[i] = (uint64_t)saved[gregs[i]];
	if (is_program_call(signal, info)) {
		shim_registers[SHIM_RCX] = (uint64_t)saved[REG_RIP];
		shim_registers[SHIM_R11] = (uint64_t)saved[REG_EFL];
		shim_enter(shim_entries.syscall_entry, machine->fpregs);
	}
	describe(signal, info, saved);
	shim_enter(shim_entries.fault_entry, machine->fpregs);
}

long shim_fault_install(void)
{
	/* Masks no signal, because a handler that goes to an entry never returns. */
	struct kernel_sigaction action = {shim_signal,
					  SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER_,
					  shim_signal_return, 0};
	stack_t alternate = {.ss_sp = shim_signal_stack, .ss_size = SIGNAL_STACK_SIZE};
	long error = sys3(SYS_sigaltstack, (long)&alternate, 0, 0);

	for (unsigned int i = 0; i < sizeof(signals) / sizeof(signals[0]) && !error; i++)
		error = sys6(SYS_rt_sigaction, signals[i], (long)&action, 0, sizeof(action.mask), 0,
			     0);
	return error;
}
