/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process backend's filter: all that a guest in a sealed process can ask of the kernel.
 *
 * guest_filter_generate.c compiles it while Thaw is built, because libseccomp takes as long for it
 * as the kernel takes to start the guest's process. The engine has only the result.
 *
 * Hostile code runs under this filter with every register of its choosing. So judge a line by what
 * it lets such code do, not by what the shim does with it. Any other call raises SIGSYS: the shim
 * reports the call, and the guest is ended. A foreign architecture or an x32 number kills at once.
 *
 * No line allows rt_sigreturn. The shim's signal handler does without it, and a frame that a guest
 * made would set the signal stack and the signal mask, which cannot be restored from outside.
 *
 * No line can bound the end of a range, because a filter cannot add. So a guest can unmap or
 * overwrite its own shim and mailbox from below. It hurts only itself: nothing of another clone is
 * mapped in it, and code that it makes executable runs under this same filter.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/jail/guest_filter_table.h"
#include "engine/jail/internal.h"
#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"

/* The kernel's numbers. The private variants and the requeue operations have other numbers, and are
 * refused. */
#define FUTEX_WAIT_SHARED    0
#define FUTEX_WAKE_SHARED    1
#define MEMORY_FD	     3	/* the booting guest's one descriptor */
#define MADV_POPULATE_READ_  22 /* newer than some headers, as is the next */
#define MADV_POPULATE_WRITE_ 23
#define SET_DISPATCH	     59 /* PR_SET_SYSCALL_USER_DISPATCH, newer than some headers */

#define CLONE		     (1u << THAW_GUEST_FILTER_CLONE)
#define BOOT		     (1u << THAW_GUEST_FILTER_BOOT)
#define BOTH		     (CLONE | BOOT)
#define ALLOW(call, profiles, reason, ...)                                                         \
	{                                                                                          \
#call, SCMP_SYS(call), profiles, SCMP_ACT_ALLOW, reason,                           \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define IS(argument, value)                                                                        \
	{                                                                                          \
		argument, SCMP_CMP_EQ, value, 0                                                    \
	}
/* Descriptors and ids are ints to the kernel, which drops the upper half. The comparison drops it
 * too. */
#define IS_INT(argument, value)                                                                    \
	{                                                                                          \
		argument, SCMP_CMP_MASKED_EQ, 0xffffffffu, (uint32_t)(value)                       \
	}
#define IN_REGION(argument)                                                                        \
	{                                                                                          \
		argument, SCMP_CMP_LT, THAW_REGION_END, 0                                          \
	}

/* Fresh zeroed pages at a fixed place, which RLIMIT_AS counts. No descriptor, nothing shared, no
 * stack that grows by itself, no huge pages, no locking. The protections are enumerated; none is
 * writable and executable together. */
#define ALLOW_CLONE_MMAP(prot, reason)                                                             \
	ALLOW(mmap, CLONE, reason, IN_REGION(0), IS(2, prot),                                      \
	      IS(3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), IS_INT(4, -1))
/* A boot writes straight into the memory file, so that the capture copies nothing. */
#define ALLOW_BOOT_MMAP(prot, reason)                                                              \
	ALLOW(mmap, BOOT, reason, IN_REGION(0), IS(2, prot), IS(3, MAP_SHARED | MAP_FIXED),        \
	      IS_INT(4, MEMORY_FD))
#define ALLOW_MPROTECT(prot, reason) ALLOW(mprotect, BOTH, reason, IN_REGION(0), IS(2, prot))

/* clang-format off */
static const struct thaw_filter_line lines[] = {
	ALLOW(futex, BOTH, "waits for its turn on the mailbox", IS(1, FUTEX_WAIT_SHARED)),
	ALLOW(futex, BOTH, "hands the turn to the host", IS(1, FUTEX_WAKE_SHARED)),

	ALLOW_CLONE_MMAP(PROT_NONE, "shim call map: inaccessible pages"),
	ALLOW_CLONE_MMAP(PROT_READ, "shim call map: read-only pages"),
	ALLOW_CLONE_MMAP(PROT_READ | PROT_WRITE, "shim call map: data"),
	ALLOW_CLONE_MMAP(PROT_READ | PROT_EXEC, "shim call map: code"),
	ALLOW_BOOT_MMAP(PROT_NONE, "shim call map: inaccessible pages of the memory file"),
	ALLOW_BOOT_MMAP(PROT_READ, "shim call map: read-only pages of the memory file"),
	ALLOW_BOOT_MMAP(PROT_READ | PROT_WRITE, "shim call map: data in the memory file"),
	ALLOW_BOOT_MMAP(PROT_READ | PROT_EXEC, "shim call map: code in the memory file"),
	ALLOW_MPROTECT(PROT_NONE, "shim call protect"),
	ALLOW_MPROTECT(PROT_READ, "shim call protect"),
	ALLOW_MPROTECT(PROT_READ | PROT_WRITE, "shim call protect"),
	ALLOW_MPROTECT(PROT_READ | PROT_EXEC, "shim call protect"),
	ALLOW(munmap, BOTH, "shim call unmap; a new clone unmaps the other mailboxes; it can only "
	      "hurt itself"),
	ALLOW(madvise, BOOT, "shim call unmap: gives blocks of the memory file back, so that they "
	      "read as zero later", IN_REGION(0), IS(2, MADV_REMOVE)),
	ALLOW(madvise, CLONE, "a new clone prefaults pages that invocations write, within what it "
	      "has mapped", IN_REGION(0), IS(2, MADV_POPULATE_WRITE_)),
	ALLOW(madvise, CLONE, "a new clone prefaults pages that invocations read", IN_REGION(0),
	      IS(2, MADV_POPULATE_READ_)),
	/* A shared mapping that grows would show the neighbour's mailbox, which follows in the
	 * file, and an old length of zero would duplicate a mapping. So both lengths are fixed to
	 * that of one mailbox, and the call can only move it. */
	ALLOW(mremap, CLONE, "a new clone moves its mailbox to its place; never longer than one "
	      "mailbox", IS(1, THAW_MAILBOX_SIZE), IS(2, THAW_MAILBOX_SIZE),
	      IS(3, MREMAP_MAYMOVE | MREMAP_FIXED)),

	/* For the zygote. A clone gives this up before guest code runs: its RLIMIT_NPROC is 0. Even
	 * a child would be under the same filter, and the same worker would reap and kill it. */
	ALLOW(clone, CLONE, "the zygote makes clones, as children of the worker",
	      IS(0, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD)),
	ALLOW(prlimit64, CLONE, "a new clone gives up clone: its own RLIMIT_NPROC and no other "
	      "limit", IS_INT(0, 0), IS_INT(1, RLIMIT_NPROC)),
	ALLOW(prctl, CLONE, "a new clone dies with the worker", IS_INT(0, PR_SET_PDEATHSIG),
	      IS_INT(1, SIGKILL)),
	ALLOW(getppid, CLONE, "a new clone makes sure that the worker has not died already"),

	ALLOW(sched_setaffinity, CLONE, "a new clone sleeps on the processor that will wake it; "
	      "the zygote keeps off that one", IS_INT(0, 0)),

	/* Dispatch affects only the caller: it gets a signal in place of a system call. The exempt
	 * range is exactly the shim's, and there is no selector that a program could flip. */
	ALLOW(prctl, BOTH, "shim call dispatch: a program's system calls become signals",
	      IS_INT(0, SET_DISPATCH), IS(1, 1), IS(2, THAW_SHIM_BASE), IS(3, THAW_SHIM_SIZE),
	      IS(4, 0)),
	ALLOW(prctl, BOTH, "shim call dispatch: no more", IS_INT(0, SET_DISPATCH), IS(1, 0),
	      IS(2, 0), IS(3, 0), IS(4, 0)),
	ALLOW(arch_prctl, BOTH, "shim call segments: the caller's FS base, which the kernel keeps "
	      "below its own half", IS_INT(0, ARCH_SET_FS)),
	ALLOW(arch_prctl, BOTH, "shim call segments: the GS base likewise", IS_INT(0, ARCH_SET_GS)),

	/* Not the clocks of a process or a thread: they would tell what earlier invocations
	 * spent. */
	ALLOW(clock_gettime, BOTH, "time, where the clock is not the TSC",
	      IS_INT(0, CLOCK_REALTIME)),
	ALLOW(clock_gettime, BOTH, "time, where the clock is not the TSC",
	      IS_INT(0, CLOCK_MONOTONIC)),
	ALLOW(exit_group, BOTH, "the end"),
};
/* clang-format on */

/* The exported bytes pass through a memory file, because libseccomp writes only to descriptors. */
static int export(scmp_filter_ctx context, struct sock_filter *program, size_t max, size_t *count,
		  struct thaw_error *err)
{
	thaw_autoclose int fd = memfd_create("thaw-filter", MFD_CLOEXEC);
	int result = fd < 0 ? -errno : seccomp_export_bpf(context, fd);
	off_t size;

	if (result)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, -result,
				       "cannot export the guest's filter");
	size = lseek(fd, 0, SEEK_END);
	if (size <= 0 || (size_t)size > max * sizeof(*program))
		return thaw_fail(err, THAW_ERR_ENGINE,
				 "the guest's filter has %lld bytes, there is room for %zu",
				 (long long)size, max * sizeof(*program));
	if (pread(fd, program, (size_t)size, 0) != size)
		return thaw_fail(err, THAW_ERR_ENGINE, "cannot read the guest's filter back");
	*count = (size_t)size / sizeof(*program);
	return 0;
}

int thaw_guest_filter_compile(enum thaw_guest_filter which, struct sock_filter *program, size_t max,
			      size_t *count, struct thaw_error *err)
{
	scmp_filter_ctx context = thaw_filter_build(
		SCMP_ACT_TRAP, lines, sizeof(lines) / sizeof(lines[0]), 1u << which, err);
	int result;

	if (!context)
		return -1;
	/* Every invocation makes two futex calls, so the filter looks for them first. */
	result = seccomp_syscall_priority(context, SCMP_SYS(futex), 255);
	if (result)
		thaw_fail_errno(err, THAW_ERR_ENGINE, -result, "cannot build the guest's filter");
	else
		result = export(context, program, max, count, err);
	seccomp_release(context);
	return result ? -1 : 0;
}
