/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random sequences of calls over pipes, pairs of sockets, events, timers, epoll sets and signals.
 * Standard input has lines "SEED STEPS"; for each the program prints what every call answered. The
 * sequence depends on the seed alone, and no answer depends on time, so the output is the same
 * natively and as a function.
 *
 * Every file is non-blocking, and no wait has a timeout, so one thread suffices. Sockets are kept
 * nearly empty: how much one holds is a matter of the kernel's accounting, and no promise.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/linux/random/random.h"

#define FIRST 10 /* descriptors of the sequence: FIRST to FIRST + SLOTS - 1 */
#define SLOTS 16
#define SENDS 20 /* messages to a socket until all is taken again */

enum kind { NONE, READ_END, WRITE_END, SOCKET, EVENT, TIMER, SET, KINDS };

static struct slot {
	enum kind kind;
	int sends;
} slots[SLOTS];
static char bytes[70000];

static int find(enum kind kind)
{
	int from = (int)draw(SLOTS);

	for (int i = 0; i < SLOTS; i++)
		if (slots[(from + i) % SLOTS].kind == kind)
			return (from + i) % SLOTS;
	return -1;
}

static int any(void)
{
	int slot = (int)draw(SLOTS);

	for (int i = 0; i < SLOTS; i++, slot = (slot + 1) % SLOTS)
		if (slots[slot].kind != NONE)
			return slot;
	return -1;
}

/* Moves FD to the slot's descriptor. */
static void place(int slot, int fd, enum kind kind)
{
	if (fd < 0 || slot < 0)
		return;
	dup2(fd, FIRST + slot);
	close(fd);
	fcntl(FIRST + slot, F_SETFL, O_NONBLOCK);
	slots[slot] = (struct slot){kind, 0};
}

static void make(void)
{
	int one = find(NONE), fds[2] = {-1, -1};

	if (one < 0)
		return;
	switch (draw(6)) {
	case 0:
	case 1:
		slots[one].kind = KINDS;
		if (find(NONE) < 0 || pipe(fds)) {
			slots[one].kind = NONE;
			return;
		}
		place(one, fds[0], READ_END);
		place(find(NONE), fds[1], WRITE_END);
		break;
	case 2:
		slots[one].kind = KINDS;
		if (find(NONE) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) {
			slots[one].kind = NONE;
			return;
		}
		place(one, fds[0], SOCKET);
		place(find(NONE), fds[1], SOCKET);
		break;
	case 3:
		place(one, eventfd(draw(2), draw(2) ? EFD_SEMAPHORE : 0), EVENT);
		break;
	case 4:
		place(one, timerfd_create(CLOCK_MONOTONIC, 0), TIMER);
		break;
	default:
		place(one, epoll_create1(0), SET);
	}
	tell("make", one, slots[one].kind, 0);
}

static void drop(void)
{
	int slot = any();

	if (slot < 0 || draw(3))
		return;
	slots[slot].kind = NONE;
	tell("close", slot, 0, close(FIRST + slot));
}

static size_t amount(void)
{
	static const unsigned amounts[] = {1, 2, 100, 3000, 4095, 4096, 4097, 10000, 65536, 66000};

	return amounts[draw(sizeof(amounts) / sizeof(amounts[0]))];
}

static void put(void)
{
	int slot = any();
	uint64_t value = draw(20) ? 1 + draw(3) : UINT64_MAX - 1;
	size_t length = amount();

	if (slot < 0)
		return;
	switch (slots[slot].kind) {
	case EVENT:
		tell("write", slot, (int)value, write(FIRST + slot, &value, 8));
		break;
	case SOCKET:
		if (slots[slot].sends++ < SENDS)
			tell("send", slot, 5, send(FIRST + slot, bytes, 5, MSG_NOSIGNAL));
		break;
	case WRITE_END:
		tell("write", slot, (int)length, write(FIRST + slot, bytes, length));
		break;
	default:
		tell("write", slot, 8, write(FIRST + slot, &value, 8));
	}
}

static void get(void)
{
	int slot = any();
	uint64_t value = 0;

	if (slot < 0)
		return;
	if (slots[slot].kind == EVENT || slots[slot].kind == TIMER) {
		tell("read", slot, 8, read(FIRST + slot, &value, 8));
		tell("value", slot, 0, slots[slot].kind == TIMER ? value > 0 : (long)value);
	} else {
		size_t length = slots[slot].kind == SOCKET ? 1 + draw(12) : amount();
		long got = read(FIRST + slot, bytes, length);

		tell("read", slot, (int)length, got);
	}
}

/* Takes all that there is, so that its sender may send again. */
static void drain(void)
{
	int slot = any();
	long total = 0, got;

	if (slot < 0 || (slots[slot].kind != SOCKET && slots[slot].kind != READ_END))
		return;
	while ((got = read(FIRST + slot, bytes, sizeof(bytes))) > 0)
		total += got;
	tell("drain", slot, (int)total, got);
}

/* A timer that is due at once, or never. A periodic one is due again only in an hour. */
static void set_timer(void)
{
	int slot = find(TIMER);
	struct itimerspec when = {.it_interval = {draw(2) ? 3600 : 0, 0}};
	struct timespec moment = {0, 300000};

	if (slot < 0)
		return;
	if (draw(3))
		when.it_value.tv_nsec = 1;
	else if (draw(2))
		when.it_value.tv_sec = 3600;
	tell("timer", slot, (int)when.it_value.tv_nsec,
	     timerfd_settime(FIRST + slot, 0, &when, NULL));
	nanosleep(&moment, NULL);
}

static uint32_t wanted(void)
{
	uint32_t events = 0;

	if (draw(4))
		events |= EPOLLIN;
	if (draw(3) == 0)
		events |= EPOLLOUT;
	if (draw(4) == 0)
		events |= EPOLLRDHUP;
	if (draw(2))
		events |= EPOLLET;
	if (draw(5) == 0)
		events |= EPOLLONESHOT;
	if (draw(12) == 0)
		events |= EPOLLEXCLUSIVE;
	return events;
}

static void control(void)
{
	static const int operations[] = {EPOLL_CTL_ADD,
					 EPOLL_CTL_ADD,
					 EPOLL_CTL_ADD,
					 EPOLL_CTL_MOD,
					 EPOLL_CTL_MOD,
					 EPOLL_CTL_DEL,
					 9};
	int set = draw(30) ? find(SET) : any(), slot = any(), operation = operations[draw(7)];
	struct epoll_event event = {.events = wanted()};

	if (set < 0)
		return;
	event.data.u32 = (uint32_t)slot << 16 | step;
	printf("events %x ", event.events);
	tell(operation == EPOLL_CTL_ADD	  ? "add"
	     : operation == EPOLL_CTL_MOD ? "mod"
					  : "del",
	     set, slot, epoll_ctl(FIRST + set, operation, FIRST + slot, &event));
}

static void wait_set(void)
{
	struct epoll_event out[SLOTS];
	int set = find(SET), max = draw(3) ? SLOTS : 1 + (int)draw(2), count;

	if (set < 0)
		return;
	count = epoll_wait(FIRST + set, out, max, 0);
	tell("wait", set, max, count);
	for (int i = 0; i < count; i++)
		printf("  %x of %u %u\n", out[i].events, out[i].data.u32 >> 16,
		       out[i].data.u32 & 0xffff);
}

static void look(void)
{
	struct pollfd fds[SLOTS];

	for (int i = 0; i < SLOTS; i++)
		fds[i] =
			(struct pollfd){FIRST + i, (short)(draw(2) ? POLLIN | POLLOUT : POLLIN), 0};
	tell("poll", 0, 0, poll(fds, SLOTS, 0));
	for (int i = 0; i < SLOTS; i++)
		printf(" %x", (unsigned)fds[i].revents);
	puts("");
}

static void select_all(void)
{
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].kind != NONE) {
			FD_SET(FIRST + i, &in);
			FD_SET(FIRST + i, &out);
		}
	tell("select", 0, 0, select(FIRST + SLOTS, &in, &out, NULL, &(struct timeval){0, 0}));
	for (int i = 0; i < SLOTS; i++)
		printf(" %d%d", FD_ISSET(FIRST + i, &in) != 0, FD_ISSET(FIRST + i, &out) != 0);
	puts("");
}

static void shut(void)
{
	int slot = find(SOCKET), how = (int)draw(3), error = -1;

	if (slot < 0)
		return;
	if (draw(4) == 0)
		tell("shutdown", slot, how, shutdown(FIRST + slot, how));
	getsockopt(FIRST + slot, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)});
	tell("error", slot, 0, error);
}

static void duplicate(void)
{
	int slot = any(), to = find(NONE);

	if (slot < 0 || to < 0 || draw(3))
		return;
	slots[to] = slots[slot];
	slots[to].sends = SENDS; /* one of them counts */
	tell("dup", slot, to, dup2(FIRST + slot, FIRST + to) == FIRST + to);
}

static void move(void)
{
	int from = any(), to = any();
	size_t length = amount();
	struct iovec vector = {bytes, length};

	if (from < 0 || to < 0 || slots[from].kind == SOCKET || slots[to].kind == SOCKET ||
	    slots[from].kind == TIMER)
		return;
	switch (draw(4)) {
	case 0:
		tell("tee", from, to, tee(FIRST + from, FIRST + to, length, SPLICE_F_NONBLOCK));
		break;
	case 1:
		/* How it shares the pages of a pipe with the program is not told from outside. */
		if (slots[to].kind != WRITE_END)
			tell("vmsplice", to, (int)length,
			     vmsplice(FIRST + to, &vector, 1, SPLICE_F_NONBLOCK));
		break;
	default:
		tell("splice", from, to,
		     splice(FIRST + from, NULL, FIRST + to, NULL, length, SPLICE_F_NONBLOCK));
	}
}

static void left(void)
{
	int slot = any(), count = -1;

	if (slot < 0 || slots[slot].kind == SET || slots[slot].kind == EVENT ||
	    slots[slot].kind == TIMER)
		return;
	tell("left", slot, 0, ioctl(FIRST + slot, FIONREAD, &count));
	printf(" %d\n", count);
}

/* Signals that are queued with a value, and taken. */
static void signals(void)
{
	int number = SIGRTMIN + 4 + (int)draw(3);
	siginfo_t info;
	sigset_t set;

	if (draw(2)) {
		tell("queue", number - SIGRTMIN, 0,
		     sigqueue(getpid(), number, (union sigval){.sival_int = (int)step}));
		return;
	}
	sigemptyset(&set);
	for (int i = 0; i < 3; i++)
		sigaddset(&set, SIGRTMIN + 4 + i);
	memset(&info, 0, sizeof(info));
	tell("take", 0, info.si_code,
	     sigtimedwait(&set, &info, &(struct timespec){0, 0}) == -1 ? -1
								       : info.si_signo - SIGRTMIN);
	printf(" code %d value %d\n", info.si_code, info.si_value.sival_int);
}

static void begin(void)
{
	for (int i = 0; i < SLOTS; i++) {
		close(FIRST + i);
		slots[i].kind = NONE;
	}
}

int main(void)
{
	static void (*const calls[])(void) = {
		make,	    make,  drop,      put,	 put,	  put,	    get,      get,
		get,	    drain, control,   control,	 control, wait_set, wait_set, look,
		select_all, shut,  duplicate, set_timer, move,	  left,	    signals};
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	for (int i = 0; i < 3; i++)
		sigaddset(&set, SIGRTMIN + 4 + i);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return run_sequences(begin, calls, COUNT_OF(calls), NULL);
}
