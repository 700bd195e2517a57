/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single instructions that a guest has no need of, and the outcome of each. The guest makes a
 * function of each line of this table, the test makes a case of it.
 *
 * X(name, assembly, argument in RDI, outcome); all other registers are zero. The outcomes:
 *   RUNS    the instruction completes
 *   GP, UD  that exception, at the instruction
 *   PF      a page fault at the address in RDI; FETCH: of the jump there
 *   SS      the stack-segment exception
 *   BP(n)   a breakpoint, and RIP is n bytes further
 *   ICEBP   likewise a debug exception
 *   OF(n)   likewise an overflow trap
 *   SYS     a system call, two bytes long
 *   ALIKE   depends on the processor, and is the same on every backend
 *   DIFFERS depends on the backend: see why_differs() in cases_faults.c
 */
#ifndef CONFORM_INSTRUCTIONS_H
#define CONFORM_INSTRUCTIONS_H

#define CONFORM_WILD	0x800000000000	   /* the first address that is not canonical */
#define CONFORM_SHIM	0xffffffff80001000 /* address of ring 0 in the KVM backend */
#define CONFORM_CONTROL 0xffffffff801ff000
#define CONFORM_BANK	0xffff800000000000
#define CONFORM_IMAGE	0xffff880000000000

/* clang-format off */
#define CONFORM_INSTRUCTIONS(X)                                                                    \
	/* Privileged. */                                                                          \
	X(hlt, "hlt", 0, GP)                                                                       \
	X(cli, "cli", 0, GP)                                                                       \
	X(sti, "sti", 0, GP)                                                                       \
	X(clts, "clts", 0, GP)                                                                     \
	X(invd, "invd", 0, GP)                                                                     \
	X(wbinvd, "wbinvd", 0, GP)                                                                 \
	X(invlpg, "invlpg (%rdi)", THAW_STACK_TOP, GP)                                             \
	X(read_cr0, "mov %cr0, %rax", 0, GP)                                                       \
	X(write_cr0, "mov %rax, %cr0", 0, GP)                                                      \
	X(read_cr2, "mov %cr2, %rax", 0, GP)                                                       \
	X(read_cr3, "mov %cr3, %rax", 0, GP)                                                       \
	X(write_cr3, "mov %rax, %cr3", 0, GP)                                                      \
	X(write_cr4, "mov %rax, %cr4", 0, GP)                                                      \
	X(write_cr8, "mov %rax, %cr8", 0, GP)                                                      \
	X(read_dr7, "mov %dr7, %rax", 0, GP)                                                       \
	X(write_dr7, "mov %rax, %dr7", 0, GP)                                                      \
	X(write_dr0, "mov %rax, %dr0", 0, GP)                                                      \
	X(rdmsr, "rdmsr", 0, GP)                                                                   \
	X(wrmsr, "wrmsr", 0, GP)                                                                   \
	X(rdpmc, "rdpmc", 0, GP)                                                                   \
	X(lgdt, "lgdt (%rdi)", THAW_STACK_TOP, GP)                                                 \
	X(lidt, "lidt (%rdi)", THAW_STACK_TOP, GP)                                                 \
	X(lldt, "lldt %ax", 0, GP)                                                                 \
	X(ltr, "ltr %ax", 0, GP)                                                                   \
	X(lmsw, "lmsw %ax", 0, GP)                                                                 \
	X(swapgs, "swapgs", 0, GP)                                                                 \
	X(sysret, "sysretq", 0, GP)                                                                \
	X(xsetbv, "xsetbv", 0, GP)                                                                 \
	X(in_byte, "in $0x10, %al", 0, GP)                                                         \
	X(out_call, "out %eax, $0x10", 0, GP)                                                      \
	X(out_panic, "out %eax, $0x11", 0, GP)                                                     \
	X(in_dx, "in %dx, %eax", 0, GP)                                                            \
	X(out_string, "outsb", 0, GP)                                                              \
	X(in_string, "insb", 0, GP)                                                                \
	X(load_tss, "mov $0x40, %eax\n mov %eax, %ds", 0, GP)                                      \
	X(load_local, "mov $0x7, %eax\n mov %eax, %es", 0, GP)                                     \
	X(load_null_stack, "mov %eax, %ss", 0, GP)                                                 \
	/* Instructions that do not exist, or not on this processor. */				   \
	X(ud2, "ud2", 0, UD)                                                                       \
	X(bad_lock, ".byte 0xf0, 0x90", 0, UD)                                                     \
	X(monitor, "monitor", 0, UD)                                                               \
	X(mwait, "mwait", 0, UD)                                                                   \
	X(clac, "clac", 0, UD)                                                                     \
	X(stac, "stac", 0, UD)                                                                     \
	X(rsm, "rsm", 0, UD)                                                                       \
	X(push_cs, ".byte 0x0e", 0, UD)                                                            \
	X(into, ".byte 0xce", 0, UD)                                                               \
	X(far_jump, ".byte 0xea, 0, 0, 0, 0, 0x33, 0", 0, UD)                                      \
	/* Interrupts by number. */                                                                \
	X(int_nmi, "int $0x02", 0, GP)                                                             \
	X(int_debug, "int $0x01", 0, GP)                                                           \
	X(int_double, "int $0x08", 0, GP)                                                          \
	X(int_page, "int $0x0e", 0, GP)                                                            \
	X(int_20, "int $0x20", 0, GP)                                                              \
	X(int_ff, "int $0xff", 0, GP)                                                              \
	X(int_3, ".byte 0xcd, 3", 0, BP(2))                                                        \
	X(int3, "int3", 0, BP(1))                                                                  \
	X(int_4, "int $4", 0, OF(2))                                                               \
	X(icebp, ".byte 0xf1", 0, ICEBP)                                                           \
	X(int_80, "int $0x80", 0, DIFFERS)                                                         \
	/* System calls from outside the gate. */						   \
	X(syscall_0, "syscall", 0, SYS)                                                            \
	X(sysenter, "sysenter", 0, DIFFERS)                                                        \
	X(vsyscall, "jmp *%rdi", 0xffffffffff600000, DIFFERS)                                      \
	/* Addresses. */                                                                           \
	X(read_shim, "movb (%rdi), %al", CONFORM_SHIM, PF)                                         \
	X(write_shim, "movb %al, (%rdi)", CONFORM_SHIM, PF)                                        \
	X(jump_shim, "jmp *%rdi", CONFORM_SHIM, FETCH)                                             \
	X(read_control, "movb (%rdi), %al", CONFORM_CONTROL, PF)                                   \
	X(write_control, "movb %al, (%rdi)", CONFORM_CONTROL, PF)                                  \
	X(read_bank, "movb (%rdi), %al", CONFORM_BANK, PF)                                         \
	X(write_bank, "movb %al, (%rdi)", CONFORM_BANK, PF)                                        \
	X(jump_bank, "jmp *%rdi", CONFORM_BANK, FETCH)                                             \
	X(read_image, "movb (%rdi), %al", CONFORM_IMAGE, PF)                                       \
	X(write_image, "movb %al, (%rdi)", CONFORM_IMAGE, PF)                                      \
	X(jump_image, "jmp *%rdi", CONFORM_IMAGE, FETCH)                                           \
	X(read_top, "movb (%rdi), %al", 0xffffffffffffffff, PF)                                    \
	X(read_high, "movb (%rdi), %al", 0x7ffffffff000, PF)                                       \
	X(read_wild, "movb (%rdi), %al", CONFORM_WILD, GP)                                         \
	X(write_wild, "movb %al, (%rdi)", CONFORM_WILD, GP)                                        \
	X(read_wild_top, "movb (%rdi), %al", 0xffff7fffffffffff, GP)                               \
	X(jump_wild, "jmp *%rdi", CONFORM_WILD, ALIKE)                                             \
	X(call_wild, "call *%rdi", 0xdead000000000000, ALIKE)                                      \
	X(prefetch_bank, "prefetcht0 (%rdi)", CONFORM_BANK, RUNS)                                  \
	X(prefetch_shim, "prefetchnta (%rdi)", CONFORM_SHIM, RUNS)                                 \
	X(prefetch_wild, "prefetcht0 (%rdi)", CONFORM_WILD, RUNS)                                  \
	X(clflush_bank, "clflush (%rdi)", CONFORM_BANK, ALIKE)                                     \
	X(clflush_shim, "clflush (%rdi)", CONFORM_SHIM, ALIKE)                                     \
	X(fxsave_bank, "fxsave (%rdi)", CONFORM_BANK, ALIKE)                                       \
	X(gate_write, "movb %al, (%rdi)", THAW_GATE, PF)                                           \
	X(gate_end, "movb (%rdi), %al", THAW_MAILBOX + THAW_MAILBOX_SIZE, PF)                      \
	/* Allowed. */                                                                             \
	X(xgetbv, "xgetbv", 0, RUNS)                                                               \
	X(rdtsc, "rdtsc", 0, RUNS)                                                                 \
	X(cpuid, "cpuid", 0, RUNS)                                                                 \
	X(lar, "lar %cx, %eax", 0, RUNS)                                                           \
	X(verr, "verr %ax", 0, RUNS)                                                               \
	X(load_data, "mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %fs", 0, RUNS)                   \
	X(load_code, "mov $0x33, %eax\n mov %eax, %es\n mov %eax, %gs", 0, RUNS)                   \
	X(load_stack, "mov $0x2b, %eax\n mov %eax, %ss\n nop", 0, RUNS)                            \
	X(pause, "pause", 0, RUNS)                                                                 \
	X(gate_read, "movb (%rdi), %al", THAW_GATE, RUNS)                                          \
	/* Instructions of features that not all processors have. */				   \
	X(wrfsbase_wild, "wrfsbase %rdi", CONFORM_WILD, DIFFERS)                                   \
	X(wrgsbase_wild, "wrgsbase %rdi", CONFORM_WILD, DIFFERS)                                   \
	X(wrgsbase_high, "wrgsbase %rdi", CONFORM_BANK, DIFFERS)                                   \
	X(avx512, "vpxord %zmm0, %zmm0, %zmm0", 0, DIFFERS)                                        \
	X(sgdt, "sgdt -16(%rsp)", 0, DIFFERS)                                                      \
	X(sidt, "sidt -16(%rsp)", 0, DIFFERS)                                                      \
	X(sldt, "sldt %eax", 0, DIFFERS)                                                           \
	X(str, "str %eax", 0, DIFFERS)                                                             \
	X(smsw, "smsw %eax", 0, DIFFERS)                                                           \
	X(vmcall, "vmcall", 0, DIFFERS)                                                            \
	X(vmmcall, "vmmcall", 0, DIFFERS)                                                          \
	X(vmxon, "vmxon (%rdi)", THAW_STACK_TOP, DIFFERS)                                          \
	X(vmread, "vmread %rax, %rax", 0, DIFFERS)                                                 \
	X(vmrun, "vmrun", 0, DIFFERS)                                                              \
	X(vmload, "vmload", 0, DIFFERS)                                                            \
	X(stgi, "stgi", 0, DIFFERS)                                                                \
	X(clgi, "clgi", 0, DIFFERS)                                                                \
	X(skinit, "skinit", 0, DIFFERS)                                                            \
	X(invlpga, "invlpga", 0, DIFFERS)                                                          \
	X(invpcid, "invpcid (%rdi), %rax", THAW_STACK_TOP, DIFFERS)                                \
	X(getsec, "getsec", 0, DIFFERS)                                                            \
	X(enclu, ".byte 0x0f, 0x01, 0xd7", 0, DIFFERS)                                             \
	X(rdpkru, ".byte 0x0f, 0x01, 0xee", 0, DIFFERS)                                            \
	X(wrpkru, ".byte 0x0f, 0x01, 0xef", 0, DIFFERS)                                            \
	X(xrstors, "xrstors (%rdi)", THAW_STACK_TOP, DIFFERS)
/* clang-format on */

#endif
