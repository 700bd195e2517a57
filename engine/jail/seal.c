/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thaw_jail_seal(): the system-call filter of our own sealed processes.
 *
 * There is one table, with a reason on each line. docs/security.md shows the same table, and a test
 * holds the two together. A call that no line allows kills the process: a sealed process that makes
 * it is broken or taken over. The few calls that the C library makes unasked and can do without get
 * an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/host/pagemap.h"
#include "engine/jail/internal.h"
#include "engine/jail/jail.h"
#include "guest-stub/shim/process/control.h"

#define BOTH (THAW_JAIL_WORKER | THAW_JAIL_FREEZER)
#define LINE(action, call, profiles, reason, ...)                                                  \
	{                                                                                          \
#call, SCMP_SYS(call), profiles, action, reason,                                   \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define ALLOW(call, profiles, ...) LINE(SCMP_ACT_ALLOW, call, profiles, __VA_ARGS__)
#define REFUSE(error, call, ...)   LINE(SCMP_ACT_ERRNO(error), call, BOTH, __VA_ARGS__)
#define IS(argument, value)                                                                        \
	{                                                                                          \
		argument, SCMP_CMP_EQ, value, 0                                                    \
	}
/* The kernel looks only at the low 32 bits of an int. */
#define IS_INT(argument, value)                                                                    \
	{                                                                                          \
		argument, SCMP_CMP_MASKED_EQ, 0xffffffffu, (uint32_t)(value)                       \
	}
#define IS_NOT(argument, value)                                                                    \
	{                                                                                          \
		argument, SCMP_CMP_NE, value, 0                                                    \
	}
#define HAS_BITS(argument, mask, bits)                                                             \
	{                                                                                          \
		argument, SCMP_CMP_MASKED_EQ, mask, bits                                           \
	}

/* A thread shares everything and has no new namespace, no tracer and no other parent. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE_LOOKED_AT                                                                            \
	(THREAD_FLAGS | CLONE_PTRACE | CLONE_VFORK | CLONE_PARENT | CLONE_PIDFD | CLONE_NEWNS |    \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |               \
	 CLONE_NEWCGROUP)

/* clang-format off */
static const struct thaw_filter_line lines[] = {
	/* Bytes through descriptors that the process was given. */
	ALLOW(read, BOTH, "requests, events, image bytes"),
	ALLOW(readv, BOTH, "requests"),
	ALLOW(pread64, BOTH, "image tables; frames where there is no io_uring"),
	ALLOW(preadv, BOTH, "frames where there is no io_uring"),
	ALLOW(write, BOTH, "events, reports, diagnostics"),
	ALLOW(writev, BOTH, "responses"),
	ALLOW(pwrite64, BOTH, "memory files, the image being written"),
	ALLOW(pwritev, BOTH, "the image being written"),
	ALLOW(lseek, BOTH, "finds the data in a sparse memory file"),
	ALLOW(close, BOTH, "gives descriptors back"),
	ALLOW(fsync, THAW_JAIL_FREEZER, "an image that is reported is on disk"),
	ALLOW(fdatasync, THAW_JAIL_FREEZER, "an image that is reported is on disk"),
	ALLOW(fstat, BOTH, "size and blocks of a file"),
	ALLOW(fstatfs, BOTH, "whether a file is on hugetlbfs, where it is written in whole huge "
	      "pages"),
	ALLOW(newfstatat, BOTH, "fstat as the C library spells it",
	      HAS_BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	ALLOW(fcntl, BOTH, "descriptor flags", IS(1, F_GETFD)),
	ALLOW(fcntl, BOTH, "descriptor flags", IS(1, F_SETFD)),
	ALLOW(fcntl, BOTH, "non-blocking sockets", IS(1, F_GETFL)),
	ALLOW(fcntl, BOTH, "non-blocking sockets", IS(1, F_SETFL)),
	ALLOW(fcntl, BOTH, "seals the image's memory", IS(1, F_ADD_SEALS)),
	ALLOW(fcntl, BOTH, "checks the seals", IS(1, F_GET_SEALS)),

	/* Sockets that it was given, and connections that come in on them; no new sockets. */
	ALLOW(accept4, THAW_JAIL_WORKER, "a client connects"),
	ALLOW(recvmsg, BOTH, "requests; descriptors from the front"),
	ALLOW(recvfrom, BOTH, "requests"),
	ALLOW(sendmsg, BOTH, "responses; memory files to the backend's process"),
	ALLOW(sendto, BOTH, "responses"),
	ALLOW(shutdown, BOTH, "ends a connection"),
	ALLOW(getsockopt, BOTH, "a client's identity (SO_PEERCRED), socket errors",
	      IS_INT(1, SOL_SOCKET)),
	ALLOW(setsockopt, THAW_JAIL_WORKER, "how long a thread waits for a client's next request",
	      IS_INT(1, SOL_SOCKET), IS_INT(2, SO_RCVTIMEO)),
	ALLOW(getpeername, THAW_JAIL_WORKER, "a client's identity"),

	/* Waiting. */
	ALLOW(epoll_create1, BOTH, "the event loop"),
	ALLOW(epoll_ctl, BOTH, "the event loop"),
	ALLOW(epoll_wait, BOTH, "the event loop"),
	ALLOW(epoll_pwait, BOTH, "the event loop"),
	ALLOW(epoll_pwait2, BOTH, "the event loop, with a fine timeout"),
	ALLOW(poll, BOTH, "waits for one descriptor"),
	ALLOW(ppoll, BOTH, "waits for one descriptor"),
	ALLOW(eventfd2, BOTH, "wakes the event loop from a thread"),
	ALLOW(timerfd_create, BOTH, "deadlines in the event loop"),
	ALLOW(timerfd_settime, BOTH, "deadlines in the event loop"),
	ALLOW(futex, BOTH, "locks; the hand-over with instances"),
	ALLOW(clock_nanosleep, BOTH, "sleeps"),
	ALLOW(nanosleep, BOTH, "sleeps"),
	ALLOW(restart_syscall, BOTH, "the kernel's own, after a stop interrupted a sleep"),
	ALLOW(sched_yield, BOTH, "yields while it spins"),

	/* Memory, which can never be executed. */
	ALLOW(mmap, BOTH, "memory; mappings of memory files; thread stacks",
	      HAS_BITS(2, PROT_EXEC, 0)),
	ALLOW(mprotect, BOTH, "malloc arenas, thread stacks", HAS_BITS(2, PROT_EXEC, 0)),
	ALLOW(munmap, BOTH, "gives memory back"),
	ALLOW(mremap, BOTH, "realloc of large blocks"),
	ALLOW(madvise, BOTH, "gives pages back, asks for huge ones"),
	ALLOW(brk, BOTH, "malloc"),
	ALLOW(memfd_create, BOTH, "the file that holds an image's memory"),
	ALLOW(ftruncate, BOTH, "the size of that file"),
	ALLOW(fallocate, BOTH, "holes in that file"),

	/* Threads of its own, and the processes of its instances. */
	ALLOW(clone, BOTH, "threads, and nothing else", HAS_BITS(0, CLONE_LOOKED_AT, THREAD_FLAGS)),
	ALLOW(set_robust_list, BOTH, "a thread starts"),
	ALLOW(rseq, BOTH, "a thread starts"),
	ALLOW(exit, BOTH, "a thread ends"),
	ALLOW(exit_group, BOTH, "the process ends"),
	ALLOW(wait4, BOTH, "reaps instances"),
	ALLOW(waitid, BOTH, "reaps instances, and learns what killed them"),
	ALLOW(kill, BOTH, "ends an instance; its PID namespace has no other processes",
	      IS_INT(1, SIGKILL)),
	ALLOW(kill, BOTH, "ticks an instance that has several threads or a timer",
	      IS_INT(1, SHIM_TICK_SIGNAL)),
	ALLOW(tgkill, BOTH, "abort; a signal to one of its own threads"),
	ALLOW(rt_sigaction, BOTH, "signal handlers"),
	ALLOW(rt_sigprocmask, BOTH, "signal masks"),
	ALLOW(rt_sigreturn, BOTH, "a signal handler returns"),
	ALLOW(rt_sigtimedwait, BOTH, "waits for signals in a thread"),
	ALLOW(sigaltstack, BOTH, "signal stacks"),
	ALLOW(prctl, BOTH, "names its threads", IS_INT(0, PR_SET_NAME)),

	/* Facts that reveal nothing worth hiding. */
	ALLOW(clock_gettime, BOTH, "time, where the vDSO cannot tell it"),
	ALLOW(gettimeofday, BOTH, "time, where the vDSO cannot tell it"),
	ALLOW(time, BOTH, "time, where the vDSO cannot tell it"),
	ALLOW(getrandom, BOTH, "entropy for instances"),
	ALLOW(getpid, BOTH, "its own id"),
	ALLOW(gettid, BOTH, "its own id"),
	ALLOW(getppid, BOTH, "its own id"),
	ALLOW(getuid, BOTH, "libuuid mixes it in"),
	ALLOW(geteuid, BOTH, "its own id"),
	ALLOW(sched_getaffinity, BOTH, "the number of processors that it may use"),
	ALLOW(sched_setaffinity, BOTH, "keeps a clone on the processor that will wake it; sends a "
	      "clone that is to end to another"),
	/* Its clones: the kernel checks whether the caller may trace the other process. */
	ALLOW(process_vm_readv, THAW_JAIL_RECYCLER, "reads the memory of a clone that never ran"),
	ALLOW(process_vm_writev, THAW_JAIL_RECYCLER, "restores the memory of a spent clone"),
	ALLOW(openat, THAW_JAIL_RECYCLER, "reads a clone's files in the procfs that it was given",
	      IS_INT(0, THAW_JAIL_PROC_FD),
	      HAS_BITS(2, 0xffffffffu & ~(unsigned)O_CLOEXEC, O_RDONLY)),
	ALLOW(ioctl, THAW_JAIL_RECYCLER, "which pages a clone wrote (PAGEMAP_SCAN)",
	      IS_INT(1, THAW_PAGEMAP_SCAN)),
	ALLOW(sysinfo, BOTH, "qsort(3) bounds its buffer by it"),
	ALLOW(prlimit64, BOTH, "reads its own limits, sets none", IS_INT(0, 0), IS(2, 0)),

	/* Virtual machines, on the device that was opened before; each call by its number. */
	ALLOW(ioctl, BOTH, "KVM: makes a machine", IS_INT(1, KVM_CREATE_VM)),
	ALLOW(ioctl, BOTH, "KVM: which features the kernel has", IS_INT(1, KVM_CHECK_EXTENSION)),
	ALLOW(ioctl, BOTH, "KVM: a machine's memory", IS_INT(1, KVM_SET_USER_MEMORY_REGION)),
	ALLOW(ioctl, BOTH, "KVM: its vCPU", IS_INT(1, KVM_CREATE_VCPU)),
	ALLOW(ioctl, BOTH, "KVM: which processor features the guest sees",
	      IS_INT(1, KVM_SET_CPUID2)),
	ALLOW(ioctl, BOTH, "KVM: system registers", IS_INT(1, KVM_GET_SREGS)),
	ALLOW(ioctl, BOTH, "KVM: system registers", IS_INT(1, KVM_SET_SREGS)),
	ALLOW(ioctl, BOTH, "KVM: the system-call entry", IS_INT(1, KVM_SET_MSRS)),
	ALLOW(ioctl, BOTH, "KVM: the time-stamp counter", IS_INT(1, KVM_SET_DEVICE_ATTR)),
	ALLOW(ioctl, BOTH, "KVM: which vector state there is", IS_INT(1, KVM_SET_XCRS)),
	ALLOW(ioctl, BOTH, "KVM: general registers", IS_INT(1, KVM_SET_REGS)),
	ALLOW(ioctl, BOTH, "KVM: registers of a crash, for the log", IS_INT(1, KVM_GET_REGS)),
	ALLOW(ioctl, BOTH, "KVM: runs a guest", IS_INT(1, KVM_RUN)),
	ALLOW(ioctl, BOTH, "KVM: ticks a guest that has several threads or a timer",
	      IS_INT(1, KVM_INTERRUPT)),
	ALLOW(ioctl, BOTH, "KVM, generic: takes a snapshot", IS_INT(1, KVM_GET_XCRS)),
	ALLOW(ioctl, BOTH, "KVM, generic: takes a snapshot", IS_INT(1, KVM_GET_XSAVE)),
	ALLOW(ioctl, BOTH, "KVM, generic: takes a snapshot", IS_INT(1, KVM_GET_MSRS)),
	ALLOW(ioctl, BOTH, "KVM, generic: takes a snapshot", IS_INT(1, KVM_GET_VCPU_EVENTS)),
	ALLOW(ioctl, BOTH, "KVM, generic: takes a snapshot", IS_INT(1, KVM_GET_DEBUGREGS)),
	ALLOW(ioctl, BOTH, "KVM, generic: goes back to it", IS_INT(1, KVM_SET_XSAVE)),
	ALLOW(ioctl, BOTH, "KVM, generic: goes back to it", IS_INT(1, KVM_SET_VCPU_EVENTS)),
	ALLOW(ioctl, BOTH, "KVM, generic: goes back to it", IS_INT(1, KVM_SET_DEBUGREGS)),
	ALLOW(mincore, BOTH, "how much memory a clone holds"),

	/* Only until thaw_jail_seal_loaded(). */
	ALLOW(io_uring_enter, BOTH, "reads image frames on the ring made before the seal; refused "
	      "once loaded"),
	ALLOW(seccomp, BOTH, "adds the filter that ends loading; refused after it",
	      IS_INT(0, SECCOMP_SET_MODE_FILTER), IS(1, SECCOMP_FILTER_FLAG_TSYNC)),

	/* Calls that the C library tries unasked and can do without. */
	REFUSE(ENOSYS, clone3, "a filter cannot see its argument; the C library falls back to "
	      "clone"),
	REFUSE(ENOENT, open, "the C library looks for files (time zone, overcommit policy): there "
	      "are none"),
	REFUSE(ENOENT, openat, "the C library looks for files (time zone, overcommit policy): "
	      "there are none", IS_NOT(0, THAW_JAIL_PROC_FD)),
	REFUSE(ENOENT, newfstatat, "a file by name: there are none", HAS_BITS(3, AT_EMPTY_PATH, 0)),
	REFUSE(ENOENT, access, "a file by name: there are none"),
	REFUSE(ENOENT, readlink, "a file by name: there are none"),
	REFUSE(ENOTTY, ioctl, "stdio asks whether its output is a terminal (TCGETS)",
	      IS_INT(1, 0x5401)),
	REFUSE(EINVAL, prctl, "malloc names its mappings where that is built in (PR_SET_VMA)",
	      IS_INT(0, 0x53564d41)),
};
/* clang-format on */

const struct thaw_filter_line *thaw_jail_lines(size_t *count)
{
	*count = sizeof(lines) / sizeof(lines[0]);
	return lines;
}

static unsigned condition_count(const struct thaw_filter_line *line)
{
	unsigned count = 0;

	while (count < THAW_FILTER_CONDITIONS && line->conditions[count].op)
		count++;
	return count;
}

scmp_filter_ctx thaw_filter_build(uint32_t default_action, const struct thaw_filter_line *table,
				  size_t count, unsigned profiles, struct thaw_error *err)
{
	scmp_filter_ctx context = seccomp_init(default_action);
	int result = context ? 0 : -ENOMEM;

	/* libseccomp applies this to the x32 calls of our own architecture too. */
	if (!result)
		result = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < count && !result; i++)
		if (table[i].profiles & profiles)
			result = seccomp_rule_add_exact_array(
				context, table[i].action, table[i].number,
				condition_count(&table[i]), table[i].conditions);
	if (!result)
		return context;
	seccomp_release(context);
	thaw_fail_errno(err, THAW_ERR_ENGINE, -result, "cannot build a system-call filter");
	return NULL;
}

int thaw_jail_seal(unsigned profiles, struct thaw_error *err)
{
	scmp_filter_ctx context = thaw_filter_build(
		SCMP_ACT_KILL_PROCESS, lines, sizeof(lines) / sizeof(lines[0]), profiles, err);
	int result;

	if (!context)
		return -1;
	/* A tree instead of a list: the kernel caches the verdict only for calls without
	 * conditions, and looks the others up each time. */
	result = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!result)
		result = seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!result)
		result = seccomp_load(context);
	seccomp_release(context);
	if (result)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, -result,
				       "cannot install the system-call filter (the kernel needs "
				       "CONFIG_SECCOMP_FILTER)");
	return 0;
}

/*
 * The filter is written by hand, because libseccomp probes the kernel with calls that a sealed
 * process must not make. It needs no check of the architecture, which the first filter makes.
 * Filters stack, and the strictest answer counts.
 */
int thaw_jail_seal_loaded(struct thaw_error *err)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter))
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "cannot end the loading stage of the jail");
	return 0;
}
