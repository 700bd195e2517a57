/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: how they begin and end. Processes do neither. */
#include <linux/sched.h>

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/host/log.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/task/cpu.h"
#include "guest-stub/linux/task/task.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define CLONE3_SIZE  64u

struct request {
	uint64_t flags, stack, parent_tid, child_tid, tls;
};

/* ENOSYS, because no program tries that again: shells, Perl and Ruby retry after EAGAIN, for seconds
 * or for ever. */
static long refuse_process(const char *call)
{
	log_once(LOG_KEY_PROCESS,
		 "warning: %s asked for another process (%s, at %#lx): a function is one process, "
		 "so it got ENOSYS; what it does by other programs will fail",
		 config.program, call, current->registers->rip - 2);
	return -ENOSYS;
}

static long start_thread(const struct request *request)
{
	struct registers registers = *current->registers;
	bool to_child = request->flags & CLONE_CHILD_SETTID;
	struct task *task;
	int told;

	if ((request->flags & THREAD_FLAGS) != THREAD_FLAGS)
		return refuse_process(request->flags & CLONE_VFORK ? "vfork" : "fork");
	if ((request->flags & CLONE_PARENT_SETTID && !user_writable(request->parent_tid, 4)) ||
	    (to_child && !user_writable(request->child_tid, 4)))
		return -EFAULT;
	if (request->flags & CLONE_SETTLS && request->tls >= THAW_BASE_END)
		return -EPERM;
	registers.rax = 0;
	if (request->stack)
		registers.rsp = request->stack;
	/* The new task, too, returns from a system call. */
	registers.rcx = registers.rip;
	registers.r11 = registers.rflags;
	task = task_new(&registers, request->flags & CLONE_SETTLS ? request->tls : segments_fs());
	if (!task) {
		log_once(LOG_KEY_THREADS, "no room for another thread (EAGAIN): at most %d",
			 TASKS_MAX);
		return -EAGAIN;
	}
	told = task->known_as = task_told(task->tid);
	if (request->flags & CLONE_PARENT_SETTID)
		user_put(request->parent_tid, &told, sizeof(told));
	if (to_child)
		user_put(request->child_tid, &told, sizeof(told));
	if (request->flags & CLONE_CHILD_CLEARTID)
		task->clear_child_tid = request->child_tid;
	return told;
}

long sys_clone(const uint64_t *a)
{
	const struct request request = {a[0], a[1], a[2], a[3], a[4]};

	return start_thread(&request);
}

long sys_clone3(const uint64_t *a)
{
	struct clone_args args = {0};
	struct request request;

	if (a[1] < CLONE3_SIZE || a[1] > THAW_PAGE_SIZE)
		return a[1] < CLONE3_SIZE ? -EINVAL : -E2BIG;
	if (user_get(&args, a[0], a[1] < sizeof(args) ? a[1] : sizeof(args)))
		return -EFAULT;
	request = (struct request){args.flags, args.stack ? args.stack + args.stack_size : 0,
				   args.parent_tid, args.child_tid, args.tls};
	return start_thread(&request);
}

long sys_fork(const uint64_t *a)
{
	(void)a;
	return refuse_process("fork");
}

long sys_vfork(const uint64_t *a)
{
	(void)a;
	return refuse_process("vfork");
}

long sys_exit(const uint64_t *a)
{
	const uint32_t zero = 0;
	uint64_t word = current->clear_child_tid;

	/* Other threads may wait for this one, or for its mutexes. */
	if (task_count() > 1) {
		robust_exit();
		mutex_exit();
		if (word && !user_put(word, &zero, sizeof(zero)))
			futex_wake(word, 1);
	}
	task_exit((int)a[0] & 0xff);
}

long sys_exit_group(const uint64_t *a)
{
	host_end((int)a[0] & 0xff);
}

long sys_wait4(const uint64_t *a)
{
	(void)a;
	return -ECHILD;
}

long sys_waitid(const uint64_t *a)
{
	(void)a;
	return -ECHILD;
}

long sys_set_tid_address(const uint64_t *a)
{
	current->clear_child_tid = a[0];
	current->known_as = task_told(current->tid);
	return current->known_as;
}

long sys_sched_yield(const uint64_t *a)
{
	(void)a;
	task_yield();
	return 0;
}
