/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random calls about signals by one thread: actions and their flags, masks, alternate stacks, queued
 * signals, and the order and nesting of handlers.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/linux/random/random.h"

#define SIGNALS	  14
#define DEPTH_MAX 4

static int numbers[SIGNALS];
static bool handled[SIGNALS];
static int depth;
static int set_of_epoll;
static char stacks[2][65536];

static int index_of(int signal)
{
	for (int i = 0; i < SIGNALS; i++)
		if (numbers[i] == signal)
			return i;
	return -1;
}

static void print_set(const sigset_t *set)
{
	printf(" ");
	for (int i = 0; i < SIGNALS; i++)
		printf("%d", sigismember(set, numbers[i]));
}

static void draw_set(sigset_t *set)
{
	unsigned often = 1 + draw(8);

	sigemptyset(set);
	for (int i = 0; i < SIGNALS; i++)
		if (draw(often) == 0)
			sigaddset(set, numbers[i]);
}

static void print_mask(void)
{
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	print_set(&set);
}

static void print_stack(void)
{
	stack_t stack;

	sigaltstack(NULL, &stack);
	printf(" stack %d %zu %x\n",
	       stack.ss_sp == stacks[0]	  ? 1
	       : stack.ss_sp == stacks[1] ? 2
	       : stack.ss_sp		  ? 3
					  : 0,
	       stack.ss_size, (unsigned)stack.ss_flags);
}

static int place(const void *local)
{
	for (int i = 0; i < 2; i++)
		if ((const char *)local >= stacks[i] && (const char *)local < stacks[i + 1])
			return i + 1;
	return 0;
}

static void set_action(int which, bool ignore);
static void send(void);
static void change_mask(void);
static void change_stack(void);

static void handle(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	struct sigaction now;
	int which = index_of(signal);

	depth++;
	printf("  handler %d depth %d code %d value %d self %d stack %d", which, depth,
	       info->si_code, info->si_code == SI_QUEUE ? info->si_value.sival_int : 0,
	       info->si_pid == getpid(), place(&user));
	print_mask();
	print_set(&user->uc_sigmask);
	printf(" %x", (unsigned)user->uc_stack.ss_flags);
	print_stack();
	sigaction(signal, NULL, &now);
	if (now.sa_handler == SIG_DFL) {
		printf("  reset\n");
		set_action(which, false);
	}
	if (depth < DEPTH_MAX) {
		if (draw(4) == 0)
			send();
		if (draw(6) == 0)
			change_mask();
		if (draw(6) == 0)
			change_stack();
		if (draw(8) == 0)
			draw_set(&user->uc_sigmask);
	}
	printf("  end %d\n", which);
	depth--;
}

static bool ignored_by_default(int signal)
{
	return signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH;
}

/* Gives the signal a handler with random flags, or ignores it. */
static void set_action(int which, bool ignore)
{
	static const int flags[] = {SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_RESTART, SA_NOCLDSTOP};
	struct sigaction new = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO}, old;
	long result;

	for (size_t i = 0; i < COUNT_OF(flags); i++)
		if (draw(3) == 0)
			new.sa_flags |= flags[i];
	/* The default action must not end the program. */
	if (!ignored_by_default(numbers[which]))
		new.sa_flags &= ~SA_RESETHAND;
	draw_set(&new.sa_mask);
	if (ignore) {
		new.sa_flags = 0;
		new.sa_handler = SIG_IGN;
	}
	handled[which] = !ignore;
	result = sigaction(numbers[which], &new, &old);
	tell("action", which, new.sa_flags, result);
	printf(" %d %x",
	       old.sa_handler == SIG_IGN   ? 1
	       : old.sa_handler == SIG_DFL ? 0
					   : 2,
	       (unsigned)old.sa_flags & ~0x04000000u);
	print_set(&old.sa_mask);
	puts("");
}

static void act(void)
{
	static const int wrong[] = {0, 65, -1, SIGKILL, SIGSTOP};

	if (draw(10) == 0) {
		int signal = wrong[draw(COUNT_OF(wrong))];
		struct sigaction action = {.sa_handler = SIG_IGN};

		tell("wrong action", signal, 0, sigaction(signal, draw(2) ? &action : NULL, NULL));
		return;
	}
	set_action((int)draw(SIGNALS), draw(6) == 0);
}

static void send(void)
{
	int which = (int)draw(SIGNALS), signal = draw(30) ? numbers[which] : (int)draw(3) * 65;
	int pid = getpid(), tid = (int)syscall(SYS_gettid);
	union sigval value = {.sival_int = (int)step};
	siginfo_t info = {.si_code = draw(2) ? SI_QUEUE : -20};

	info.si_value = value;
	switch (draw(6)) {
	case 0:
		tell("kill", which, signal, kill(pid, signal));
		break;
	case 1:
		tell("tkill", which, signal, syscall(SYS_tkill, tid, signal));
		break;
	case 2:
		tell("tgkill", which, signal, syscall(SYS_tgkill, pid, tid, signal));
		break;
	case 3:
		info.si_pid = pid;
		tell("tgqueue", which, signal,
		     syscall(SYS_rt_tgsigqueueinfo, pid, tid, signal, &info));
		break;
	default:
		tell("queue", which, signal, sigqueue(pid, signal, value));
	}
}

static void send_wrong(void)
{
	int pid = getpid(), signal = numbers[draw(SIGNALS)];

	switch (draw(7)) {
	case 0:
		tell("wrong kill", 0, 0, kill(INT32_MAX, signal));
		break;
	case 1:
		tell("wrong tkill", 0, 0, syscall(SYS_tkill, draw(2) ? 0 : -1, signal));
		break;
	case 2:
		tell("wrong tgkill", 0, 0, syscall(SYS_tgkill, pid, draw(2) ? 0 : -1, signal));
		break;
	case 3:
		tell("wrong tgkill", 1, 0, syscall(SYS_tgkill, draw(2) ? 0 : -1, pid, signal));
		break;
	case 4:
		tell("wrong tgkill", 2, 0, syscall(SYS_tgkill, pid, INT32_MAX, signal));
		break;
	case 5:
		tell("wrong queue", 0, 0,
		     syscall(SYS_rt_sigqueueinfo, INT32_MAX, signal, &(siginfo_t){.si_code = -1}));
		break;
	default:
		tell("wrong tgqueue", 0, 0,
		     syscall(SYS_rt_tgsigqueueinfo, draw(2) ? 0 : -1, draw(2) ? 0 : pid, signal,
			     &(siginfo_t){.si_code = -1}));
	}
}

static void change_mask(void)
{
	static const int hows[] = {SIG_BLOCK, SIG_UNBLOCK, SIG_UNBLOCK, SIG_SETMASK, 7};
	int how = hows[draw(COUNT_OF(hows))];
	sigset_t set, old;

	draw_set(&set);
	if (draw(4) == 0)
		sigaddset(&set, SIGKILL);
	sigemptyset(&old);
	tell("mask", how, 0, sigprocmask(how, &set, &old));
	print_set(&set);
	print_set(&old);
	print_mask();
	printf(" %d\n", sigismember(&old, SIGKILL));
}

static void change_stack(void)
{
	static const int flags[] = {
		0, 0, 0, SS_ONSTACK, SS_DISABLE, (int)(1u << 31), 4, (int)(1u << 31) | SS_DISABLE};
	static const size_t sizes[] = {sizeof(stacks[0]), sizeof(stacks[0]), 32768, 0, 1000};
	int which = (int)draw(2);
	stack_t new = {.ss_sp = stacks[which],
		       .ss_flags = flags[draw(COUNT_OF(flags))],
		       .ss_size = sizes[draw(COUNT_OF(sizes))]},
		old = {0};

	tell("stack", which, new.ss_flags, sigaltstack(&new, &old));
	printf(" %zu: %zu %x", new.ss_size, old.ss_size, (unsigned)old.ss_flags);
	print_stack();
}

static void pending(void)
{
	sigset_t set;

	tell("pending", 0, 0, sigpending(&set));
	print_set(&set);
	print_mask();
	puts("");
}

static void take(void)
{
	struct timespec none = {0, draw(10) ? 0 : -1};
	siginfo_t info = {0};
	sigset_t set;
	int result;

	draw_set(&set);
	result = sigtimedwait(&set, &info, &none);
	tell("take", 0, none.tv_nsec, result == -1 ? -1 : index_of(result));
	print_set(&set);
	printf(" %d %d\n", info.si_code, info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
}

/* A wait with a mask of its own, which ends at once or with what the mask lets through. */
static void wait_masked(void)
{
	struct timespec none = {0, 0};
	struct epoll_event event;
	sigset_t set;

	draw_set(&set);
	switch (draw(3)) {
	case 0:
		tell("ppoll", 0, 0, ppoll(NULL, 0, &none, &set));
		break;
	case 1:
		tell("pselect", 0, 0, pselect(0, NULL, NULL, NULL, &none, &set));
		break;
	default:
		tell("epoll", 0, 0, epoll_pwait(set_of_epoll, &event, 1, 0, &set));
	}
	print_set(&set);
	print_mask();
	puts("");
}

/* Only where it ends. */
static void suspend(void)
{
	sigset_t set, waiting;
	bool ends = false;

	draw_set(&set);
	sigpending(&waiting);
	for (int i = 0; i < SIGNALS; i++)
		ends |= handled[i] && sigismember(&waiting, numbers[i]) &&
			!sigismember(&set, numbers[i]);
	if (!ends)
		return;
	tell("suspend", 0, 0, sigsuspend(&set));
	print_mask();
	puts("");
}

static void begin(void)
{
	const int all[SIGNALS] = {SIGHUP,  SIGUSR1,  SIGSEGV,	   SIGUSR2,	SIGPIPE,
				  SIGALRM, SIGTERM,  SIGCHLD,	   SIGURG,	SIGBUS,
				  SIGFPE,  SIGWINCH, SIGRTMIN + 1, SIGRTMIN + 2};
	sigset_t set, none;
	stack_t disabled = {.ss_flags = SS_DISABLE};

	memcpy(numbers, all, sizeof(all));
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	for (int i = 0; i < SIGNALS; i++) {
		signal(numbers[i], SIG_IGN); /* drops what is pending */
		signal(numbers[i], SIG_DFL);
	}
	for (int i = 0; i < SIGNALS; i++)
		set_action(i, false);
	sigaltstack(&disabled, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!set_of_epoll)
		set_of_epoll = epoll_create1(0);
}

int main(void)
{
	static void (*const calls[])(void) = {act,	   send,	 send,	      send,
					      send,	   send,	 send_wrong,  change_mask,
					      change_mask, change_stack, pending,     take,
					      take,	   wait_masked,	 wait_masked, suspend};

	return run_sequences(begin, calls, COUNT_OF(calls), NULL);
}
