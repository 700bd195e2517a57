/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals on their way to the program: handlers, default actions, and the system calls about them.
 * All signals come from the program itself, from its timers and from its faults, since there is no
 * other process.
 */
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/futex.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/memory.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/signal/signals.h"
#include "guest-stub/linux/task/task.h"
#include "guest-stub/linux/task/time.h"
#include "guest-stub/linux/task/timers.h"

/* Can be neither blocked nor caught nor ignored. */
#define UNSTOPPABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

#define SIG_DFL_    0ul
#define SIG_IGN_    1ul

static struct signal_action actions[SIGNAL_COUNT];

static void set_handler(int signal, uint64_t handler)
{
	bool by_default = SIGNALS_IGNORED_BY_DEFAULT & SIGNAL_BIT(signal);

	actions[signal].handler = handler;
	signal_ignore(signal, handler == SIG_IGN_ || (handler == SIG_DFL_ && by_default));
}

_Noreturn static void die(int signal)
{
	host_log("thaw: the program was ended by signal %d", signal);
	host_end(128 + signal);
}

static void enter(struct registers *registers, const struct signal_cause *cause);

/* The stack has no room for the frame of SIGNAL: a fault, which may have a handler on another stack. */
static void no_room(struct registers *registers, int signal)
{
	const struct signal_cause fault = {
		.signal = SIGSEGV, .code = SIGNAL_KERNEL, .vector = UINT32_MAX};

	if (signal == SIGSEGV || actions[SIGSEGV].handler <= SIG_IGN_ ||
	    current->signals.blocked & SIGNAL_BIT(SIGSEGV)) {
		host_log("thaw: no room on the stack for a signal's frame");
		die(SIGSEGV);
	}
	enter(registers, &fault);
}

/* Enters the handler of SIGNAL. */
static void enter(struct registers *registers, const struct signal_cause *cause)
{
	struct signal_action *action = &actions[cause->signal];
	struct task_signals *signals = &current->signals;
	uint64_t blocked = signals->restore_mask ? signals->suspended : signals->blocked;

	if (!signal_frame_build(registers, action, cause, blocked)) {
		no_room(registers, cause->signal);
		return;
	}
	signals->restore_mask = false;
	signals->blocked |= action->mask;
	if (!(action->flags & SA_NODEFER))
		signals->blocked |= SIGNAL_BIT(cause->signal);
	signals->blocked &= ~UNSTOPPABLE;
	if (action->flags & SA_RESETHAND)
		set_handler(cause->signal, SIG_DFL_);
}

/*
 * Whether a call that a signal interrupted starts again after a handler with SA_RESTART: signal(7).
 * Sockets do so as long as they have no timeout, and here none has. A futex with a timeout, poll,
 * select, epoll_wait, sleeps and the waits for signals report the interruption instead. Other calls
 * never wait.
 */
static bool call_restarts(const struct registers *registers, uint64_t number)
{
	switch (number) {
	case __NR_read:
	case __NR_readv:
	case __NR_preadv2:
	case __NR_write:
	case __NR_writev:
	case __NR_pwritev2:
	case __NR_sendfile:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_sendto:
	case __NR_sendmsg:
		return true;
	case __NR_futex:
		return registers->r10 == 0;
	default:
		return false;
	}
}

/* The C library takes any failure of these for the program's error. */
static bool call_always_restarts(const struct registers *registers, uint64_t number)
{
	int command = (int)registers->rsi & FUTEX_CMD_MASK;

	return number == __NR_futex && (command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2);
}

/* Points REGISTERS at the interrupted call again, if the handler's flags and the call allow it. */
static void restart(struct registers *registers, uint64_t number,
		    const struct signal_action *action)
{
	if ((long)registers->rax != -EINTR)
		return;
	if (!call_always_restarts(registers, number) &&
	    !(action->flags & SA_RESTART && call_restarts(registers, number)))
		return;
	registers->rax = number;
	registers->rip -= 2;
}

bool signal_deliver(struct registers *registers, uint64_t number)
{
	struct task_signals *signals = &current->signals;
	bool changed = false;
	uint64_t wanted;

	/* A call that was not interrupted gives its mask up before any signal comes. */
	if (signals->restore_mask && (long)registers->rax != -EINTR) {
		signals->restore_mask = false;
		signals->blocked = signals->suspended;
	}
	while ((wanted = signal_set_deliverable(current)) != 0) {
		struct signal_cause cause = {.vector = UINT32_MAX};

		cause.signal = signal_take(wanted, &cause.info);
		cause.code = cause.info.code;
		timers_delivered(&cause.info);
		if (signal_is_ignored(cause.signal))
			continue;
		if (actions[cause.signal].handler == SIG_DFL_)
			die(cause.signal);
		if (!changed)
			restart(registers, number, &actions[cause.signal]);
		enter(registers, &cause);
		changed = true;
	}
	if (signals->restore_mask) {
		signals->restore_mask = false;
		signals->blocked = signals->suspended;
		/* Signals that only the call's own mask held back. */
		if (signal_set_deliverable(current))
			return signal_deliver(registers, number) || changed;
	}
	return changed;
}

void signal_fault(struct registers *registers, int signal, uint32_t vector, uint64_t address)
{
	struct signal_cause cause = {
		.signal = signal, .code = SIGNAL_KERNEL, .address = address, .vector = vector};
	const struct mapping *mapping = memory_at_or_above(address);

	if (signal < 1 || signal >= SIGNAL_COUNT)
		cause.signal = signal = SIGSEGV;
	if (signal == SIGSEGV && vector == 14)
		cause.code =
			mapping && mapping->start <= address ? 2 : 1; /* SEGV_ACCERR, _MAPERR */
	else if (signal == SIGBUS && vector == 14)
		cause.code = 2; /* BUS_ADRERR: behind the end of a mapped file */
	else if (signal == SIGFPE)
		cause.code = 1; /* FPE_INTDIV */
	else if (signal == SIGTRAP || signal == SIGILL)
		cause.code = signal == SIGILL ? 2 : SIGNAL_KERNEL; /* ILL_ILLOPN */
	if (signal == SIGFPE || signal == SIGILL)
		cause.address = registers->rip;
	if (actions[signal].handler <= SIG_IGN_ || current->signals.blocked & SIGNAL_BIT(signal)) {
		host_log("thaw: signal %d at %#lx (address %#lx, stack %#lx)", signal,
			 registers->rip, address, registers->rsp);
		die(signal);
	}
	enter(registers, &cause);
}

void signal_mask_for_call(uint64_t mask)
{
	struct task_signals *signals = &current->signals;

	if (!signals->restore_mask)
		signals->suspended = signals->blocked;
	signals->restore_mask = true;
	signals->blocked = mask & ~UNSTOPPABLE;
}

long sys_rt_sigaction(const uint64_t *a)
{
	int signal = (int)a[0];
	struct signal_action new;

	if (signal < 1 || signal >= SIGNAL_COUNT || a[3] != 8)
		return -EINVAL;
	if (a[1] && SIGNAL_BIT(signal) & UNSTOPPABLE)
		return -EINVAL;
	if (a[1] && user_get(&new, a[1], sizeof(new)))
		return -EFAULT;
	if (a[2] && user_put(a[2], &actions[signal], sizeof(new)))
		return -EFAULT;
	if (!a[1])
		return 0;
	actions[signal] = new;
	set_handler(signal, new.handler);
	/* A handler that resets itself (SA_RESETHAND) discards nothing. */
	if (signal_is_ignored(signal))
		signal_discard(signal);
	return 0;
}

static bool change_mask(uint64_t *blocked, int how, uint64_t set)
{
	switch (how) {
	case SIG_BLOCK:
		*blocked |= set;
		return true;
	case SIG_UNBLOCK:
		*blocked &= ~set;
		return true;
	case SIG_SETMASK:
		*blocked = set;
		return true;
	default:
		return false;
	}
}

long sys_rt_sigprocmask(const uint64_t *a)
{
	uint64_t *blocked = &current->signals.blocked, old = *blocked, set;

	if (a[3] != 8)
		return -EINVAL;
	if (a[1] && user_get(&set, a[1], sizeof(set)))
		return -EFAULT;
	if (a[1] && !change_mask(blocked, (int)a[0], set & ~UNSTOPPABLE))
		return -EINVAL;
	/* As in Linux, the mask has changed even if this fails. */
	return a[2] ? user_put(a[2], &old, sizeof(old)) : 0;
}

long sys_rt_sigpending(const uint64_t *a)
{
	uint64_t pending = signal_set_pending(current) & current->signals.blocked;

	return a[1] > 8 ? -EINVAL : user_put(a[0], &pending, a[1]);
}

long sys_rt_sigsuspend(const uint64_t *a)
{
	uint64_t mask;

	if (a[1] != 8)
		return -EINVAL;
	if (user_get(&mask, a[0], sizeof(mask)))
		return -EFAULT;
	signal_mask_for_call(mask);
	task_wait(task_never, NULL, 0);
	return -EINTR;
}

long sys_pause(const uint64_t *a)
{
	(void)a;
	task_wait(task_never, NULL, 0);
	return -EINTR;
}

struct awaited {
	const struct task *task;
	uint64_t set;
};

static bool has_awaited(void *context)
{
	const struct awaited *awaited = context;

	return signal_set_pending(awaited->task) & awaited->set;
}

long sys_rt_sigtimedwait(const uint64_t *a)
{
	struct awaited awaited = {.task = current};
	uint64_t deadline_ns = 0;
	struct signal_info taken;
	siginfo_t info;
	long error = 0;

	if (a[3] != 8)
		return -EINVAL;
	if (user_get(&awaited.set, a[0], 8))
		return -EFAULT;
	awaited.set &= ~UNSTOPPABLE;
	if (a[2])
		error = time_deadline(a[2], false, false, &deadline_ns);
	if (!error)
		error = task_wait(has_awaited, &awaited, deadline_ns);
	if (error)
		return error == -ETIMEDOUT ? -EAGAIN : error;
	signal_take(signal_set_pending(current) & awaited.set, &taken);
	timers_delivered(&taken);
	signal_info_write(&info, &taken);
	if (a[1] && user_put(a[1], &info, sizeof(info)))
		return -EFAULT;
	return taken.signal;
}

static long send(int signal, struct task *task, int code)
{
	if (signal < 0 || signal >= SIGNAL_COUNT)
		return -EINVAL;
	if (signal)
		signal_raise(signal, task, code);
	return 0;
}

/* It is there, but the program may not signal it. */
static long send_to_parent(int signal)
{
	if (signal < 0 || signal >= SIGNAL_COUNT)
		return -EINVAL;
	return signal == 0 && config.uid == 0 ? 0 : -EPERM;
}

long sys_kill(const uint64_t *a)
{
	int pid = (int)a[0];

	if (pid == LINUX_PARENT)
		return send_to_parent((int)a[1]);
	/* The program is alone in its process group. */
	if (pid != 0 && pid != -1 && !task_is_process(pid < 0 ? (int)-(unsigned)pid : pid)) {
		log_once(LOG_KEY_SIGNAL, "refused: signal %d to process %d: there is none (ESRCH)",
			 (int)a[1], pid);
		return -ESRCH;
	}
	return send((int)a[1], NULL, SIGNAL_USER);
}

long sys_tkill(const uint64_t *a)
{
	struct task *task = task_by_tid((int)a[0]);

	if ((int)a[0] <= 0)
		return -EINVAL;
	return task ? send((int)a[1], task, SIGNAL_TKILL) : -ESRCH;
}

long sys_tgkill(const uint64_t *a)
{
	struct task *task = task_is_process((int)a[0]) ? task_by_tid((int)a[1]) : NULL;

	if ((int)a[0] <= 0 || (int)a[1] <= 0)
		return -EINVAL;
	return task ? send((int)a[2], task, SIGNAL_TKILL) : -ESRCH;
}

/* Queues SIGNAL with the siginfo at ADDRESS. To the program itself it may say what it likes. */
static long queue(int signal, struct task *task, uint64_t address)
{
	struct signal_info info = {.signal = signal};
	int32_t from[8];

	if (user_get(from, address, sizeof(from)))
		return -EFAULT;
	if (signal < 0 || signal >= SIGNAL_COUNT)
		return -EINVAL;
	if (!signal)
		return 0;
	info.code = from[2];
	info.of[0] = from[4];
	info.of[1] = from[5];
	memcpy(&info.value, &from[6], sizeof(info.value));
	return signal_queue(&info, task);
}

long sys_rt_sigqueueinfo(const uint64_t *a)
{
	if ((int)a[0] == LINUX_PARENT)
		return send_to_parent((int)a[1]);
	return task_is_process((int)a[0]) ? queue((int)a[1], NULL, a[2]) : -ESRCH;
}

long sys_rt_tgsigqueueinfo(const uint64_t *a)
{
	struct task *task = task_is_process((int)a[0]) ? task_by_tid((int)a[1]) : NULL;

	if ((int)a[0] <= 0 || (int)a[1] <= 0)
		return -EINVAL;
	return task ? queue((int)a[2], task, a[3]) : -ESRCH;
}
