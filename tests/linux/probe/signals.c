/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: handlers, masks, faults, timers, what they interrupt. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

/* <linux/futex.h>, which musl does not have. */
#define FUTEX_WAIT	  0
#define FUTEX_WAKE	  1
#define FUTEX_WAIT_BITSET 9

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
	int pipe_ends[2];
	char byte;

	if (pipe(pipe_ends))
		return;
	handle(SIGUSR2, note, flags);
	pthread_create(&other, NULL, wait_and_kill, &self);
	if (flags & SA_RESTART) {
		usleep(4000);
		show(write(pipe_ends[1], "x", 1));
	}
	show(read(pipe_ends[0], &byte, 1));
	pthread_join(other, NULL);
	close(pipe_ends[0]);
	handle(SIGPIPE, note, 0);
	got = 0;
	show(write(pipe_ends[1], "x", 1));
	printf("pipe %d\n", got);
	close(pipe_ends[1]);
}

/* ---- What a signal interrupts, and what starts again after a handler with SA_RESTART ---- */

static int ends[2];	 /* a pipe or a pair of sockets */
static uint32_t word;	 /* a futex */
static pthread_t waiter; /* the thread that the signal interrupts */

static void fill(int fd)
{
	static char zeros[4096];

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (size_t size = sizeof(zeros); size > 0; size /= 2)
		while (write(fd, zeros, size) > 0)
			;
	fcntl(fd, F_SETFL, 0);
}

static void drain(void)
{
	static char all[1 << 20];

	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while (read(ends[0], all, sizeof(all)) > 0)
		;
}

static void put(void)
{
	if (write(ends[1], "12345678", 8) != 8)
		perror("write");
}

static void wake(void)
{
	word = 1;
	syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void nothing(void)
{
}

/* In case the first signal came before the wait. */
static void again(void)
{
	pthread_kill(waiter, SIGUSR2);
}

static char bytes[8];
static struct iovec vector = {bytes, sizeof(bytes)};
static struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
static const struct timespec second = {1, 0};

static long do_read(void)
{
	return read(ends[0], bytes, sizeof(bytes));
}

static long do_readv(void)
{
	return readv(ends[0], &vector, 1);
}

static long do_preadv2(void)
{
	return syscall(SYS_preadv2, ends[0], &vector, 1, -1L, -1L, 0);
}

static long do_recvfrom(void)
{
	return recv(ends[0], bytes, sizeof(bytes), 0);
}

static long do_recvmsg(void)
{
	return recvmsg(ends[0], &message, 0);
}

static long do_write(void)
{
	return write(ends[1], bytes, 1);
}

static long do_writev(void)
{
	return writev(ends[1], &vector, 1);
}

static long do_pwritev2(void)
{
	return syscall(SYS_pwritev2, ends[1], &vector, 1, -1L, -1L, 0);
}

static long do_sendfile(void)
{
	int file = memfd_create("one", 0);
	long result;

	if (write(file, "x", 1) != 1)
		perror("write");
	lseek(file, 0, SEEK_SET);
	errno = 0;
	result = sendfile(ends[1], file, NULL, 1);
	close(file);
	return result;
}

static long do_sendto(void)
{
	return send(ends[1], bytes, sizeof(bytes), 0);
}

static long do_sendmsg(void)
{
	return sendmsg(ends[1], &message, 0);
}

static long do_futex(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long do_futex_timeout(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &second, NULL, 0);
}

static long do_futex_deadline(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &until, NULL, -1);
}

static long do_poll(void)
{
	struct pollfd one = {ends[0], POLLIN, 0};

	return poll(&one, 1, 1000);
}

static long do_select(void)
{
	struct timeval timeout = {1, 0};

	return select(0, NULL, NULL, NULL, &timeout);
}

static long do_epoll_wait(void)
{
	struct epoll_event event;
	int set = epoll_create1(0);
	long result = epoll_wait(set, &event, 1, 1000);

	close(set);
	return result;
}

static long do_nanosleep(void)
{
	return nanosleep(&second, NULL);
}

static long do_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	return sigtimedwait(&set, NULL, &second);
}

static long do_pause(void)
{
	return pause();
}

static const struct wait {
	enum { PIPE, FULL_PIPE, SOCKETS, FULL_SOCKETS, NEITHER } kind;
	long (*call)(void);
	void (*end)(void); /* lets the call return */
} waits[] = {
	{PIPE, do_read, put},
	{PIPE, do_readv, put},
	{PIPE, do_preadv2, put},
	{SOCKETS, do_read, put},
	{SOCKETS, do_recvfrom, put},
	{SOCKETS, do_recvmsg, put},
	{FULL_PIPE, do_write, drain},
	{FULL_PIPE, do_writev, drain},
	{FULL_PIPE, do_pwritev2, drain},
	{FULL_PIPE, do_sendfile, drain},
	{FULL_SOCKETS, do_sendto, drain},
	{FULL_SOCKETS, do_sendmsg, drain},
	{NEITHER, do_futex, wake},
	{NEITHER, do_futex_timeout, wake},
	{NEITHER, do_futex_deadline, wake},
	{PIPE, do_poll, put},
	{NEITHER, do_select, nothing},
	{NEITHER, do_epoll_wait, nothing},
	{NEITHER, do_nanosleep, nothing},
	{NEITHER, do_sigtimedwait, nothing},
	{NEITHER, do_pause, again},
};

static void *interrupt_and_end(void *argument)
{
	const struct wait *wait = argument;

	usleep(6000);
	pthread_kill(waiter, SIGUSR2);
	usleep(6000);
	wait->end();
	return NULL;
}

static void wait_once(const struct wait *wait)
{
	pthread_t other;

	ends[0] = ends[1] = -1;
	if (wait->kind == PIPE || wait->kind == FULL_PIPE)
		show(pipe(ends));
	if (wait->kind == SOCKETS || wait->kind == FULL_SOCKETS)
		show(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	if (wait->kind == FULL_PIPE || wait->kind == FULL_SOCKETS)
		fill(ends[1]);
	word = 0;
	got = 0;
	waiter = pthread_self();
	pthread_create(&other, NULL, interrupt_and_end, (void *)(uintptr_t)wait);
	show(wait->call());
	pthread_join(other, NULL);
	show(got);
	close(ends[0]);
	close(ends[1]);
}

static void restarts(void)
{
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		show(i);
		handle(SIGUSR2, note, 0);
		wait_once(&waits[i]);
		handle(SIGUSR2, note, SA_RESTART);
		wait_once(&waits[i]);
	}
}

/* A handler's stack that cannot be written is a fault, which another stack may handle. */
static void no_room(void)
{
	stack_t stack = {.ss_size = 65536}, old;

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	show(sigaltstack(&stack, &old));
	handle(SIGUSR2, note, SA_ONSTACK);
	handle(SIGSEGV, note, 0);
	got = 0;
	raise(SIGUSR2);
	printf("no room %d %d\n", got, code);
	got = 0;
	mprotect(stack.ss_sp, stack.ss_size, PROT_READ | PROT_WRITE);
	raise(SIGUSR2);
	printf("room %d\n", got);
	show(sigaltstack(&old, NULL));
	munmap(stack.ss_sp, stack.ss_size);
	signal(SIGSEGV, SIG_DFL);
}

/* An ignored signal that a call unblocks does not end that call. */
static void ignored(void)
{
	struct itimerval alarm_soon = {.it_value = {0, 3000}};
	struct timespec soon = {0, 2000000};
	sigset_t set, old, none;

	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	handle(SIGALRM, note, 0);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, &old);
	raise(SIGCHLD);
	show(ppoll(NULL, 0, &soon, &none));
	raise(SIGCHLD);
	got = 0;
	setitimer(ITIMER_REAL, &alarm_soon, NULL);
	show(sigsuspend(&none));
	printf("suspended %d\n", got);
	handle(SIGCHLD, note, 0);
	got = 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	printf("dropped %d\n", got);
	signal(SIGCHLD, SIG_DFL);
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
	restarts();
	ignored();
	no_room();
	signal(SIGPIPE, SIG_IGN);
}
