/* SPDX-License-Identifier: Apache-2.0 */
/* Leads a system call to its handler, and on the way back delivers signals. Handles faults and
 * ticks. */
#include <asm/signal.h>
#include <asm/unistd.h>

#include "guest-stub/core/core.h"
#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/entry/core.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/shared.h"
#include "guest-stub/linux/signal/signals.h"
#include "guest-stub/linux/task/idle.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/timers.h"

#define PAGE_FAULT 14	      /* vector */
#define NO_CALL	   UINT64_MAX /* of signals that find the program between two calls */

struct entry {
	linux_call *handler;
	int error; /* the answer of a call without a handler */
	const char *why;
};

#define ENTRY_FULL(name, error, why)		     [__NR_##name] = {sys_##name, 0, NULL},
#define ENTRY_PARTIAL(name, error, why)		     [__NR_##name] = {sys_##name, 0, NULL},
#define ENTRY_REFUSED(name, error, why)		     [__NR_##name] = {NULL, error, why},
#define ENTRY_ABSENT(name, error, why)		     [__NR_##name] = {NULL, error, NULL},
#define ENTRY(name, support, arguments, error, note) ENTRY_##support(name, error, note)
static const struct entry entries[] = {LINUX_CALLS(ENTRY)};

static long refuse(const struct entry *entry, uint64_t number, uint64_t from)
{
	if (entry && entry->error) {
		if (entry->why)
			log_once((unsigned)number, "refused: %s: %s (error %d, at %#lx)",
				 call_name(number), entry->why, entry->error, from);
		return -entry->error;
	}
	log_once(number < LOG_KEYS_CALLS ? (unsigned)number : LOG_KEY_UNKNOWN,
		 "unknown system call %lu (at %#lx): ENOSYS", number, from);
	return -ENOSYS;
}

static long answer(struct registers *registers, uint64_t number)
{
	/* In the order of the call's arguments. */
	const uint64_t arguments[6] = {registers->rdi, registers->rsi, registers->rdx,
				       registers->r10, registers->r8,  registers->r9};
	const struct entry *entry =
		number < sizeof(entries) / sizeof(entries[0]) ? &entries[number] : NULL;

	if (!entry || !entry->handler)
		return refuse(entry, number, registers->rip - 2);
	return entry->handler(arguments);
}

bool linux_syscall(struct registers *registers)
{
	uint64_t number = registers->rax;
	struct registers before;
	bool changed = false;
	long result;

	current->registers = registers;
	if (config.trace)
		before = *registers;
	result = answer(registers, number);
	/* rt_sigreturn has restored all of the program's registers, rax included. */
	if (number != __NR_rt_sigreturn)
		registers->rax = (uint64_t)result;
	if (config.trace)
		trace_call(&before, number, result);
	if (idle_watching)
		idle_call(number, result);
	if (task_others)
		task_turn();
	timers_check();
	if (signal_set_deliverable(current) || current->signals.restore_mask)
		changed = signal_deliver(registers, number);
	return changed || number == __NR_rt_sigreturn;
}

/* Whether a page fault was the first touch of memory that comes on demand. When there is no memory
 * the invocation ends, as Linux kills a program then. */
static bool is_supplied(uint64_t address)
{
	int touched = memory_touched(address);

	if (touched < 0)
		host_abort("%s", memory_shortage(THAW_PAGE_SIZE * 16));
	return touched;
}

/* The program made no call for a while. */
static void tick(struct registers *registers)
{
	if (task_others)
		task_turn();
	timers_check();
	if (signal_set_deliverable(current))
		signal_deliver(registers, NO_CALL);
	if (task_others || timers_armed())
		timers_want_ticks();
	else
		host_want_no_ticks();
}

/* Handles a page fault that is the core's doing. Returns whether the program can go on. */
static bool solve(const struct registers *registers, uint64_t address, int *signal)
{
	enum shared_fault shared = shared_fault(registers, address);

	if (shared == SHARED_BEYOND)
		*signal = SIGBUS;
	if (shared != SHARED_NOT)
		return shared == SHARED_SOLVED;
	return is_supplied(address) || flip_fault(registers->rip, address);
}

void linux_fault(struct registers *registers)
{
	volatile struct thaw_fault *fault = &thaw_core_mailbox()->fault;
	int signal;

	for (unsigned i = 0; i < THAW_REGISTER_COUNT; i++)
		((uint64_t *)registers)[i] = fault->registers[i];
	current->registers = registers;
	signal = (int)fault->signal;
	if (fault->vector == PAGE_FAULT && signal == SIGSEGV &&
	    solve(registers, fault->address, &signal))
		return;
	if (fault->vector == THAW_VECTOR_TICK)
		tick(registers);
	else
		signal_fault(registers, signal, fault->vector, fault->address);
}
