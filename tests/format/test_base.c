/* SPDX-License-Identifier: Apache-2.0 */
/* The ground that every part of Thaw uses: threads, clocks, positioned transfers, rounding. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/clock.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/base/round.h"
#include "snapshot-format/base/thread.h"

/* ---- Threads ---- */

/* SIGKILL and SIGSTOP cannot be blocked; the C library keeps 32 and 33 for itself. */
static bool can_block(int number)
{
	return number != SIGKILL && number != SIGSTOP && number != 32 && number != 33;
}

/* Gives the test's thread a mask with blocked and unblocked signals, as a caller may have. */
static void set_mask(sigset_t *mask)
{
	sigemptyset(mask);
	sigaddset(mask, SIGUSR1);
	sigaddset(mask, SIGCHLD);
	sigaddset(mask, SIGRTMAX);
	cr_assert_eq(pthread_sigmask(SIG_SETMASK, mask, NULL), 0);
}

static void expect_mask(const sigset_t *expected)
{
	sigset_t now;

	cr_assert_eq(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
	for (int number = 1; number <= SIGRTMAX; number++)
		cr_expect_eq(sigismember(&now, number), sigismember(expected, number), "signal %d",
			     number);
}

static void *read_mask(void *mask)
{
	pthread_sigmask(SIG_SETMASK, NULL, mask);
	return mask;
}

Test(thread, starts_with_every_signal_blocked)
{
	sigset_t before, in_thread;
	void *returned = NULL;
	pthread_t thread;

	sigemptyset(&in_thread);
	set_mask(&before);
	cr_assert_eq(thaw_thread_start(&thread, NULL, read_mask, &in_thread), 0);
	expect_mask(&before);
	cr_assert_eq(pthread_join(thread, &returned), 0);
	cr_expect_eq(returned, &in_thread);
	for (int number = 1; number <= SIGRTMAX; number++)
		if (can_block(number))
			cr_expect(sigismember(&in_thread, number), "signal %d", number);
}

static volatile sig_atomic_t handled_by_us;

static void note_thread(int number)
{
	(void)number;
	handled_by_us = 1;
}

static void *raise_in_process(void *unused)
{
	kill(getpid(), SIGUSR2);
	return unused;
}

/* A signal to the process is handled on the caller's thread, the only one that does not block
 * it. */
Test(thread, a_program_s_handler_runs_on_the_caller)
{
	const struct timespec soon = {.tv_nsec = 1000000};
	pthread_t thread;

	signal(SIGUSR2, note_thread);
	cr_assert_eq(thaw_thread_start(&thread, NULL, raise_in_process, NULL), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	for (int i = 0; i < 1000 && !handled_by_us; i++)
		nanosleep(&soon, NULL);
	cr_expect(handled_by_us);
}

/* No address space has room for this stack, so pthread_create() really fails. */
Test(thread, a_failure_leaves_the_mask)
{
	pthread_attr_t attributes;
	sigset_t before;
	pthread_t thread;
	int error;

	set_mask(&before);
	cr_assert_eq(pthread_attr_init(&attributes), 0);
	cr_assert_eq(pthread_attr_setstacksize(&attributes, SIZE_MAX / 4 / 4096 * 4096), 0);
	error = thaw_thread_start(&thread, &attributes, read_mask, NULL);
	cr_expect(error == EAGAIN || error == ENOMEM, "%d", error);
	expect_mask(&before);
	pthread_attr_destroy(&attributes);
}

static void *own_stack_size(void *size)
{
	pthread_attr_t attributes;

	if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
		pthread_attr_getstacksize(&attributes, size);
		pthread_attr_destroy(&attributes);
	}
	return NULL;
}

Test(thread, attributes_are_used)
{
	pthread_attr_t attributes;
	size_t size = 0;
	pthread_t thread;

	cr_assert_eq(pthread_attr_init(&attributes), 0);
	cr_assert_eq(pthread_attr_setstacksize(&attributes, 3 << 20), 0);
	cr_assert_eq(thaw_thread_start(&thread, &attributes, own_stack_size, &size), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect_eq(size, 3 << 20);
	pthread_attr_destroy(&attributes);
}

/* ---- Clocks ---- */

static uint64_t kernel_ns(clockid_t clock)
{
	struct timespec now;

	cr_assert_eq(clock_gettime(clock, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

Test(clock, each_reads_its_own_kernel_clock_in_nanoseconds)
{
	uint64_t before = kernel_ns(CLOCK_MONOTONIC), now = thaw_monotonic_ns();

	cr_expect(before <= now && now <= kernel_ns(CLOCK_MONOTONIC));
	before = kernel_ns(CLOCK_REALTIME);
	now = thaw_wall_ns();
	/* Nothing sets the clock back while tests run, but NTP may step it a little. */
	cr_expect(now + THAW_NS_PER_SEC >= before && now <= before + 10 * THAW_NS_PER_SEC);
}

Test(clock, the_monotonic_clock_never_goes_back)
{
	uint64_t last = thaw_monotonic_ns();

	for (int i = 0; i < 100000; i++) {
		uint64_t now = thaw_monotonic_ns();

		cr_assert_geq(now, last);
		last = now;
	}
}

/* ---- Positioned transfers ---- */

Test(io, what_is_written_is_read_back)
{
	thaw_autoclose int fd = memfd_create("test", MFD_CLOEXEC);
	char bytes[8] = "";

	cr_assert_eq(thaw_write_at(fd, "abcdef", 6, 3), 6);
	cr_assert_eq(thaw_read_at(fd, bytes, 6, 3), 6);
	cr_expect_str_eq(bytes, "abcdef");
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 0, "the file's own position is left alone");
}

Test(io, a_read_is_short_only_at_the_end)
{
	thaw_autoclose int fd = memfd_create("test", MFD_CLOEXEC);
	char bytes[16];

	cr_assert_eq(thaw_write_at(fd, "abcdef", 6, 0), 6);
	cr_expect_eq(thaw_read_at(fd, bytes, sizeof(bytes), 2), 4);
	cr_expect_eq(thaw_read_at(fd, bytes, sizeof(bytes), 6), 0);
	cr_expect_eq(thaw_read_at(fd, bytes, 0, 0), 0);
}

Test(io, failures_are_told)
{
	int ends[2];
	char byte = 0;

	cr_assert_eq(pipe(ends), 0);
	cr_expect_eq(thaw_read_at(ends[0], &byte, 1, 0), -1);
	cr_expect_eq(errno, ESPIPE);
	cr_expect_eq(thaw_write_at(ends[1], &byte, 1, 0), -1);
	cr_expect_eq(errno, ESPIPE);
}

/* ---- Rounding ---- */

Test(round, to_a_power_of_two)
{
	cr_expect_eq(thaw_round_down(0, 4096), 0);
	cr_expect_eq(thaw_round_down(4095, 4096), 0);
	cr_expect_eq(thaw_round_down(4096, 4096), 4096);
	cr_expect_eq(thaw_round_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
	cr_expect_eq(thaw_round_up(0, 4096), 0);
	cr_expect_eq(thaw_round_up(1, 4096), 4096);
	cr_expect_eq(thaw_round_up(4096, 4096), 4096);
	cr_expect_eq(thaw_round_up(4097, UINT64_C(2) << 20), UINT64_C(2) << 20);
	cr_expect_eq(thaw_round_up(7, 1), 7);
	cr_expect_eq(thaw_round_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
	cr_expect_eq(thaw_round_up(UINT64_MAX - 4094, 4096), 0);
}
