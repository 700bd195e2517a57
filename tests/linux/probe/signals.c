/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: handlers, masks, faults, timers, what they interrupt. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

static sigjmp_buf back;
static volatile sig_atomic_t got, nested;
static volatile uintptr_t where;
static volatile int on_alternate, code;
static char alternate[65536];

static void note(int signal, siginfo_t *info, void *context)
{
	(void)context;
	got = signal;
	code = info->si_code;
	on_alternate =
		(char *)&signal >= alternate && (char *)&signal < alternate + sizeof(alternate);
	if (signal == SIGUSR1)
		raise(SIGUSR2);
}

static void note_nested(int signal)
{
	nested = signal;
}

static void jump(int signal, siginfo_t *info, void *context)
{
	(void)context;
	got = signal;
	code = info->si_code;
	where = (uintptr_t)info->si_addr;
	siglongjmp(back, 1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};

	sigaction(signal, &action, NULL);
}

static void faults(void)
{
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static volatile int zero;

	handle(SIGSEGV, jump, SA_ONSTACK);
	handle(SIGFPE, jump, 0);
	handle(SIGILL, jump, 0);
	if (!sigsetjmp(back, 1))
		*(volatile char *)(page + 5) = 1;
	printf("fault %d %d %d\n", got, code, where == (uintptr_t)(page + 5));
	munmap(page, 4096);
	if (!sigsetjmp(back, 1))
		*(volatile char *)(page + 5) = 1;
	printf("fault %d %d %d\n", got, code, where == (uintptr_t)(page + 5));
	if (!sigsetjmp(back, 1))
		printf("%d\n", 1 / zero);
	printf("fault %d %d\n", got, code);
	if (!sigsetjmp(back, 1))
		__builtin_trap();
	printf("fault %d\n", got);
	signal(SIGSEGV, SIG_DFL);
}

static void masks(void)
{
	sigset_t set, old, pending;
	struct timespec none = {0, 1000000};
	int caught;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	handle(SIGUSR2, note, 0);
	show(sigprocmask(SIG_BLOCK, &set, &old));
	got = 0;
	raise(SIGUSR2);
	sigpending(&pending);
	printf("blocked %d pending %d\n", got, sigismember(&pending, SIGUSR2));
	sigprocmask(SIG_SETMASK, &old, NULL);
	printf("let through %d\n", got);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGUSR2);
	got = 0;
	show(sigwait(&set, &caught));
	printf("waited %d %d\n", caught, got);
	show(sigtimedwait(&set, NULL, &none));
	raise(SIGUSR2);
	show(sigsuspend(&old));
	printf("suspended %d\n", got);
	sigprocmask(SIG_SETMASK, &old, NULL);
	show(sigaction(SIGKILL, &(struct sigaction){.sa_handler = SIG_IGN}, NULL));
}

static void timers(void)
{
	struct itimerval soon = {.it_value = {0, 3000}};
	struct timespec nap = {1, 0}, rest = {0, 0};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
	struct itimerspec when = {.it_value = {0, 2000000}};
	timer_t timer;

	handle(SIGALRM, note, 0);
	got = 0;
	show(setitimer(ITIMER_REAL, &soon, NULL));
	show(nanosleep(&nap, &rest));
	printf("alarm %d, slept less %d\n", got, rest.tv_nsec > 0 && rest.tv_sec == 0);
	show(alarm(100));
	show(alarm(0));
	show(timer_create(CLOCK_MONOTONIC, &event, &timer));
	show(timer_settime(timer, 0, &when, NULL));
	pause();
	printf("timer %d\n", got);
	show(timer_delete(timer));
}

static void *wait_and_kill(void *argument)
{
	usleep(2000);
	pthread_kill(*(pthread_t *)argument, SIGUSR2);
	return NULL;
}

static void interrupted(int flags)
{
	pthread_t self = pthread_self(), other;
	int ends[2];
	char byte;

	if (pipe(ends))
		return;
	handle(SIGUSR2, note, flags);
	pthread_create(&other, NULL, wait_and_kill, &self);
	if (flags & SA_RESTART) {
		usleep(4000);
		show(write(ends[1], "x", 1));
	}
	show(read(ends[0], &byte, 1));
	pthread_join(other, NULL);
	close(ends[0]);
	handle(SIGPIPE, note, 0);
	got = 0;
	show(write(ends[1], "x", 1));
	printf("pipe %d\n", got);
	close(ends[1]);
}

void probe_signals(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)}, old;

	show(sigaltstack(&stack, &old));
	printf("stack %d\n", old.ss_flags);
	handle(SIGUSR1, note, SA_ONSTACK);
	signal(SIGUSR2, note_nested);
	show(raise(SIGUSR1));
	printf("raised %d nested %d alternate %d\n", got, nested, on_alternate);
	show(kill(getpid(), SIGUSR1));
	printf("killed %d code %d\n", got, code);
	show(kill(getpid(), 0));
	show(kill(getpid(), 100));
	faults();
	masks();
	timers();
	interrupted(0);
	interrupted(SA_RESTART);
	signal(SIGPIPE, SIG_IGN);
}
