/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's filter, tested by running it: every line that allows a call, and calls just beside
 * each of them. */
#include <asm/prctl.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "engine/jail/guest_filter_table.h"
#include "guest-stub/include/thaw/abi.h"
#include "trial.h"

#define TRAPPED	     200 /* exit code: SIGSYS arrived, and named the call */
#define KILLED	     (TRIAL_SIGNALLED + SIGSYS)
#define PROGRAM_MAX  512
#define CALLS_END    512
#define X32	     0x40000000l
#define HIGH	     (1l << 32)
#define AT	     0x20000000l /* an unused place in the region */
#define LENGTH	     0x4000l
#define MEMORY_FD    3
#define SET_DISPATCH 59 /* PR_SET_SYSCALL_USER_DISPATCH */
#define FROM_SECCOMP 1	/* SYS_SECCOMP, which glibc does not name */

/* ---- Running one call under a filter ---- */

struct program {
	struct sock_filter code[PROGRAM_MAX];
	size_t count;
};

struct call {
	const char *name;
	long number, arguments[6];
	int expected; /* TRAPPED, KILLED, the errno, or 0 for success */
};

struct trial {
	const struct program *program;
	const struct call *call;
};

static volatile long expected_trap = -1;

/* Never returns, because every filter refuses rt_sigreturn. */
static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	syscall(SYS_exit_group,
		info->si_code == FROM_SECCOMP && info->si_syscall == (int)expected_trap
			? TRAPPED
			: TRAPPED + 1);
}

/* Sets up what a guest's process has when it is sealed: the memory file as descriptor 3, and a
 * mapped page of it. */
static void prepare(void)
{
	const struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	int fd = memfd_create("memory", 0);

	TRIAL_CHECK(fd >= 0 && ftruncate(fd, AT + LENGTH) == 0);
	TRIAL_CHECK(dup2(fd, MEMORY_FD) == MEMORY_FD && dup2(fd, MEMORY_FD + 1) == MEMORY_FD + 1);
	TRIAL_CHECK(mmap((void *)AT, LENGTH, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, MEMORY_FD, AT) == (void *)AT);
	TRIAL_CHECK(sigaction(SIGSYS, &action, NULL) == 0);
	TRIAL_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

static void install(const struct program *program)
{
	struct sock_fprog filter = {(unsigned short)program->count,
				    (struct sock_filter *)(uintptr_t)program->code};

	TRIAL_CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0);
}

/* Makes only raw calls: the filter would refuse those of the C library. */
static void run_call(void *context)
{
	const struct trial *trial = context;
	const long *a = trial->call->arguments;
	long result;

	prepare();
	expected_trap = trial->call->number;
	install(trial->program);
	result = syscall(trial->call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	syscall(SYS_exit_group, result == -1 ? errno : 0);
}

static void take(enum thaw_guest_filter which, struct program *program)
{
	const struct sock_filter *code = thaw_guest_filter(which, &program->count);

	cr_assert_leq(program->count, PROGRAM_MAX);
	memcpy(program->code, code, program->count * sizeof(*code));
	cr_log_info("filter %d has %zu instructions", which, program->count);
}

static void run_calls(enum thaw_guest_filter which, const struct call *calls, size_t count)
{
	struct program program;

	take(which, &program);
	for (size_t i = 0; i < count; i++) {
		struct trial trial = {&program, &calls[i]};
		int result = trial_fork(run_call, &trial);

		while (waitpid(-1, NULL, 0) > 0)
			; /* wait for the clone, if there is one */
		cr_expect_eq(result, calls[i].expected, "%s: %d instead of %d", calls[i].name,
			     result, calls[i].expected);
	}
}

#define RUN(which, calls) run_calls(which, calls, sizeof(calls) / sizeof((calls)[0]))

/* ---- The calls ---- */

#define ANONYMOUS   (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)
#define FROM_MEMORY (MAP_SHARED | MAP_FIXED)
#define RW	    (PROT_READ | PROT_WRITE)
#define RX	    (PROT_READ | PROT_EXEC)
#define P(pointer)  (long)(pointer)

static uint32_t word = 1;
static struct timespec now;
static const struct rlimit none;

#define FOR_BOTH                                                                                   \
	{"futex wait on another value", SYS_futex, {P(&word), 0, 0}, EAGAIN}, /* FUTEX_WAIT */     \
		{"futex wake", SYS_futex, {P(&word), 1, 1}, 0},		      /* FUTEX_WAKE */     \
		{"futex requeue", SYS_futex, {P(&word), 3, 1, 0, P(&word)}, TRAPPED},              \
		{"futex wake op", SYS_futex, {P(&word), 5, 1, 0, P(&word)}, TRAPPED},              \
		{"futex lock pi", SYS_futex, {P(&word), 6}, TRAPPED},                              \
		{"futex wait bitset", SYS_futex, {P(&word), 9}, TRAPPED},                          \
		{"futex private wait", SYS_futex, {P(&word), 128, 0}, TRAPPED},                    \
		{"futex private wake", SYS_futex, {P(&word), 129, 1}, TRAPPED},                    \
		{"futex wait on real time", SYS_futex, {P(&word), 256, 0}, TRAPPED},               \
		{"futex with high bits", SYS_futex, {P(&word), HIGH | 1, 1}, TRAPPED},             \
		{"mprotect to none", SYS_mprotect, {AT, LENGTH, PROT_NONE}, 0},                    \
		{"mprotect to r", SYS_mprotect, {AT, LENGTH, PROT_READ}, 0},                       \
		{"mprotect to rw", SYS_mprotect, {AT, LENGTH, RW}, 0},                             \
		{"mprotect to rx", SYS_mprotect, {AT, LENGTH, RX}, 0},                             \
		{"mprotect to w", SYS_mprotect, {AT, LENGTH, PROT_WRITE}, TRAPPED},                \
		{"mprotect to x", SYS_mprotect, {AT, LENGTH, PROT_EXEC}, TRAPPED},                 \
		{"mprotect to wx", SYS_mprotect, {AT, LENGTH, PROT_WRITE | PROT_EXEC}, TRAPPED},   \
		{"mprotect to rwx", SYS_mprotect, {AT, LENGTH, RW | PROT_EXEC}, TRAPPED},          \
		{"mprotect to grow", SYS_mprotect, {AT, LENGTH, RW | PROT_GROWSDOWN}, TRAPPED},    \
		{"mprotect with high bits", SYS_mprotect, {AT, LENGTH, HIGH | RW}, TRAPPED},       \
		{"mprotect of the shim", SYS_mprotect, {THAW_SHIM_BASE, LENGTH, RW}, TRAPPED},     \
		{"mprotect of the mailbox", SYS_mprotect, {THAW_MAILBOX, LENGTH, RX}, TRAPPED},    \
		{"mprotect far above", SYS_mprotect, {1l << 46 | AT, LENGTH, RW}, TRAPPED},        \
		{"munmap", SYS_munmap, {AT, LENGTH}, 0},                                           \
		{"munmap above the region", SYS_munmap, {THAW_MAILBOX, LENGTH}, 0},                \
		{"clock_gettime", SYS_clock_gettime, {CLOCK_MONOTONIC, P(&now)}, 0},               \
		{"read", SYS_read, {0, P(&word), 4}, TRAPPED},                                     \
		{"write", SYS_write, {2, P(&word), 4}, TRAPPED},                                   \
		{"getpid", SYS_getpid, {0}, TRAPPED}, {"exit", SYS_exit, {0}, TRAPPED},            \
		{"brk", SYS_brk, {0}, TRAPPED}, {"fork", SYS_fork, {0}, TRAPPED},                  \
		{"dispatch off", SYS_prctl, {SET_DISPATCH, 0}, 0},                                 \
		{"dispatch of another range",                                                      \
		 SYS_prctl,                                                                        \
		 {SET_DISPATCH, 1, THAW_REGION_BASE, THAW_SHIM_SIZE},                              \
		 TRAPPED},                                                                         \
		{"dispatch of a longer range",                                                     \
		 SYS_prctl,                                                                        \
		 {SET_DISPATCH, 1, THAW_SHIM_BASE, THAW_SHIM_SIZE + 1},                            \
		 TRAPPED},                                                                         \
		{"dispatch with a selector",                                                       \
		 SYS_prctl,                                                                        \
		 {SET_DISPATCH, 1, THAW_SHIM_BASE, THAW_SHIM_SIZE, P(&word)},                      \
		 TRAPPED},                                                                         \
		{"dispatch the other way round",                                                   \
		 SYS_prctl,                                                                        \
		 {SET_DISPATCH, 2, THAW_SHIM_BASE, THAW_SHIM_SIZE},                                \
		 TRAPPED},                                                                         \
		{"GS base", SYS_arch_prctl, {ARCH_SET_GS, AT}, 0},                                 \
		{"GS base of the kernel's half", SYS_arch_prctl, {ARCH_SET_GS, -AT}, EPERM},       \
		{"FS base of the kernel's half", SYS_arch_prctl, {ARCH_SET_FS, -AT}, EPERM},       \
		{"reading FS base", SYS_arch_prctl, {ARCH_GET_FS, P(&word)}, TRAPPED},             \
		{"CPUID faulting", SYS_arch_prctl, {ARCH_SET_CPUID, 1}, TRAPPED},                  \
		{"clone3", SYS_clone3, {0}, TRAPPED}, {"kill", SYS_kill, {1, 0}, TRAPPED},         \
		{"rt_sigaction", SYS_rt_sigaction, {SIGSYS}, TRAPPED},                             \
		{"seccomp", SYS_seccomp, {SECCOMP_SET_MODE_FILTER}, TRAPPED},                      \
		{"ftruncate", SYS_ftruncate, {MEMORY_FD, 0}, TRAPPED},                             \
		{"remap_file_pages", SYS_remap_file_pages, {AT}, TRAPPED},                         \
		{"pkey_mprotect", SYS_pkey_mprotect, {AT, LENGTH, RW, -1}, TRAPPED},               \
		{"no call", -1, {0}, TRAPPED},                                                     \
		{"futex of x32", X32 | SYS_futex, {P(&word), 1, 1}, KILLED},                       \
	{                                                                                          \
		"mmap of x32", X32 | SYS_mmap, {AT, LENGTH, RW, ANONYMOUS, -1}, KILLED             \
	}

Test(guest_filter, clone_profile)
{
	static const long fork_flags = CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD;
	const struct call calls[] = {
		FOR_BOTH,
		{"mmap none", SYS_mmap, {AT, LENGTH, PROT_NONE, ANONYMOUS, -1}, 0},
		{"mmap r", SYS_mmap, {AT, LENGTH, PROT_READ, ANONYMOUS, -1}, 0},
		{"mmap rw", SYS_mmap, {AT, LENGTH, RW, ANONYMOUS, -1}, 0},
		{"mmap rx", SYS_mmap, {AT, LENGTH, RX, ANONYMOUS, -1}, 0},
		{"mmap with an int's -1", SYS_mmap, {AT, LENGTH, RW, ANONYMOUS, 0xffffffffl}, 0},
		{"mmap at the last page",
		 SYS_mmap,
		 {(long)THAW_REGION_END - 4096, 4096, RW, ANONYMOUS, -1},
		 0},
		{"mmap w", SYS_mmap, {AT, LENGTH, PROT_WRITE, ANONYMOUS, -1}, TRAPPED},
		{"mmap x", SYS_mmap, {AT, LENGTH, PROT_EXEC, ANONYMOUS, -1}, TRAPPED},
		{"mmap wx", SYS_mmap, {AT, LENGTH, PROT_WRITE | PROT_EXEC, ANONYMOUS, -1}, TRAPPED},
		{"mmap rwx", SYS_mmap, {AT, LENGTH, RW | PROT_EXEC, ANONYMOUS, -1}, TRAPPED},
		{"mmap prot with high bits",
		 SYS_mmap,
		 {AT, LENGTH, HIGH | RW, ANONYMOUS, -1},
		 TRAPPED},
		{"mmap not fixed",
		 SYS_mmap,
		 {AT, LENGTH, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1},
		 TRAPPED},
		{"mmap shared",
		 SYS_mmap,
		 {AT, LENGTH, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1},
		 TRAPPED},
		{"mmap of a file",
		 SYS_mmap,
		 {AT, LENGTH, RW, MAP_PRIVATE | MAP_FIXED, MEMORY_FD},
		 TRAPPED},
		{"mmap as boot does",
		 SYS_mmap,
		 {AT, LENGTH, RW, FROM_MEMORY, MEMORY_FD, AT},
		 TRAPPED},
		{"mmap anonymous with a file",
		 SYS_mmap,
		 {AT, LENGTH, RW, ANONYMOUS, MEMORY_FD},
		 TRAPPED},
		{"mmap that grows",
		 SYS_mmap,
		 {AT, LENGTH, RW, ANONYMOUS | MAP_GROWSDOWN, -1},
		 TRAPPED},
		{"mmap locked", SYS_mmap, {AT, LENGTH, RW, ANONYMOUS | MAP_LOCKED, -1}, TRAPPED},
		{"mmap unreserved",
		 SYS_mmap,
		 {AT, LENGTH, RW, ANONYMOUS | MAP_NORESERVE, -1},
		 TRAPPED},
		{"mmap huge", SYS_mmap, {AT, LENGTH, RW, ANONYMOUS | MAP_HUGETLB, -1}, TRAPPED},
		{"mmap populated",
		 SYS_mmap,
		 {AT, LENGTH, RW, ANONYMOUS | MAP_POPULATE, -1},
		 TRAPPED},
		{"mmap flags with high bits",
		 SYS_mmap,
		 {AT, LENGTH, RW, HIGH | ANONYMOUS, -1},
		 TRAPPED},
		{"mmap at the end",
		 SYS_mmap,
		 {(long)THAW_REGION_END, LENGTH, RW, ANONYMOUS, -1},
		 TRAPPED},
		{"mmap over the mailbox",
		 SYS_mmap,
		 {(long)THAW_MAILBOX, LENGTH, RW, ANONYMOUS, -1},
		 TRAPPED},
		{"mmap far above", SYS_mmap, {1l << 46 | AT, LENGTH, RW, ANONYMOUS, -1}, TRAPPED},
		{"madvise", SYS_madvise, {AT, LENGTH, MADV_DONTNEED}, TRAPPED},
		{"madvise populate", SYS_madvise, {AT, LENGTH, 23}, 0},
		{"madvise populate to read", SYS_madvise, {AT, LENGTH, 22}, 0},
		{"madvise populate the mailbox", SYS_madvise, {THAW_MAILBOX, LENGTH, 23}, TRAPPED},
		{"madvise remove", SYS_madvise, {AT, LENGTH, MADV_REMOVE}, TRAPPED},
		{"mremap in place",
		 SYS_mremap,
		 {AT, THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE, MREMAP_MAYMOVE, AT + 0x100000},
		 TRAPPED},
		{"mremap from nothing",
		 SYS_mremap,
		 {AT, 0, THAW_MAILBOX_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, AT + 0x100000},
		 TRAPPED},
		{"mremap longer",
		 SYS_mremap,
		 {AT, THAW_MAILBOX_SIZE, 2 * THAW_MAILBOX_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  AT + 0x100000},
		 TRAPPED},
		{"mremap and stay",
		 SYS_mremap,
		 {AT, THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE,
		  MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, AT + 0x100000},
		 TRAPPED},
		{"mremap length with high bits",
		 SYS_mremap,
		 {AT, HIGH | THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  AT + 0x100000},
		 TRAPPED},
		{"clone as a fork", SYS_clone, {SIGCHLD}, TRAPPED},
		{"clone without a signal",
		 SYS_clone,
		 {CLONE_PARENT | CLONE_PARENT_SETTID},
		 TRAPPED},
		{"clone of a thread", SYS_clone, {fork_flags | CLONE_VM}, TRAPPED},
		{"clone of descriptors", SYS_clone, {fork_flags | CLONE_FILES}, TRAPPED},
		{"clone in a namespace", SYS_clone, {fork_flags | CLONE_NEWUSER}, TRAPPED},
		{"clone traced", SYS_clone, {fork_flags | CLONE_PTRACE}, TRAPPED},
		{"clone with high bits", SYS_clone, {fork_flags | 1l << 33}, TRAPPED},
		{"prlimit64 of processes", SYS_prlimit64, {0, RLIMIT_NPROC, P(&none)}, 0},
		{"prlimit64 of memory", SYS_prlimit64, {0, RLIMIT_AS, P(&none)}, TRAPPED},
		{"prlimit64 of another", SYS_prlimit64, {1, RLIMIT_NPROC, P(&none)}, TRAPPED},
		{"prctl death signal", SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL}, 0},
		{"prctl dumpable", SYS_prctl, {PR_SET_DUMPABLE, 1}, TRAPPED},
		{"prctl name", SYS_prctl, {PR_SET_NAME, P(&word)}, TRAPPED},
		{"prctl seccomp", SYS_prctl, {PR_SET_SECCOMP, 2}, TRAPPED},
		{"getppid", SYS_getppid, {0}, 0},
	};

	RUN(THAW_GUEST_FILTER_CLONE, calls);
}

Test(guest_filter, boot_profile)
{
	const struct call calls[] = {
		FOR_BOTH,
		{"mmap none", SYS_mmap, {AT, LENGTH, PROT_NONE, FROM_MEMORY, MEMORY_FD, AT}, 0},
		{"mmap r", SYS_mmap, {AT, LENGTH, PROT_READ, FROM_MEMORY, MEMORY_FD, AT}, 0},
		{"mmap rw", SYS_mmap, {AT, LENGTH, RW, FROM_MEMORY, MEMORY_FD, AT}, 0},
		{"mmap rx", SYS_mmap, {AT, LENGTH, RX, FROM_MEMORY, MEMORY_FD, AT}, 0},
		{"mmap with a long descriptor",
		 SYS_mmap,
		 {AT, LENGTH, RW, FROM_MEMORY, HIGH | MEMORY_FD, AT},
		 0},
		{"mmap w", SYS_mmap, {AT, LENGTH, PROT_WRITE, FROM_MEMORY, MEMORY_FD, AT}, TRAPPED},
		{"mmap x", SYS_mmap, {AT, LENGTH, PROT_EXEC, FROM_MEMORY, MEMORY_FD, AT}, TRAPPED},
		{"mmap wx",
		 SYS_mmap,
		 {AT, LENGTH, PROT_WRITE | PROT_EXEC, FROM_MEMORY, MEMORY_FD, AT},
		 TRAPPED},
		{"mmap rwx",
		 SYS_mmap,
		 {AT, LENGTH, RW | PROT_EXEC, FROM_MEMORY, MEMORY_FD, AT},
		 TRAPPED},
		{"mmap of another file",
		 SYS_mmap,
		 {AT, LENGTH, RW, FROM_MEMORY, MEMORY_FD + 1, AT},
		 TRAPPED},
		{"mmap of no file", SYS_mmap, {AT, LENGTH, RW, FROM_MEMORY, -1, AT}, TRAPPED},
		{"mmap private",
		 SYS_mmap,
		 {AT, LENGTH, RW, MAP_PRIVATE | MAP_FIXED, MEMORY_FD, AT},
		 TRAPPED},
		{"mmap as a clone does", SYS_mmap, {AT, LENGTH, RW, ANONYMOUS, -1}, TRAPPED},
		{"mmap anonymous and shared",
		 SYS_mmap,
		 {AT, LENGTH, RW, FROM_MEMORY | MAP_ANONYMOUS, MEMORY_FD},
		 TRAPPED},
		{"mmap not fixed", SYS_mmap, {AT, LENGTH, RW, MAP_SHARED, MEMORY_FD, AT}, TRAPPED},
		{"mmap locked",
		 SYS_mmap,
		 {AT, LENGTH, RW, FROM_MEMORY | MAP_LOCKED, MEMORY_FD, AT},
		 TRAPPED},
		{"mmap validated",
		 SYS_mmap,
		 {AT, LENGTH, RW, FROM_MEMORY | 2, MEMORY_FD, AT},
		 TRAPPED},
		{"mmap over the mailbox",
		 SYS_mmap,
		 {(long)THAW_MAILBOX, LENGTH, RW, FROM_MEMORY, MEMORY_FD},
		 TRAPPED},
		{"mmap far above",
		 SYS_mmap,
		 {1l << 46, LENGTH, RW, FROM_MEMORY, MEMORY_FD},
		 TRAPPED},
		{"madvise remove", SYS_madvise, {AT, LENGTH, MADV_REMOVE}, 0},
		{"madvise remove of the mailbox",
		 SYS_madvise,
		 {THAW_MAILBOX, LENGTH, MADV_REMOVE},
		 TRAPPED},
		{"madvise away", SYS_madvise, {AT, LENGTH, MADV_DONTNEED}, TRAPPED},
		{"madvise with high bits", SYS_madvise, {AT, LENGTH, HIGH | MADV_REMOVE}, TRAPPED},
		{"mremap",
		 SYS_mremap,
		 {AT, THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  AT + 0x100000},
		 TRAPPED},
		{"clone", SYS_clone, {CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD}, TRAPPED},
		{"prlimit64", SYS_prlimit64, {0, RLIMIT_NPROC, P(&none)}, TRAPPED},
		{"prctl", SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL}, TRAPPED},
		{"getppid", SYS_getppid, {0}, TRAPPED},
	};

	RUN(THAW_GUEST_FILTER_BOOT, calls);
}

/* Tries every call that no line names; NAMED are the calls of the profile. */
static void sweep(enum thaw_guest_filter which, const long *named, size_t count)
{
	struct program program;

	take(which, &program);
	for (long number = 0; number < CALLS_END; number++) {
		struct call call = {"", number, {-1, -1, -1, -1, -1, -1}, TRAPPED};
		struct trial trial = {&program, &call};
		bool skip = false;
		int result;

		for (size_t i = 0; i < count; i++)
			skip |= named[i] == number;
		if (skip)
			continue;
		result = trial_fork(run_call, &trial);
		cr_expect(result == TRAPPED || trial_unfiltered(number, result),
			  "system call %ld: %d", number, result);
	}
}

Test(guest_filter, no_other_call_passes)
{
	static const long clone_calls[] = {SYS_munmap, SYS_getppid, SYS_clock_gettime,
					   SYS_exit_group};
	static const long boot_calls[] = {SYS_munmap, SYS_clock_gettime, SYS_exit_group};

	/* Calls that are allowed on conditions are trapped as well: -1 for every argument meets
	 * none of the conditions. */
	sweep(THAW_GUEST_FILTER_CLONE, clone_calls, sizeof(clone_calls) / sizeof(clone_calls[0]));
	sweep(THAW_GUEST_FILTER_BOOT, boot_calls, sizeof(boot_calls) / sizeof(boot_calls[0]));
}

/* ---- Tests with more than one call ---- */

static void call_i386(void *context)
{
	long result = 20; /* getpid there, writev here */

	signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make other calls */
	prepare();
	if (context)
		install(context);
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	syscall(SYS_exit_group, 0);
}

Test(guest_filter, the_other_architecture_kills)
{
	int unsealed = trial_fork(call_i386, NULL);

	for (int which = 0; which < 2; which++) {
		struct program program;

		take(which, &program);
		/* A kernel without 32-bit calls faults on the instruction itself. */
		cr_assert_eq(trial_fork(call_i386, &program), unsealed == 0 ? KILLED : unsealed);
	}
}

/* Two mailboxes in one shared mapping, as in the arena. A clone keeps the first and moves it to its
 * place. */
static void move_mailbox(void *context)
{
	const long to = AT + 0x1000000;
	const struct program *program = context;
	volatile char *arena =
		mmap(NULL, 2 * THAW_MAILBOX_SIZE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	TRIAL_CHECK(arena != MAP_FAILED);
	arena[0] = 'm', arena[THAW_MAILBOX_SIZE] = 'n';
	prepare();
	install(program);
	syscall(SYS_munmap, arena + THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE);
	if (syscall(SYS_mremap, arena, THAW_MAILBOX_SIZE, THAW_MAILBOX_SIZE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		syscall(SYS_exit_group, 1);
	if (*(volatile char *)to != 'm')
		syscall(SYS_exit_group, 2);
	/* The neighbour stays out of reach: growing is trapped. */
	expected_trap = SYS_mremap;
	syscall(SYS_mremap, to, THAW_MAILBOX_SIZE, 2 * THAW_MAILBOX_SIZE,
		MREMAP_MAYMOVE | MREMAP_FIXED, to + (1 << 24));
	syscall(SYS_exit_group, 3);
}

Test(guest_filter, a_mailbox_moves_and_never_grows)
{
	struct program program;

	take(THAW_GUEST_FILTER_CLONE, &program);
	cr_assert_eq(trial_fork(move_mailbox, &program), TRAPPED);
}

#define CLONED 66

static void make_clone(void *context)
{
	static pid_t tid;
	long result;

	prepare();
	install(context);
	result = syscall(SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, 0, &tid, 0, 0);
	if (result == 0)
		syscall(SYS_exit_group, CLONED);
	syscall(SYS_exit_group, result > 0 && tid == result ? 0 : 1);
}

/* A clone of the zygote is a child of the zygote's parent. */
Test(guest_filter, the_zygote_can_clone)
{
	struct program program;
	pid_t zygote, clone = 0;
	int codes[2], status;

	take(THAW_GUEST_FILTER_CLONE, &program);
	zygote = fork();
	if (zygote == 0)
		make_clone(&program);
	for (int i = 0; i < 2; i++) {
		pid_t pid = waitpid(-1, &status, 0);

		cr_assert(pid > 0 && WIFEXITED(status));
		codes[pid == zygote ? 0 : 1] = WEXITSTATUS(status);
		clone += pid == zygote ? 0 : pid;
	}
	cr_assert(clone > 0 && codes[0] == 0 && codes[1] == CLONED);
}

static void clear_memory(void *context)
{
	volatile char *memory = (volatile char *)AT;

	prepare();
	install(context);
	memory[0] = 'x';
	if (syscall(SYS_madvise, AT, LENGTH, MADV_REMOVE))
		syscall(SYS_exit_group, 1);
	syscall(SYS_exit_group, memory[0] == 0 ? 0 : 2);
}

Test(guest_filter, a_booting_guest_gives_blocks_back)
{
	struct program program;

	take(THAW_GUEST_FILTER_BOOT, &program);
	cr_assert_eq(trial_fork(clear_memory, &program), 0);
}

static void compare(enum thaw_guest_filter which)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct sock_filter compiled[THAW_GUEST_FILTER_MAX];
	struct program built_in;
	size_t count;

	take(which, &built_in);
	cr_assert_eq(
		thaw_guest_filter_compile(which, compiled, THAW_GUEST_FILTER_MAX, &count, &err), 0,
		"%s", err.message);
	cr_assert_eq(built_in.count, count);
	cr_assert_arr_eq(built_in.code, compiled, count * sizeof(compiled[0]));
}

Test(guest_filter, what_was_built_in_is_what_the_table_says_here)
{
	compare(THAW_GUEST_FILTER_CLONE);
	compare(THAW_GUEST_FILTER_BOOT);
}

Test(guest_filter, says_when_there_is_no_room)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct sock_filter code[4];
	size_t count = 7;

	cr_assert_lt(thaw_guest_filter_compile(THAW_GUEST_FILTER_BOOT, code, 4, &count, &err), 0);
	cr_assert_eq(err.kind, THAW_ERR_ENGINE);
	cr_assert(strstr(err.message, "room"));
	cr_assert_eq(count, 7u, "outputs are set only on success");
}
