/* SPDX-License-Identifier: Apache-2.0 */
/* The front's start, its event loop, its signals and its end. */
#include "pool/front/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pool/common/paths.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"

#define STOP_GRACE_NS (10 * THAW_NS_PER_SEC) /* for requests that run when thawd is stopped */

/* ---- The service manager ---- */

/* Sends TEXT to systemd, if it started this process: a datagram to the socket that it named. */
static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	thaw_autoclose int fd = -1;
	size_t length;

	if (!path || (*path != '/' && *path != '@') ||
	    (length = strlen(path)) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		thaw_log(THAW_LOG_warning, "cannot notify the service manager: %s",
			 strerror(errno));
}

static void announce(struct thaw_front *front)
{
	unsigned serving = 0, all = 0;

	for (struct thaw_function *f = front->functions; f; f = f->next) {
		if (!thaw_function_settled(f))
			return;
		all += !f->gone;
		serving += f->serving != NULL;
	}
	front->announced = true;
	fprintf(stderr, "thawd: serving %u function%s", serving, serving == 1 ? "" : "s");
	if (all > serving)
		fprintf(stderr, ", %u not", all - serving);
	fprintf(stderr, "\n");
	notify("READY=1");
}

/* ---- Signals and the end ---- */

static void stop(struct thaw_front *front)
{
	if (front->stopping)
		return;
	thaw_log(THAW_LOG_info, "stopping");
	notify("STOPPING=1");
	front->stopping = true;
	front->stop_ns = thaw_monotonic_ns() + STOP_GRACE_NS;
	thaw_watch_close(&front->changes);
	for (struct thaw_function *f = front->functions; f; f = f->next)
		thaw_function_stop(f);
}

static void signal_ready(struct thaw_watch *watch, uint32_t events)
{
	struct thaw_front *front = thaw_container_of(watch, struct thaw_front, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP)
		stop(front);
	else if (!front->stopping)
		thaw_registry_scan(front);
}

static int watch_signals(struct thaw_front *front, struct thaw_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	front->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	front->signals.ready = signal_ready;
	if (front->signals.fd < 0 || thaw_watch_begin(front, &front->signals, EPOLLIN) < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot watch signals");
	return 0;
}

static void kill_all(struct thaw_front *front)
{
	thaw_log(THAW_LOG_warning, "some requests did not end in time; ending them now");
	for (struct thaw_function *f = front->functions; f; f = f->next)
		for (struct thaw_child *child = f->children; child; child = child->next)
			thaw_child_kill(child);
	front->stop_ns = 0;
}

/* ---- The loop ---- */

static void tick(struct thaw_front *front)
{
	uint64_t now_ns = thaw_monotonic_ns();
	struct thaw_function **link = &front->functions;

	while (*link) {
		struct thaw_function *function = *link;
		uint64_t due = thaw_function_due(function);

		if (due && now_ns >= due)
			thaw_function_tick(function, now_ns);
		if (function->gone && !function->children) {
			*link = function->next;
			thaw_function_free(function);
		} else {
			link = &function->next;
		}
	}
	if (front->stop_ns && now_ns >= front->stop_ns)
		kill_all(front);
	if (!front->announced && !front->stopping)
		announce(front);
}

static int timeout_ms(const struct thaw_front *front)
{
	uint64_t now_ns = thaw_monotonic_ns(), due = front->stop_ns;

	for (const struct thaw_function *f = front->functions; f; f = f->next) {
		uint64_t one = thaw_function_due(f);

		if (one && (!due || one < due))
			due = one;
	}
	if (!due)
		return -1;
	return due <= now_ns ? 0 : (int)((due - now_ns) / THAW_NS_PER_MS) + 1;
}

static void loop(struct thaw_front *front)
{
	while (!front->stopping || front->functions) {
		struct epoll_event event;
		struct thaw_watch *watch;

		/* One event at a time: a second one could belong to an object that the handler of
		 * the first frees. */
		if (epoll_wait(front->epoll_fd, &event, 1, timeout_ms(front)) == 1) {
			watch = event.data.ptr;
			watch->ready(watch, event.events);
		}
		tick(front);
	}
}

/* ---- The start ---- */

static int open_directories(struct thaw_front *front, struct thaw_error *err)
{
	if (thaw_paths_state(front->options->state, &front->state, err) < 0 ||
	    thaw_paths_run(front->options->run, &front->run, err) < 0 ||
	    thaw_paths_make(front->state, 0700, err) < 0 ||
	    thaw_paths_make(front->run, geteuid() == 0 ? 0750 : 0700, err) < 0 ||
	    thaw_paths_lock(front->run, &front->lock_fd, err) < 0 ||
	    thaw_socket_directory(front, err) < 0)
		return -1;
	if (front->options->image_dir &&
	    thaw_memory_directory(front->options->image_dir, &front->image_dir_fd, err) < 0)
		return -1;
	front->state_fd = open(front->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	front->self_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (front->state_fd < 0 || front->self_fd < 0)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot open %s",
				       front->state_fd < 0 ? front->state : "/proc/self/exe");
	return 0;
}

/* A worker costs the front four descriptors. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void finish(struct thaw_front *front)
{
	thaw_watch_close(&front->signals);
	thaw_watch_close(&front->changes);
	thaw_cleanup_close(&front->epoll_fd);
	thaw_cleanup_close(&front->state_fd);
	thaw_cleanup_close(&front->image_dir_fd);
	thaw_cleanup_close(&front->self_fd);
	/* The lock goes last: until here no other daemon may serve the directory. */
	thaw_cleanup_close(&front->lock_fd);
	free(front->state);
	free(front->run);
}

int thaw_front_run(const struct thaw_front_options *options, struct thaw_error *err)
{
	struct thaw_front front = {.options = options,
				   .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
				   .lock_fd = -1,
				   .state_fd = -1,
				   .image_dir_fd = -1,
				   .self_fd = -1,
				   .signals.fd = -1,
				   .changes.fd = -1};
	int result = -1;

	raise_limits();
	if (front.epoll_fd < 0)
		thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "cannot start");
	else if (open_directories(&front, err) == 0 && watch_signals(&front, err) == 0 &&
		 thaw_registry_open(&front, err) == 0) {
		thaw_registry_scan(&front);
		tick(&front);
		loop(&front);
		result = 0;
	}
	finish(&front);
	return result;
}
