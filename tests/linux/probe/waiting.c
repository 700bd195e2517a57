/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, poll, select, events and epoll. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

static void *write_later(void *argument)
{
	usleep(2000);
	if (write(*(int *)argument, "later", 5) != 5)
		perror("write");
	return NULL;
}

static void pipes(void)
{
	static char large[70000];
	char text[16];
	int ends[2], left;
	pthread_t other;

	show(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
	show(read(ends[0], text, sizeof(text)));
	show(write(ends[1], large, sizeof(large)));
	show(ioctl(ends[0], FIONREAD, &left));
	printf("left %d\n", left);
	show(write(ends[1], large, 1));
	show(read(ends[0], large, sizeof(large)));
	show(lseek(ends[0], 0, SEEK_SET));
	show(pread(ends[0], text, 1, 0));
	show(write(ends[0], text, 1));
	show(read(ends[1], text, 1));
	show(fcntl(ends[0], F_SETFL, 0));
	pthread_create(&other, NULL, write_later, &ends[1]);
	show(read(ends[0], text, sizeof(text)));
	pthread_join(other, NULL);
	show(close(ends[1]));
	show(read(ends[0], text, sizeof(text)));
	show(close(ends[0]));
	show(close(ends[0]));
	show(pipe2(ends, 0x10));
	show(syscall(SYS_pipe, 8));
}

static void polls(void)
{
	int ends[2];
	pthread_t other;
	struct timeval soon = {0, 1000};
	fd_set set;

	show(pipe(ends));
	struct pollfd fds[] = {
		{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {900, POLLIN, 0}, {-1, POLLIN, 0}};

	show(poll(fds, 4, 0));
	printf("events %d %d %d %d\n", fds[0].revents, fds[1].revents, fds[2].revents,
	       fds[3].revents);
	show(poll(fds, 1, 2));
	pthread_create(&other, NULL, write_later, &ends[1]);
	show(poll(fds, 1, -1));
	pthread_join(other, NULL);
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	show(select(ends[1] + 1, &set, NULL, NULL, NULL));
	show(FD_ISSET(ends[0], &set));
	FD_ZERO(&set);
	show(select(0, NULL, NULL, NULL, &soon));
	close(ends[1]);
	show(poll(fds, 1, 0));
	printf("events %d\n", fds[0].revents);
	close(ends[0]);
	FD_SET(ends[0], &set);
	show(select(ends[0] + 1, &set, NULL, NULL, NULL));
}

static void events(void)
{
	uint64_t value = 3;
	int event = eventfd(2, EFD_NONBLOCK), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);

	show(write(event, &value, 8));
	show(read(event, &value, 8));
	show(value);
	show(read(event, &value, 8));
	show(read(event, &value, 4));
	show(read(semaphore, &value, 8));
	show(value);
	show(read(semaphore, &value, 8));
	show(read(semaphore, &value, 8));
	value = UINT64_MAX;
	show(write(event, &value, 8));
	close(event);
	close(semaphore);
}

static void sets(void)
{
	struct itimerspec when = {{0, 0}, {0, 2000000}};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77}, out[4];
	int set = epoll_create1(EPOLL_CLOEXEC), pair[2], timer = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t count;
	char text[8];

	show(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	show(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event));
	show(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event));
	show(epoll_wait(set, out, 4, 0));
	show(send(pair[1], "abc", 3, 0));
	show(epoll_wait(set, out, 4, -1));
	printf("event %u %lu\n", out[0].events, (unsigned long)out[0].data.u64);
	show(recv(pair[0], text, sizeof(text), MSG_PEEK));
	show(recv(pair[0], text, sizeof(text), 0));
	show(recv(pair[0], text, sizeof(text), 0));
	event.events = EPOLLIN | EPOLLET;
	show(epoll_ctl(set, EPOLL_CTL_MOD, pair[0], &event));
	show(send(pair[1], "d", 1, 0));
	show(epoll_wait(set, out, 4, 0));
	show(epoll_wait(set, out, 4, 0));
	show(epoll_ctl(set, EPOLL_CTL_DEL, pair[0], NULL));
	show(epoll_ctl(set, EPOLL_CTL_DEL, pair[0], NULL));
	event.events = EPOLLIN;
	show(timerfd_settime(timer, 0, &when, NULL));
	show(epoll_ctl(set, EPOLL_CTL_ADD, timer, &event));
	show(epoll_wait(set, out, 4, -1));
	show(read(timer, &count, 8));
	show(count);
	show(epoll_wait(set, out, 4, 1));
	show(shutdown(pair[1], SHUT_WR));
	show(recv(pair[0], text, sizeof(text), 0));
	show(recv(pair[0], text, sizeof(text), 0));
	close(pair[1]);
	show(send(pair[0], "e", 1, MSG_NOSIGNAL));
	close(pair[0]);
	close(timer);
	close(set);
}

static void add(int set, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	show(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

/* Time alone ends these waits: first that of a timer in a set within a set, and then, when the
 * timer has been reported, the wait's own timeout. */
static void timers_in_sets(void)
{
	struct itimerspec when = {{0, 0}, {0, 2000000}};
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	int inner = epoll_create1(0), outer = epoll_create1(0);
	struct pollfd one = {.fd = outer, .events = POLLIN};
	struct epoll_event out;

	add(inner, timer, EPOLLIN | EPOLLET);
	add(outer, inner, EPOLLIN);
	show(timerfd_settime(timer, 0, &when, NULL));
	show(epoll_wait(outer, &out, 1, -1));
	show(timerfd_settime(timer, 0, &when, NULL));
	show(poll(&one, 1, -1));
	show(epoll_wait(inner, &out, 1, -1));
	show(epoll_wait(inner, &out, 1, 2));
	show(poll(&one, 1, 2));
	close(timer);
	close(inner);
	close(outer);
}

/* Unix sockets at whose paths no process listens. */
static void sockets(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd one = {.fd = fd, .events = POLLIN | POLLOUT};
	struct stat status;
	char byte;

	show(fd >= 0);
	show(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/exe");
	show(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	show(connect(fd, (struct sockaddr *)&address, 1));
	show(connect(fd, (struct sockaddr *)&address, sizeof(address) + 1));
	address.sun_family = AF_INET;
	show(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	show(poll(&one, 1, 0));
	show(one.revents);
	show(read(fd, &byte, 1));
	show(send(fd, "x", 1, MSG_NOSIGNAL));
	show(getpeername(fd, (struct sockaddr *)&address, &(socklen_t){sizeof(address)}));
	show(fstat(fd, &status));
	show(S_ISSOCK(status.st_mode));
	show(close(fd));
	show(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

void probe_waiting(void)
{
	sockets();
	pipes();
	polls();
	events();
	sets();
	timers_in_sets();
}
