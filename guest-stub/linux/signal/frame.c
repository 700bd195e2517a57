/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal frames, as the kernel's headers describe them. A handler may read and change them, and so
 * may an unwinder or a garbage collector that it calls.
 */
#include <asm/sigcontext.h>
#include <linux/signal.h>

#include <asm/ucontext.h> /* needs the one above */

#include "guest-stub/linux/calls_declared.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/user.h"
#include "guest-stub/linux/signal/signals.h"
#include "guest-stub/linux/task/cpu.h"
#include "guest-stub/linux/task/task.h"

#define RED_ZONE      128u
#define FLAGS_CHANGED 0xcd5u /* the bits of rflags that a program may set in a frame */
/* Where struct _fpstate describes what the frame has; see <asm/sigcontext.h>. */
#define SW_RESERVED 464u
#define MXCSR_AT    24u
#define MXCSR_VALID 0xffffu
#define HEADER_AT   512u

struct frame {
	uint64_t restorer;
	struct ucontext context;
	siginfo_t info;
};

static const stack_t *alternate(stack_t *out, uint64_t rsp)
{
	const struct task_signals *signals = &current->signals;

	*out = (stack_t){.ss_sp = (void *)signals->alternate_start,
			 .ss_size = signals->alternate_size};
	if (signals->alternate_size == 0)
		out->ss_flags = SS_DISABLE;
	else if (!(signals->alternate_flags & SS_AUTODISARM) &&
		 rsp - signals->alternate_start - 1 < signals->alternate_size)
		out->ss_flags = SS_ONSTACK;
	out->ss_flags |= (int)(signals->alternate_flags & SS_AUTODISARM);
	return out;
}

/* What a handler's frame says of the stack, for sys_rt_sigreturn(): the flags are those that were set, and
 * do not tell whether the stack is in use. */
static void save_stack(stack_t *out)
{
	struct task_signals *signals = &current->signals;

	*out = (stack_t){.ss_sp = (void *)signals->alternate_start,
			 .ss_flags = (int)signals->alternate_flags,
			 .ss_size = signals->alternate_size};
	if (signals->alternate_size == 0)
		out->ss_flags |= SS_DISABLE;
	if (!(signals->alternate_flags & SS_AUTODISARM))
		return;
	signals->alternate_start = signals->alternate_size = 0;
	signals->alternate_flags = SS_DISABLE;
}

/* Returns where the frame goes, and where its vector state goes in *STATE. 0: there is no room. */
static uint64_t place(const struct registers *registers, const struct signal_action *action,
		      uint64_t *state)
{
	stack_t stack;
	uint64_t top = registers->rsp - RED_ZONE, frame;

	alternate(&stack, registers->rsp);
	if (action->flags & SA_ONSTACK && !(stack.ss_flags & (SS_DISABLE | SS_ONSTACK)))
		top = current->signals.alternate_start + current->signals.alternate_size;
	*state = (top - vector_size - FP_XSTATE_MAGIC2_SIZE) & ~63ul;
	/* At a function's entry the stack is aligned to 16 bytes but for the return address. */
	frame = ((*state - sizeof(struct frame)) & ~15ul) - 8;
	if (frame > top || !user_writable(frame, top - frame))
		return 0;
	return frame;
}

static void put_state(uint64_t state)
{
	uint8_t *area = (uint8_t *)state;
	const struct _fpx_sw_bytes software = {
		.magic1 = FP_XSTATE_MAGIC1,
		.extended_size = vector_size + FP_XSTATE_MAGIC2_SIZE,
		.xfeatures = vector_mask,
		.xstate_size = vector_size,
	};
	const uint32_t magic2 = FP_XSTATE_MAGIC2;

	memset(area, 0, vector_size);
	vector_save(area);
	memcpy(area + SW_RESERVED, &software, sizeof(software));
	memcpy(area + vector_size, &magic2, sizeof(magic2));
}

static void put_registers(struct sigcontext *out, const struct registers *registers)
{
	*out = (struct sigcontext){
		.r8 = registers->r8,
		.r9 = registers->r9,
		.r10 = registers->r10,
		.r11 = registers->r11,
		.r12 = registers->r12,
		.r13 = registers->r13,
		.r14 = registers->r14,
		.r15 = registers->r15,
		.rdi = registers->rdi,
		.rsi = registers->rsi,
		.rbp = registers->rbp,
		.rbx = registers->rbx,
		.rdx = registers->rdx,
		.rax = registers->rax,
		.rcx = registers->rcx,
		.rsp = registers->rsp,
		.rip = registers->rip,
		.eflags = registers->rflags,
		.cs = 0x33,
		.ss = 0x2b,
	};
}

static void get_registers(struct registers *registers, const struct sigcontext *from)
{
	registers->r8 = from->r8, registers->r9 = from->r9, registers->r10 = from->r10;
	registers->r11 = from->r11, registers->r12 = from->r12, registers->r13 = from->r13;
	registers->r14 = from->r14, registers->r15 = from->r15, registers->rdi = from->rdi;
	registers->rsi = from->rsi, registers->rbp = from->rbp, registers->rbx = from->rbx;
	registers->rdx = from->rdx, registers->rax = from->rax, registers->rcx = from->rcx;
	registers->rsp = from->rsp, registers->rip = from->rip;
	registers->rflags = (from->eflags & FLAGS_CHANGED) | 0x202;
}

void signal_info_write(siginfo_t *out, const struct signal_info *info)
{
	memset(out, 0, sizeof(*out));
	out->si_signo = info->signal;
	out->si_code = info->code;
	if (info->code == SIGNAL_KERNEL)
		return;
	/* A timer's id and overrun have the same places. */
	out->si_pid = info->of[0];
	out->si_uid = (uint32_t)info->of[1];
	out->si_ptr = (void *)info->value;
	if (info->code == SIGNAL_USER || info->code == SIGNAL_TKILL) {
		out->si_pid = task_pid();
		out->si_uid = config.uid;
	}
}

static void put_info(siginfo_t *info, const struct signal_cause *cause)
{
	if (cause->vector == UINT32_MAX && cause->code != SIGNAL_KERNEL) {
		signal_info_write(info, &cause->info);
		return;
	}
	memset(info, 0, sizeof(*info));
	info->si_signo = cause->signal;
	info->si_code = cause->code;
	info->si_addr = (void *)cause->address;
}

bool signal_frame_build(struct registers *registers, const struct signal_action *action,
			const struct signal_cause *cause, uint64_t blocked)
{
	uint64_t state, at = place(registers, action, &state);
	struct frame *frame = (struct frame *)at;
	struct ucontext *context;

	/* Without SA_RESTORER the handler has nowhere to return to. */
	if (!at || !(action->flags & 0x04000000))
		return false;
	context = &frame->context;
	put_state(state);
	memset(context, 0, sizeof(*context));
	context->uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	save_stack(&context->uc_stack);
	put_registers(&context->uc_mcontext, registers);
	context->uc_mcontext.trapno = cause->vector == UINT32_MAX ? 0 : cause->vector;
	context->uc_mcontext.cr2 = cause->address;
	context->uc_mcontext.oldmask = blocked;
	context->uc_mcontext.fpstate = (struct _fpstate *)state;
	memcpy(&context->uc_sigmask, &blocked, sizeof(blocked));
	put_info(&frame->info, cause);
	frame->restorer = action->restorer;

	registers->rdi = (uint64_t)cause->signal;
	registers->rsi = (uint64_t)&frame->info;
	registers->rdx = (uint64_t)context;
	registers->rax = 0;
	registers->rsp = at;
	registers->rip = action->handler;
	registers->rflags = 0x202;
	return true;
}

/* The program may have written anything to its frame, so this corrects what XRSTOR would refuse. */
static bool restore_state(uint64_t from)
{
	static uint8_t area[VECTOR_SIZE_MAX] __attribute__((aligned(64)));
	uint64_t header[8] = {0};
	uint32_t mxcsr;

	if (user_get(area, from, vector_size))
		return false;
	memcpy(header, area + HEADER_AT, sizeof(header[0]));
	header[0] &= vector_mask;
	memcpy(area + HEADER_AT, header, sizeof(header));
	memcpy(&mxcsr, area + MXCSR_AT, sizeof(mxcsr));
	mxcsr &= MXCSR_VALID;
	memcpy(area + MXCSR_AT, &mxcsr, sizeof(mxcsr));
	vector_restore(area);
	return true;
}

static long set_stack(const stack_t *new, uint64_t rsp)
{
	struct task_signals *signals = &current->signals;
	unsigned mode = (unsigned)new->ss_flags & ~SS_AUTODISARM;
	stack_t old;

	if (alternate(&old, rsp)->ss_flags & SS_ONSTACK)
		return -EPERM;
	if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
		return -EINVAL;
	if (mode != SS_DISABLE && new->ss_size < MINSIGSTKSZ)
		return -ENOMEM;
	signals->alternate_start = mode == SS_DISABLE ? 0 : (uint64_t) new->ss_sp;
	signals->alternate_size = mode == SS_DISABLE ? 0 : new->ss_size;
	signals->alternate_flags = (uint32_t) new->ss_flags;
	return 0;
}

long sys_rt_sigreturn(const uint64_t *a)
{
	struct registers *registers = current->registers;
	struct ucontext context;
	uint64_t at = registers->rsp - sizeof(uint64_t), blocked;

	(void)a;
	if (user_get(&context, at + offsetof(struct frame, context), sizeof(context)) ||
	    (context.uc_mcontext.fpstate &&
	     !restore_state((uint64_t)context.uc_mcontext.fpstate))) {
		host_log("thaw: a signal's frame is not where it was");
		host_end(128 + SIGSEGV);
	}
	/* A stack that the handler still uses stays as it is, and what makes no sense is left out. */
	set_stack(&context.uc_stack, registers->rsp);
	get_registers(registers, &context.uc_mcontext);
	memcpy(&blocked, &context.uc_sigmask, sizeof(blocked));
	current->signals.blocked =
		blocked & ~(UINT64_C(1) << (SIGKILL - 1)) & ~(UINT64_C(1) << (SIGSTOP - 1));
	return (long)registers->rax;
}

long sys_sigaltstack(const uint64_t *a)
{
	stack_t old, new;
	long error;

	alternate(&old, current->registers->rsp);
	if (a[0]) {
		if (user_get(&new, a[0], sizeof(new)))
			return -EFAULT;
		error = set_stack(&new, current->registers->rsp);
		if (error)
			return error;
	}
	return a[1] ? user_put(a[1], &old, sizeof(old)) : 0;
}
