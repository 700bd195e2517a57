/* SPDX-License-Identifier: Apache-2.0 */
/* The pending signals; see pending.h. */
#include <asm/signal.h>

#include "guest-stub/linux/task/pending.h"
#include "guest-stub/linux/task/task.h"

#define REAL_TIME  32	/* from here on each signal is queued */
#define QUEUED_MAX 1024 /* as RLIMIT_SIGPENDING: a program that queues and never takes has an end */

/* Linux takes these before all others. */
#define FAULTS                                                                                     \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |     \
	 SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

struct signal_queued {
	struct signal_queued *next;
	struct signal_info info;
};

static struct signal_set process_pending;
static uint64_t ignored_now = SIGNALS_IGNORED_BY_DEFAULT;
static unsigned queued;

static struct signal_set *set_of(struct task *task)
{
	return task ? &task->signals.pending : &process_pending;
}

static void drop(struct signal_queued **link)
{
	struct signal_queued *signal = *link;

	*link = signal->next;
	free(signal);
	queued--;
}

static bool has(const struct signal_set *set, int signal)
{
	for (const struct signal_queued *at = set->first; at; at = at->next)
		if (at->info.signal == signal)
			return true;
	return false;
}

static void drop_all(struct signal_set *set, int signal)
{
	for (struct signal_queued **link = &set->first; *link;)
		if ((*link)->info.signal == signal)
			drop(link);
		else
			link = &(*link)->next;
	set->signals &= ~SIGNAL_BIT(signal);
}

int signal_queue(const struct signal_info *info, struct task *task)
{
	const struct task *receiver = task ? task : current;
	struct signal_set *set = set_of(task);
	uint64_t bit = SIGNAL_BIT(info->signal);
	struct signal_queued *new, **link = &set->first;

	if (signal_is_ignored(info->signal) && !(receiver->signals.blocked & bit))
		return 0;
	if (set->signals & bit && info->signal < REAL_TIME)
		return 0;
	new = queued < QUEUED_MAX ? malloc(sizeof(*new)) : NULL;
	/* kill() is always heard, without what is told of it. */
	if (!new && info->signal >= REAL_TIME && info->code != SIGNAL_USER)
		return -EAGAIN;
	set->signals |= bit;
	if (!new)
		return 0;
	*new = (struct signal_queued){NULL, *info};
	queued++;
	while (*link)
		link = &(*link)->next;
	*link = new;
	return 0;
}

void signal_raise(int signal, struct task *task, int code)
{
	const struct signal_info info = {.signal = signal, .code = code};

	signal_queue(&info, task);
}

static struct signal_queued **find_timer(struct signal_set *set, int id)
{
	for (struct signal_queued **link = &set->first; *link; link = &(*link)->next)
		if ((*link)->info.code == SIGNAL_TIMER && (*link)->info.of[0] == id)
			return link;
	return NULL;
}

bool signal_of_timer(int id)
{
	if (find_timer(&process_pending, id))
		return true;
	for (int i = 0; i < TASKS_MAX; i++)
		if (tasks[i].tid && find_timer(&tasks[i].signals.pending, id))
			return true;
	return false;
}

static void drop_timer(struct signal_set *set, int id)
{
	struct signal_queued **link = find_timer(set, id);
	int signal;

	if (!link)
		return;
	signal = (*link)->info.signal;
	drop(link);
	if (!has(set, signal))
		set->signals &= ~SIGNAL_BIT(signal);
}

void signal_drop_timer(int id)
{
	drop_timer(&process_pending, id);
	for (int i = 0; i < TASKS_MAX; i++)
		if (tasks[i].tid)
			drop_timer(&tasks[i].signals.pending, id);
}

void signal_forget(struct task *task)
{
	while (task->signals.pending.first)
		drop(&task->signals.pending.first);
	task->signals.pending.signals = 0;
}

bool signal_is_ignored(int signal)
{
	return ignored_now & SIGNAL_BIT(signal);
}

void signal_ignore(int signal, bool ignored)
{
	const uint64_t others = ~SIGNAL_BIT(signal);

	ignored_now &= others;
	if (ignored)
		ignored_now |= SIGNAL_BIT(signal);
}

void signal_discard(int signal)
{
	drop_all(&process_pending, signal);
	for (int i = 0; task_nth(i); i++)
		drop_all(&task_nth(i)->signals.pending, signal);
}

uint64_t signal_set_pending(const struct task *task)
{
	return task->signals.pending.signals | process_pending.signals;
}

/* The first task gets what is pending for the process, as in Linux. The others get what it
 * blocks. */
uint64_t signal_set_deliverable(const struct task *task)
{
	const struct task *first;
	uint64_t shared = process_pending.signals;

	/* The answer after almost every system call. */
	if (!(signal_set_pending(task) & ~task->signals.blocked))
		return 0;
	first = task_by_number(LINUX_PID);
	if (first && first != task)
		shared &= first->signals.blocked;
	return (task->signals.pending.signals | shared) & ~task->signals.blocked;
}

bool signal_interrupts(const struct task *task)
{
	return signal_set_deliverable(task) & ~ignored_now;
}

void signal_drop_ignored(void)
{
	struct signal_info info;
	uint64_t ignored;

	while ((ignored = signal_set_deliverable(current) & ignored_now) != 0)
		signal_take(ignored, &info);
}

int signal_take(uint64_t wanted, struct signal_info *info)
{
	uint64_t own = wanted & current->signals.pending.signals;
	struct signal_set *set = own ? &current->signals.pending : &process_pending;
	uint64_t from = own ? own : wanted, faults = from & FAULTS;
	int signal = __builtin_ctzll(faults ? faults : from) + 1;
	struct signal_queued **link = &set->first;

	*info = (struct signal_info){.signal = signal, .code = SIGNAL_USER};
	while (*link && (*link)->info.signal != signal)
		link = &(*link)->next;
	if (*link) {
		*info = (*link)->info;
		drop(link);
	}
	if (!has(set, signal))
		set->signals &= ~SIGNAL_BIT(signal);
	return signal;
}
