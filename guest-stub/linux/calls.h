/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of system calls. The dispatcher, the trace and the table in docs/linux.md come from it.
 *
 * LINUX_CALLS(X): X(name, support, arguments, error, note)
 *   support    FULL: as in Linux, as far as a process on its own can tell.
 *              PARTIAL: as the note says.
 *              REFUSED: the answer is always -error, and the log has one line about it.
 *              ABSENT: as REFUSED, without the line: every C library asks, and does without.
 *   arguments  for the trace, a letter each: d int, u unsigned, x hexadecimal, p pointer, s string
 *   error      of a REFUSED or ABSENT call
 *   note       what is partial, or why the call is refused
 * FULL and PARTIAL calls have a handler sys_NAME (linux_call). A number that is not in the table
 * answers ENOSYS, and the log has one line about it.
 */
#ifndef THAW_LINUX_CALLS_H
#define THAW_LINUX_CALLS_H

/* Files: fs/ */
#define LINUX_CALLS_FILES(X)                                                                       \
	X(read, FULL, "dpu", 0, "")                                                                \
	X(write, FULL, "dpu", 0, "")                                                               \
	X(readv, FULL, "dpu", 0, "")                                                               \
	X(writev, FULL, "dpu", 0, "")                                                              \
	X(pread64, FULL, "dpuu", 0, "")                                                            \
	X(pwrite64, FULL, "dpuu", 0, "")                                                           \
	X(preadv, FULL, "dpuu", 0, "")                                                             \
	X(pwritev, FULL, "dpuu", 0, "")                                                            \
	X(preadv2, PARTIAL, "dpuuux", 0, "the flags are ignored")                                  \
	X(pwritev2, PARTIAL, "dpuuux", 0, "the flags are ignored")                                 \
	X(open, FULL, "sxx", 0, "")                                                                \
	X(openat, FULL, "dsxx", 0, "")                                                             \
	X(openat2, PARTIAL, "dspu", 0, "resolve flags other than 0 are refused with EINVAL")       \
	X(creat, FULL, "sx", 0, "")                                                                \
	X(close, FULL, "d", 0, "")                                                                 \
	X(close_range, FULL, "uux", 0, "")                                                         \
	X(dup, FULL, "d", 0, "")                                                                   \
	X(dup2, FULL, "dd", 0, "")                                                                 \
	X(dup3, FULL, "ddx", 0, "")                                                                \
	X(fcntl, PARTIAL, "ddx", 0,                                                                \
	  "descriptors, flags, seals; locks are always granted, no leases or notification")        \
	X(lseek, FULL, "ddd", 0, "")                                                               \
	X(stat, FULL, "sp", 0, "")                                                                 \
	X(lstat, FULL, "sp", 0, "")                                                                \
	X(fstat, FULL, "dp", 0, "")                                                                \
	X(newfstatat, FULL, "dspx", 0, "")                                                         \
	X(statx, PARTIAL, "dsxxp", 0, "the basic fields")                                          \
	X(statfs, PARTIAL, "sp", 0, "one file system in memory")                                   \
	X(fstatfs, PARTIAL, "dp", 0, "as statfs")                                                  \
	X(getdents, FULL, "dpu", 0, "")                                                            \
	X(getdents64, FULL, "dpu", 0, "")                                                          \
	X(access, FULL, "sx", 0, "")                                                               \
	X(faccessat, FULL, "dsx", 0, "")                                                           \
	X(faccessat2, FULL, "dsxx", 0, "")                                                         \
	X(readlink, FULL, "spu", 0, "")                                                            \
	X(readlinkat, FULL, "dspu", 0, "")                                                         \
	X(getcwd, FULL, "pu", 0, "")                                                               \
	X(chdir, FULL, "s", 0, "")                                                                 \
	X(fchdir, FULL, "d", 0, "")                                                                \
	X(mkdir, FULL, "sx", 0, "")                                                                \
	X(mkdirat, FULL, "dsx", 0, "")                                                             \
	X(rmdir, FULL, "s", 0, "")                                                                 \
	X(unlink, FULL, "s", 0, "")                                                                \
	X(unlinkat, FULL, "dsx", 0, "")                                                            \
	X(rename, FULL, "ss", 0, "")                                                               \
	X(renameat, FULL, "dsds", 0, "")                                                           \
	X(renameat2, PARTIAL, "dsdsx", 0,                                                          \
	  "RENAME_NOREPLACE; exchange and whiteout are refused with EINVAL")                       \
	X(link, FULL, "ss", 0, "")                                                                 \
	X(linkat, FULL, "dsdsx", 0, "")                                                            \
	X(symlink, FULL, "ss", 0, "")                                                              \
	X(symlinkat, FULL, "sds", 0, "")                                                           \
	X(truncate, FULL, "su", 0, "")                                                             \
	X(ftruncate, FULL, "du", 0, "")                                                            \
	X(fallocate, PARTIAL, "dxuu", 0,                                                           \
	  "grows the file, punches holes; other modes are refused with EOPNOTSUPP")                \
	X(chmod, FULL, "sx", 0, "")                                                                \
	X(fchmod, FULL, "dx", 0, "")                                                               \
	X(fchmodat, FULL, "dsx", 0, "")                                                            \
	X(chown, PARTIAL, "sdd", 0, "only root gives files away")                                  \
	X(lchown, PARTIAL, "sdd", 0, "as chown")                                                   \
	X(fchown, PARTIAL, "ddd", 0, "as chown")                                                   \
	X(fchownat, PARTIAL, "dsddx", 0, "as chown")                                               \
	X(umask, FULL, "x", 0, "")                                                                 \
	X(utime, FULL, "sp", 0, "")                                                                \
	X(utimes, FULL, "sp", 0, "")                                                               \
	X(futimesat, FULL, "dsp", 0, "")                                                           \
	X(utimensat, FULL, "dspx", 0, "")                                                          \
	X(fsync, FULL, "d", 0, "nothing to wait for")                                              \
	X(fdatasync, FULL, "d", 0, "nothing to wait for")                                          \
	X(sync, FULL, "", 0, "nothing to wait for")                                                \
	X(syncfs, FULL, "d", 0, "nothing to wait for")                                             \
	X(sync_file_range, FULL, "duux", 0, "nothing to wait for")                                 \
	X(fadvise64, FULL, "duud", 0, "advice")                                                    \
	X(readahead, FULL, "duu", 0, "advice")                                                     \
	X(flock, FULL, "dd", 0, "no other process could hold the lock")                            \
	X(ioctl, PARTIAL, "dxx", 0,                                                                \
	  "FIONREAD, FIONBIO, FIOCLEX, FIONCLEX; a terminal's answer ENOTTY")                      \
	X(sendfile, FULL, "ddpu", 0, "")                                                           \
	X(copy_file_range, FULL, "dpdpux", 0, "")                                                  \
	X(memfd_create, PARTIAL, "sx", 0,                                                          \
	  "an anonymous file in memory, with seals; no huge pages")                                \
	X(mknod, PARTIAL, "sxx", 0, "regular files; EPERM for devices and the rest")               \
	X(mknodat, PARTIAL, "dsxx", 0, "as mknod")                                                 \
	X(getxattr, REFUSED, "sspu", EOPNOTSUPP, "no extended attributes")                         \
	X(lgetxattr, REFUSED, "sspu", EOPNOTSUPP, "no extended attributes")                        \
	X(fgetxattr, REFUSED, "dspu", EOPNOTSUPP, "no extended attributes")                        \
	X(setxattr, REFUSED, "sspux", EOPNOTSUPP, "no extended attributes")                        \
	X(lsetxattr, REFUSED, "sspux", EOPNOTSUPP, "no extended attributes")                       \
	X(fsetxattr, REFUSED, "dspux", EOPNOTSUPP, "no extended attributes")                       \
	X(listxattr, REFUSED, "spu", EOPNOTSUPP, "no extended attributes")                         \
	X(llistxattr, REFUSED, "spu", EOPNOTSUPP, "no extended attributes")                        \
	X(flistxattr, REFUSED, "dpu", EOPNOTSUPP, "no extended attributes")                        \
	X(removexattr, REFUSED, "ss", EOPNOTSUPP, "no extended attributes")                        \
	X(lremovexattr, REFUSED, "ss", EOPNOTSUPP, "no extended attributes")                       \
	X(fremovexattr, REFUSED, "ds", EOPNOTSUPP, "no extended attributes")                       \
	X(inotify_init, REFUSED, "", ENOSYS, "no other process changes files")                     \
	X(inotify_init1, REFUSED, "x", ENOSYS, "no other process changes files")                   \
	X(inotify_add_watch, REFUSED, "dsx", ENOSYS, "no other process changes files")             \
	X(inotify_rm_watch, REFUSED, "dd", ENOSYS, "no other process changes files")               \
	X(chroot, REFUSED, "s", EPERM, "privileged")                                               \
	X(mount, REFUSED, "sssxp", EPERM, "privileged")                                            \
	X(umount2, REFUSED, "sx", EPERM, "privileged")                                             \
	X(pivot_root, REFUSED, "ss", EPERM, "privileged")

/* Pipes, events, waiting: wait/ */
#define LINUX_CALLS_WAITING(X)                                                                     \
	X(pipe, FULL, "p", 0, "")                                                                  \
	X(pipe2, FULL, "px", 0, "")                                                                \
	X(eventfd, FULL, "u", 0, "")                                                               \
	X(eventfd2, FULL, "ux", 0, "")                                                             \
	X(timerfd_create, FULL, "dx", 0, "")                                                       \
	X(timerfd_settime, FULL, "dxpp", 0, "")                                                    \
	X(timerfd_gettime, FULL, "dp", 0, "")                                                      \
	X(poll, FULL, "pud", 0, "")                                                                \
	X(ppoll, FULL, "pupp", 0, "")                                                              \
	X(select, FULL, "dpppp", 0, "")                                                            \
	X(pselect6, FULL, "dppppp", 0, "")                                                         \
	X(epoll_create, FULL, "d", 0, "")                                                          \
	X(epoll_create1, FULL, "x", 0, "")                                                         \
	X(epoll_ctl, FULL, "dddp", 0, "")                                                          \
	X(epoll_wait, FULL, "dpdd", 0, "")                                                         \
	X(epoll_pwait, FULL, "dpddpu", 0, "")                                                      \
	X(epoll_pwait2, FULL, "dpdppu", 0, "")                                                     \
	X(signalfd, REFUSED, "dpu", ENOSYS, "signals go to handlers")                              \
	X(signalfd4, REFUSED, "dpux", ENOSYS, "signals go to handlers")                            \
	X(splice, FULL, "dpdpux", 0, "")                                                           \
	X(tee, FULL, "ddux", 0, "")                                                                \
	X(vmsplice, FULL, "dpux", 0, "")                                                           \
	X(io_uring_setup, REFUSED, "up", ENOSYS, "every program has another way")                  \
	X(io_uring_enter, REFUSED, "duuxpu", ENOSYS, "every program has another way")              \
	X(io_uring_register, REFUSED, "dupu", ENOSYS, "every program has another way")             \
	X(io_setup, REFUSED, "up", ENOSYS, "every program has another way")

/* Memory: memory/calls.c */
#define LINUX_CALLS_MEMORY(X)                                                                      \
	X(mmap, PARTIAL, "puxxdx", 0,                                                              \
	  "shared anonymous memory is private; a private mapping is a copy, with zeros "           \
	  "behind the file's end; a page with W and X is one of the two at a time")                \
	X(munmap, FULL, "pu", 0, "")                                                               \
	X(mprotect, PARTIAL, "pux", 0, "a page with W and X is one of the two at a time")          \
	X(mremap, PARTIAL, "puuxp", 0,                                                             \
	  "by copying; shared mappings of files move without, and old_size 0 maps them "           \
	  "again; MREMAP_DONTUNMAP is refused with EINVAL")                                        \
	X(brk, FULL, "p", 0, "")                                                                   \
	X(madvise, PARTIAL, "pud", 0,                                                              \
	  "DONTNEED restores what was mapped, REMOVE clears, WIPEONFORK holds for clones, "        \
	  "POPULATE_READ and POPULATE_WRITE bring pages; the rest is advice and ignored")          \
	X(msync, FULL, "pux", 0, "nothing to do: a shared mapping and its file are one")           \
	X(mincore, PARTIAL, "pup", 0, "pages come up to 2 MiB at a time")                          \
	X(mlock, FULL, "pu", 0, "nothing is ever paged out")                                       \
	X(mlock2, FULL, "pux", 0, "nothing is ever paged out")                                     \
	X(munlock, FULL, "pu", 0, "")                                                              \
	X(mlockall, FULL, "x", 0, "nothing is ever paged out")                                     \
	X(munlockall, FULL, "", 0, "")                                                             \
	X(membarrier, PARTIAL, "dxd", 0, "one processor: every command of the query succeeds")     \
	X(mbind, PARTIAL, "pudpux", 0, "one node: ignored")                                        \
	X(set_mempolicy, PARTIAL, "dpu", 0, "one node: ignored")                                   \
	X(get_mempolicy, PARTIAL, "ppuux", 0, "one node, the default policy")                      \
	X(pkey_alloc, ABSENT, "xx", ENOSPC, "no protection keys")                                  \
	X(pkey_free, REFUSED, "d", EINVAL, "no protection keys")                                   \
	X(pkey_mprotect, REFUSED, "puxd", EINVAL, "no protection keys")                            \
	X(shmget, REFUSED, "dux", ENOSYS, "no System V IPC: there is no other process")            \
	X(shmat, REFUSED, "dpx", ENOSYS, "no System V IPC")                                        \
	X(userfaultfd, REFUSED, "x", EPERM, "privileged")                                          \
	X(memfd_secret, REFUSED, "x", ENOSYS, "")

/* Threads and processes: task/clone.c, futex.c, sched_calls.c */
#define LINUX_CALLS_TASKS(X)                                                                       \
	X(clone, PARTIAL, "xpppx", 0, "threads only; a process: ENOSYS, as vfork and fork")        \
	X(clone3, PARTIAL, "pu", 0, "as clone")                                                    \
	X(fork, PARTIAL, "", 0, "ENOSYS: a function is one process")                               \
	X(vfork, PARTIAL, "", 0, "ENOSYS: a function is one process")                              \
	X(execve, REFUSED, "spp", EACCES, "one program: execve is not supported")                  \
	X(execveat, REFUSED, "dsppx", EACCES, "one program: execve is not supported")              \
	X(exit, FULL, "d", 0, "")                                                                  \
	X(exit_group, FULL, "d", 0, "ends the invocation with this status")                        \
	X(wait4, PARTIAL, "dpxp", 0, "ECHILD: there are no children")                              \
	X(waitid, PARTIAL, "ddpxp", 0, "ECHILD: there are no children")                            \
	X(set_tid_address, FULL, "p", 0, "")                                                       \
	X(set_robust_list, FULL, "pu", 0, "")                                                      \
	X(get_robust_list, FULL, "dpp", 0, "")                                                     \
	X(futex, PARTIAL, "pxdppx", 0,                                                             \
	  "ENOSYS for *_REQUEUE_PI; all threads have one priority, so there is none to inherit")   \
	X(futex_waitv, REFUSED, "puxpd", ENOSYS, "")                                               \
	X(rseq, ABSENT, "pxxx", ENOSYS, "atomics do without")                                      \
	X(sched_yield, FULL, "", 0, "")                                                            \
	X(sched_getaffinity, FULL, "dup", 0, "one processor")                                      \
	X(sched_setaffinity, PARTIAL, "dup", 0, "accepted if processor 0 is in the mask")          \
	X(sched_getparam, FULL, "dp", 0, "")                                                       \
	X(sched_setparam, PARTIAL, "dp", 0, "priority 0 only")                                     \
	X(sched_getscheduler, FULL, "d", 0, "SCHED_OTHER")                                         \
	X(sched_setscheduler, PARTIAL, "ddp", 0, "SCHED_OTHER, BATCH, IDLE; EPERM for the others") \
	X(sched_get_priority_max, FULL, "d", 0, "")                                                \
	X(sched_get_priority_min, FULL, "d", 0, "")                                                \
	X(sched_rr_get_interval, FULL, "dp", 0, "")                                                \
	X(sched_getattr, PARTIAL, "dpux", 0, "SCHED_OTHER")                                        \
	X(sched_setattr, REFUSED, "dpx", EPERM, "nothing to schedule")                             \
	X(getpriority, FULL, "dd", 0, "")                                                          \
	X(setpriority, PARTIAL, "ddd", 0, "remembered for the whole program, without effect")      \
	X(getcpu, FULL, "ppp", 0, "processor 0 of node 0")                                         \
	X(ioprio_get, FULL, "dd", 0, "")                                                           \
	X(ioprio_set, PARTIAL, "ddd", 0, "ignored")                                                \
	X(unshare, REFUSED, "x", EPERM, "privileged")                                              \
	X(setns, REFUSED, "dx", EPERM, "privileged")                                               \
	X(ptrace, REFUSED, "ddpp", EPERM, "there is no other process to trace")                    \
	X(process_vm_readv, REFUSED, "dpupux", EPERM, "there is no other process to read")         \
	X(process_vm_writev, REFUSED, "dpupux", EPERM, "there is no other process to write")       \
	X(pidfd_open, REFUSED, "dx", ENOSYS, "")                                                   \
	X(kcmp, REFUSED, "ddduu", ENOSYS, "")

/* Signals and timers: signal/, task/timers.c */
#define LINUX_CALLS_SIGNALS(X)                                                                     \
	X(rt_sigaction, FULL, "dppu", 0, "")                                                       \
	X(rt_sigprocmask, FULL, "dppu", 0, "")                                                     \
	X(rt_sigreturn, FULL, "", 0, "")                                                           \
	X(rt_sigpending, FULL, "pu", 0, "")                                                        \
	X(rt_sigsuspend, FULL, "pu", 0, "")                                                        \
	X(rt_sigtimedwait, FULL, "pppu", 0, "")                                                    \
	X(rt_sigqueueinfo, PARTIAL, "ddp", 0, "to the program itself")                             \
	X(rt_tgsigqueueinfo, PARTIAL, "dddp", 0, "to the program itself")                          \
	X(sigaltstack, FULL, "pp", 0, "")                                                          \
	X(kill, PARTIAL, "dd", 0, "at the program itself; ESRCH for others")                       \
	X(tkill, PARTIAL, "dd", 0, "at the program itself")                                        \
	X(tgkill, PARTIAL, "ddd", 0, "at the program itself")                                      \
	X(pause, FULL, "", 0, "")                                                                  \
	X(alarm, PARTIAL, "u", 0, "comes at the next system call after its time")                  \
	X(setitimer, PARTIAL, "dpp", 0,                                                            \
	  "comes at the next system call after its time; all three count wall time")               \
	X(getitimer, FULL, "dp", 0, "")                                                            \
	X(timer_create, PARTIAL, "dpp", 0,                                                         \
	  "comes at the next system call after its time; 32 timers")                               \
	X(timer_settime, PARTIAL, "dxpp", 0, "as timer_create")                                    \
	X(timer_gettime, FULL, "dp", 0, "")                                                        \
	X(timer_getoverrun, FULL, "d", 0, "")                                                      \
	X(timer_delete, FULL, "d", 0, "")                                                          \
	X(restart_syscall, REFUSED, "", EINTR, "no call needs it")

/* Time: task/clocks.c */
#define LINUX_CALLS_TIME(X)                                                                        \
	X(clock_gettime, FULL, "dp", 0, "also in the vDSO, without a call")                        \
	X(clock_getres, FULL, "dp", 0, "")                                                         \
	X(gettimeofday, FULL, "pp", 0, "also in the vDSO")                                         \
	X(time, FULL, "p", 0, "also in the vDSO")                                                  \
	X(nanosleep, PARTIAL, "pp", 0, "other threads run meanwhile; without any it spins")        \
	X(clock_nanosleep, PARTIAL, "dxpp", 0, "as nanosleep")                                     \
	X(times, PARTIAL, "p", 0, "the time of the invocation is user time")                       \
	X(getrusage, PARTIAL, "dp", 0, "user time and memory")                                     \
	X(clock_settime, PARTIAL, "dp", 0, "EPERM for what is valid")                              \
	X(settimeofday, REFUSED, "pp", EPERM, "privileged")                                        \
	X(adjtimex, REFUSED, "p", EPERM, "privileged")                                             \
	X(clock_adjtime, REFUSED, "dp", EPERM, "privileged")

/* Identity, limits and the system: task/identity.c, system.c */
#define LINUX_CALLS_SYSTEM(X)                                                                      \
	X(getpid, FULL, "", 0, "2, and another number in each invocation")                         \
	X(gettid, FULL, "", 0, "")                                                                 \
	X(getppid, FULL, "", 0, "1")                                                               \
	X(getpgrp, FULL, "", 0, "")                                                                \
	X(getpgid, FULL, "d", 0, "")                                                               \
	X(getsid, FULL, "d", 0, "")                                                                \
	X(setpgid, PARTIAL, "dd", 0, "ignored")                                                    \
	X(setsid, PARTIAL, "", 0, "ignored")                                                       \
	X(getuid, FULL, "", 0, "")                                                                 \
	X(geteuid, FULL, "", 0, "")                                                                \
	X(getgid, FULL, "", 0, "")                                                                 \
	X(getegid, FULL, "", 0, "")                                                                \
	X(getresuid, FULL, "ppp", 0, "")                                                           \
	X(getresgid, FULL, "ppp", 0, "")                                                           \
	X(getgroups, FULL, "dp", 0, "none")                                                        \
	X(setgroups, PARTIAL, "dp", 0, "ignored for root, EPERM for others")                       \
	X(setuid, FULL, "d", 0, "")                                                                \
	X(setgid, FULL, "d", 0, "")                                                                \
	X(setreuid, FULL, "dd", 0, "")                                                             \
	X(setregid, FULL, "dd", 0, "")                                                             \
	X(setresuid, FULL, "ddd", 0, "")                                                           \
	X(setresgid, FULL, "ddd", 0, "")                                                           \
	X(setfsuid, PARTIAL, "d", 0, "changes nothing")                                            \
	X(setfsgid, PARTIAL, "d", 0, "changes nothing")                                            \
	X(capget, PARTIAL, "pp", 0, "no capabilities")                                             \
	X(capset, PARTIAL, "pp", 0, "EPERM unless it asks for none")                               \
	X(uname, FULL, "p", 0, "Linux 6.1.0-thaw, node thaw")                                      \
	X(sysinfo, PARTIAL, "p", 0, "uptime and memory")                                           \
	X(getrlimit, FULL, "dp", 0, "")                                                            \
	X(setrlimit, PARTIAL, "dp", 0, "remembered; only that of descriptors is enforced")         \
	X(prlimit64, PARTIAL, "ddpp", 0, "of the program itself; otherwise as setrlimit")          \
	X(getrandom, FULL, "pux", 0, "")                                                           \
	X(arch_prctl, PARTIAL, "xp", 0, "FS and GS bases; ENODEV for CPUID, EINVAL for the rest")  \
	X(prctl, PARTIAL, "dxxxx", 0,                                                              \
	  "names, dumpable, no_new_privs, death signal, seccomp's state; EINVAL for the rest")     \
	X(personality, PARTIAL, "x", 0, "0, and the query")                                        \
	X(seccomp, REFUSED, "xxp", EINVAL, "the program is sealed already")                        \
	X(syslog, REFUSED, "dpd", EPERM, "privileged")                                             \
	X(sethostname, REFUSED, "su", EPERM, "privileged")                                         \
	X(setdomainname, REFUSED, "su", EPERM, "privileged")                                       \
	X(iopl, REFUSED, "d", EPERM, "devices")                                                    \
	X(ioperm, REFUSED, "uud", EPERM, "devices")                                                \
	X(modify_ldt, REFUSED, "dpu", ENOSYS, "no 16-bit or 32-bit code")                          \
	X(reboot, REFUSED, "xxxp", EPERM, "privileged")                                            \
	X(bpf, REFUSED, "dpu", EPERM, "privileged")                                                \
	X(perf_event_open, REFUSED, "pdddx", EACCES, "privileged")                                 \
	X(add_key, REFUSED, "sspud", ENOSYS, "no keyrings")                                        \
	X(request_key, REFUSED, "sssd", ENOSYS, "no keyrings")                                     \
	X(keyctl, REFUSED, "dxxxx", ENOSYS, "no keyrings")                                         \
	X(landlock_create_ruleset, REFUSED, "pux", EOPNOTSUPP, "the program is sealed already")

/* The network: wait/socket.c */
#define LINUX_CALLS_NETWORK(X)                                                                     \
	X(socket, PARTIAL, "ddd", 0,                                                               \
	  "AF_UNIX, though no process listens; EACCES for others, and the log names the family")   \
	X(socketpair, PARTIAL, "dddp", 0, "AF_UNIX streams within the program; EACCES for others") \
	X(sendto, PARTIAL, "dpuxpu", 0, "on a socket pair")                                        \
	X(recvfrom, PARTIAL, "dpuxpp", 0, "on a socket pair")                                      \
	X(sendmsg, PARTIAL, "dpx", 0, "on a socket pair, without control messages")                \
	X(recvmsg, PARTIAL, "dpx", 0, "on a socket pair, without control messages")                \
	X(shutdown, PARTIAL, "dd", 0, "on a socket pair")                                          \
	X(getsockname, PARTIAL, "dpp", 0, "of a socket pair: no name")                             \
	X(getpeername, PARTIAL, "dpp", 0, "of a socket pair: no name")                             \
	X(setsockopt, PARTIAL, "dddpu", 0, "on a socket pair: SOL_SOCKET's are ignored")           \
	X(getsockopt, PARTIAL, "dddpp", 0, "on a socket pair: type, domain, error, buffers")       \
	X(connect, PARTIAL, "dpu", 0, "ENOENT or ECONNREFUSED: no process listens")                \
	X(bind, REFUSED, "dpu", ENOTSOCK, "no network")                                            \
	X(listen, REFUSED, "dd", ENOTSOCK, "no network")                                           \
	X(accept, REFUSED, "dpp", ENOTSOCK, "no network")                                          \
	X(accept4, REFUSED, "dppx", ENOTSOCK, "no network")                                        \
	X(sendmmsg, REFUSED, "dpux", ENOTSOCK, "no network")                                       \
	X(recvmmsg, REFUSED, "dpuxp", ENOTSOCK, "no network")

#define LINUX_CALLS(X)                                                                             \
	LINUX_CALLS_FILES(X)                                                                       \
	LINUX_CALLS_WAITING(X)                                                                     \
	LINUX_CALLS_MEMORY(X)                                                                      \
	LINUX_CALLS_TASKS(X)                                                                       \
	LINUX_CALLS_SIGNALS(X)                                                                     \
	LINUX_CALLS_TIME(X)                                                                        \
	LINUX_CALLS_SYSTEM(X)                                                                      \
	LINUX_CALLS_NETWORK(X)

#endif
