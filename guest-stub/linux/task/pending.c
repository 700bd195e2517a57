/* SPDX-License-Identifier: Apache-2.0 */
/* The pending signals; see pending.h. */
#include <asm/signal.h>

#include "guest-stub/linux/task/pending.h"
#include "guest-stub/linux/task/task.h"

static uint64_t process_pending;
static uint64_t ignored_now = SIGNALS_IGNORED_BY_DEFAULT;
static int codes[SIGNAL_COUNT]; /* the reason of each signal's last raise */

void signal_raise(int signal, struct task *task, int code)
{
	const struct task *receiver = task ? task : current;

	if (signal_is_ignored(signal) && !(receiver->signals.blocked & SIGNAL_BIT(signal)))
		return;
	codes[signal] = code;
	if (task)
		task->signals.pending |= SIGNAL_BIT(signal);
	else
		process_pending |= SIGNAL_BIT(signal);
}

int signal_code(int signal)
{
	return codes[signal];
}

bool signal_is_ignored(int signal)
{
	return ignored_now & SIGNAL_BIT(signal);
}

void signal_ignore(int signal, bool ignored)
{
	const uint64_t others = ~SIGNAL_BIT(signal);

	ignored_now &= others;
	if (!ignored)
		return;
	ignored_now |= SIGNAL_BIT(signal);
	process_pending &= others;
	for (int i = 0; task_nth(i); i++)
		task_nth(i)->signals.pending &= others;
}

uint64_t signal_set_pending(const struct task *task)
{
	return task->signals.pending | process_pending;
}

/* The first task gets what is pending for the process, as in Linux. The others get what it
 * blocks. */
uint64_t signal_set_deliverable(const struct task *task)
{
	const struct task *first;
	uint64_t shared = process_pending;

	/* The answer after almost every system call. */
	if (!(signal_set_pending(task) & ~task->signals.blocked))
		return 0;
	first = task_by_number(LINUX_PID);
	if (first && first != task)
		shared &= first->signals.blocked;
	return (task->signals.pending | shared) & ~task->signals.blocked;
}

bool signal_interrupts(const struct task *task)
{
	return signal_set_deliverable(task) & ~ignored_now;
}

int signal_take(uint64_t wanted)
{
	int signal = __builtin_ctzll(wanted) + 1;

	if (current->signals.pending & SIGNAL_BIT(signal))
		current->signals.pending &= ~SIGNAL_BIT(signal);
	else
		process_pending &= ~SIGNAL_BIT(signal);
	return signal;
}
