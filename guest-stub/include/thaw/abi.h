/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thaw's guest ABI, version 1: everything that passes between a guest and its host. The host, the
 * shims, the core and the guest library share this header; docs/abi.md explains it.
 *
 * A guest sees two things outside its own memory. Both are at fixed addresses, and neither is part
 * of an image:
 *   - the gate, one entry point that the guest calls: long gate(long number, void *argument), a
 *     System V call that does not preserve vector registers;
 *   - the mailbox, memory that guest and host share.
 *
 * The shim next to the guest answers a *shim call* (memory, the clock). A *hypercall* reaches the
 * host: its arguments are fixed fields of the mailbox, and its data goes through the mailbox's
 * windows. No guest pointer ever crosses to the host, so the host has none to check and none to get
 * wrong. The host copies what it needs out of the mailbox once and looks only at the copy.
 *
 * A mark says which side writes a field: [H] the host, [S] the shim, [G] the guest. The guest can
 * write all of the mailbox at any time.
 *
 * Host and guest use the __atomic builtins on the mailbox's words: <stdatomic.h> would change the
 * types of this shared header.
 */
#ifndef THAW_ABI_H
#define THAW_ABI_H

#include <stddef.h>
#include <stdint.h>

#define THAW_ABI_VERSION 1

#define THAW_PAGE_SIZE	 0x1000ul

/* ---- Guest-virtual memory, the same on every backend ---- */
#define THAW_REGION_BASE 0x10000ul	/* nothing is ever mapped below it */
#define THAW_REGION_END	 0x1000000000ul /* 64 GiB of addresses, sparsely mapped */
#define THAW_STACK_TOP	 0x400000ul	/* end of the first stack; an unmapped gap is below it */
#define THAW_STACK_SIZE	 0x40000ul
#define THAW_SHIM_BASE	 THAW_REGION_END /* the shim's text and data; its first byte is the gate */
#define THAW_SHIM_SIZE	 0x100000ul
#define THAW_GATE	 THAW_SHIM_BASE
#define THAW_MAILBOX	 (THAW_SHIM_BASE + THAW_SHIM_SIZE)
/* The shim and the mailbox alone share one 2 MiB piece of address space, so that a clone needs one
 * page-table page for both. */

/* A guest with a Linux program has two more things in its memory: the core, which is the function
 * as far as the host is concerned, and the program's files, read-only (thaw/tree.h). */
#define THAW_LINUX_BASE	   0xf00000000ul
#define THAW_TREE_BASE	   0xf40000000ul
#define THAW_TREE_SIZE_MAX 0x80000000ul

#define THAW_WINDOW_SIZE   0x10000ul /* a request or a response, or a piece of one */
#define THAW_SCRATCH_SIZE  2048ul    /* log lines, random bytes, the message of an abort */
#define THAW_SEED_SIZE	   24ul
#define THAW_RANGES_MAX	   1024ul /* mapped ranges that a guest may have at its ready point */
#define THAW_LOG_LINE_MAX  1024ul
#define THAW_RANDOM_MAX	   256ul

/* ---- Numbers ---- */

/* THAW_HYPERCALLS(X): X(name, number, what it does). The arguments are in struct thaw_call, the
 * reply is the mailbox's `reply`. */
#define THAW_HYPERCALLS(X)                                                                         \
	X(next, 1,                                                                                 \
	  "finish the current invocation, if there is one, and wait for the next request")         \
	X(read, 2, "put the next piece of the request into the request window")                    \
	X(write, 3,                                                                                \
	  "take `length` bytes of the response window as the next piece of the response")          \
	X(log, 4, "a line for the operator: `length` bytes of scratch; rate-limited")              \
	X(random, 5, "put `length` bytes of host entropy into scratch")                            \
	X(call, 6, "invoke another function; always THAW_ENOTGRANTED in this version")             \
	X(exit, 7, "end the invocation with `status` and this instance with it")                   \
	X(abort, 8, "give up: `length` bytes of scratch say why")

/* THAW_SHIM_CALLS(X): X(name, number, what it does). The argument is a struct thaw_shim_memory
 * unless the text names another. */
#define THAW_SHIM_CALLS(X)                                                                         \
	X(map, 64, "map zeroed pages; fails with -ENOMEM at the memory limit")                     \
	X(unmap, 65, "unmap pages, their content is gone")                                         \
	X(protect, 66, "change the protection of mapped pages; W and X together are refused")      \
	X(clock, 67, "fill a struct thaw_shim_clock, for hosts whose clock is not the TSC")        \
	X(dispatch, 68,                                                                            \
	  "from now on bring system calls and faults to the entries of a struct "                  \
	  "thaw_shim_dispatch; THAW_ENOSYS where the host's kernel cannot")                        \
	X(segments, 69, "set the FS and GS bases of a struct thaw_shim_segments")                  \
	X(tick, 70, "have the host look at the mailbox's `tick_ns` now; takes no argument")

#define THAW_ENUM_HYPERCALL(name, number, what) THAW_HYPERCALL_##name = (number),
#define THAW_ENUM_SHIM_CALL(name, number, what) THAW_SHIM_CALL_##name = (number),
enum thaw_hypercall { THAW_HYPERCALLS(THAW_ENUM_HYPERCALL) };
enum thaw_shim_call { THAW_SHIM_CALLS(THAW_ENUM_SHIM_CALL) };

/* The shim's own report in place of a hypercall: the guest faulted. */
#define THAW_CALL_FAULT 0x100u
/* A shim that cannot tell the time itself asks the host with this call when the guest makes the
 * shim call `clock`. The host answers in the clock of the request's header. */
#define THAW_CALL_CLOCK 0x101u
/* A shim whose host does not look at `tick_ns` by itself sends it there with this call. */
#define THAW_CALL_TICK 0x102u

/* A reply is 0, positive, or one of these. They have Linux's numbers because those are familiar. */
#define THAW_ENOMEM	 (-12)
#define THAW_EINVAL	 (-22)
#define THAW_ENOTGRANTED (-1) /* EPERM */
#define THAW_ENOSYS	 (-38)
#define THAW_EAGAIN	 (-11) /* rate-limited */

/* The argument of map, unmap and protect: page-aligned and inside the region. */
struct thaw_shim_memory {
	uint64_t start, length;
	uint32_t prot; /* 1 read, 2 write, 4 execute; never 2 and 4 together */
	uint32_t reserved;
};

struct thaw_shim_clock {
	uint64_t wall_ns, monotonic_ns;
};

/*
 * Dispatch: a guest that holds a program of its own (the Linux core) receives that program's system
 * calls and faults. [start, end) is the caller's own code, inside the region, and holds both
 * entries; all zero turns dispatch off. For code outside [start, end) and outside the shim:
 *   - a `syscall` instruction enters at syscall_entry. rcx is the address after the instruction,
 *     r11 the flags, and every other register, rsp and the vector state included, is the program's;
 *   - a fault enters at fault_entry. struct thaw_fault is in the mailbox, and every register except
 *     the flags is the program's.
 * In both cases the flags are 0x202 and dispatch stays armed, so an entry switches to a stack of
 * its own before it does anything that may fault. It returns as any code at its privilege may: by
 * popfq and a jump, or by iretq (CS 0x33, SS 0x2b).
 *
 * A guest that wants ticks sets the mailbox's `tick_ns`. While a tick finds code outside [start, end)
 * and outside the shim, it enters at fault_entry too, as a fault with vector THAW_VECTOR_TICK and
 * signal 0. Elsewhere it is lost, and another one follows.
 *
 * A system call or fault inside [start, end), or with a stack pointer that is not canonical, is
 * fatal, as all of them are without dispatch. Dispatch is part of the ready point's record, so a
 * clone has it from its start.
 */
struct thaw_shim_dispatch {
	uint64_t start, end;
	uint64_t syscall_entry, fault_entry;
};

/* Sets both. Each must be below THAW_BASE_END. */
struct thaw_shim_segments {
	uint64_t fs_base, gs_base;
};
#define THAW_BASE_END 0x7ffffffff000ul

/* ---- The mailbox ---- */

/* Whose turn it is. The process backend uses the word as a futex; under KVM the exit itself passes
 * the turn. */
enum thaw_turn {
	THAW_TURN_NONE = 0,  /* a fresh instance without a request yet */
	THAW_TURN_GUEST = 1, /* the host has put a request or a reply in place */
	THAW_TURN_HOST = 2,  /* the guest has put a call in place */
	THAW_TURN_DEAD = 3,  /* the clone has died: the host tells its own waiter */
};

/* How the host of a process sleeps. */
enum thaw_sleep {
	THAW_SLEEP_NONE,
	THAW_SLEEP_SHORT, /* it looks at `tick_ns` soon, in a millisecond or when a tick is due */
	THAW_SLEEP_LONG,  /* it does not look before it is called */
};

/* The arguments of the current hypercall. [G] */
struct thaw_call {
	uint32_t number;
	uint32_t status; /* next, exit: the invocation's exit code, 0..255 */
	uint64_t length; /* bytes: next, exit, write: of the response window;
			    log, random, abort: of scratch */
};

/* Time without an exit: ns = base + ((rdtsc - tsc_base) * mult >> shift). [H] */
struct thaw_clock {
	uint64_t tsc_base;
	uint64_t wall_ns, monotonic_ns; /* at tsc_base */
	uint32_t mult; /* 0: the host's clock is not the TSC; use the shim call `clock` */
	uint32_t shift;
};

/* One request, as `next` returns it. [H] */
struct thaw_request_header {
	uint64_t generation; /* different in each invocation of any instance of any image; not 0 */
	uint64_t length;     /* bytes of the whole request */
	uint64_t window_length; /* of them, in the request window now; `read` brings more */
	uint64_t deadline_ns;	/* monotonic: the host then ends the invocation; 0: never */
	struct thaw_clock clock;
	/* Entropy for this invocation alone. The guest library uses 128 bits of it for its
	 * generator and 64 bits for the stack protector. */
	uint8_t seed[THAW_SEED_SIZE];
	uint64_t reserved;
};

/* Registers travel in this order:
 * rax rbx rcx rdx rsi rdi rbp rsp r8..r15 rip rflags fs_base gs_base. */
#define THAW_REGISTER_COUNT 20

#define THAW_VECTOR_TICK    0xfffffffeu /* no fault: the program was interrupted */

/* A description of a fault. [S], so it deserves no more trust than the guest. */
struct thaw_fault {
	uint32_t signal;  /* the Linux signal that the exception stands for */
	uint32_t vector;  /* the x86 exception vector; 0xffffffff: none */
	uint64_t address; /* of the access; for a refused system call, its number */
	uint64_t registers[THAW_REGISTER_COUNT];
};

struct thaw_mailbox {
	/* The host's page comes first; a guest has no reason to write it. Its first cache line is
	 * the hand-over. */
	uint32_t turn; /* [H][S] enum thaw_turn; a futex */
	uint32_t up;   /* [S] 1 once a clone waits for its request */
	int64_t reply; /* [H] */
	/* For early clones of the process backend: the guest memory that the clone wants, then the
	 * memory that is there. */
	uint64_t piece_start, piece_end; /* [S][H] */
	uint32_t complete;		 /* [H] all of the image is there */
	/* Process backend: the host sleeps on `turn`. While it is 0, no wake-up is needed. */
	uint32_t host_sleeps; /* [H] enum thaw_sleep */
	/* Process backend: FS or GS base may differ from the image's. The host keeps the word when
	 * it wipes the mailbox; the shim of a recycled clone then loads the bases again. */
	uint32_t bases_changed; /* [S][H] */
	uint32_t reserved;
	uint64_t reserved0[2];
	/* The second and third cache lines: the request. */
	struct thaw_request_header request; /* [H] */
	uint64_t reserved1[4];
	struct thaw_fault fault; /* [S] */
	uint8_t reserved2[THAW_PAGE_SIZE - 64 - 128 - 176];
	/* [H]; at the ready point [S]: a struct thaw_ready. */
	uint8_t request_window[THAW_WINDOW_SIZE];
	/* The guest's part follows: an invocation with a small response writes one page of it. */
	struct thaw_call call; /* [G] */
	/* From when on the guest wants ticks, on the clock of the request's `monotonic_ns`; 0: it
	 * wants none. The host looks when a tick is due, and then stops looking if there is 0. So
	 * a guest that stores a time where there was 0, or an earlier one, makes the shim call
	 * `tick`. */
	uint64_t tick_ns; /* [G] */
	uint8_t reserved3[40];
	uint8_t scratch[THAW_SCRATCH_SIZE];	   /* [G][H] */
	uint8_t response_window[THAW_WINDOW_SIZE]; /* [G] */
	uint8_t reserved4[THAW_PAGE_SIZE - 64 - THAW_SCRATCH_SIZE];
};

/* The canonical record of the ready point. The shim of a booting guest leaves it in the request
 * window with each `next`. An image keeps nothing else of a vCPU. */
struct thaw_ready {
	uint32_t abi_version;
	uint32_t range_count;
	uint64_t registers[THAW_REGISTER_COUNT]; /* as `next` returns */
	uint64_t xsave_mask;			 /* components in `xsave` */
	uint32_t xsave_length;			 /* bytes, in the standard layout */
	uint32_t reserved;
	struct thaw_shim_dispatch dispatch; /* all zero: off */
	uint64_t reserved1[5];
	struct {
		uint64_t start, length;
		uint32_t prot, reserved;
	} ranges[THAW_RANGES_MAX]; /* sorted, merged */
	uint8_t xsave[];	   /* 64-byte aligned in the mailbox */
};

#define THAW_MAILBOX_SIZE (2 * THAW_PAGE_SIZE + 2 * THAW_WINDOW_SIZE)

_Static_assert(sizeof(struct thaw_call) == 16, "layout");
_Static_assert(sizeof(struct thaw_clock) == 32, "layout");
_Static_assert(sizeof(struct thaw_request_header) == 96, "layout");
_Static_assert(sizeof(struct thaw_fault) == 176, "layout");
_Static_assert(offsetof(struct thaw_mailbox, request) == 64, "layout");
_Static_assert(offsetof(struct thaw_mailbox, fault) == 64 + 128, "layout");
_Static_assert(offsetof(struct thaw_mailbox, request_window) == THAW_PAGE_SIZE, "layout");
_Static_assert(offsetof(struct thaw_mailbox, call) == THAW_PAGE_SIZE + THAW_WINDOW_SIZE, "layout");
_Static_assert(offsetof(struct thaw_mailbox, tick_ns) == THAW_PAGE_SIZE + THAW_WINDOW_SIZE + 16,
	       "layout");
_Static_assert(offsetof(struct thaw_mailbox, response_window) % 64 == 0, "layout");
_Static_assert(sizeof(struct thaw_mailbox) == THAW_MAILBOX_SIZE, "layout");
_Static_assert(offsetof(struct thaw_ready, xsave) % 64 == 0, "layout");

/* ---- The program file ---- */

/* A native function carries this ELF note: its owner is "Thaw", its descriptor is the ABI version
 * in 4 bytes. A program without it is refused with a reason and never run. */
#define THAW_NOTE_OWNER "Thaw"
#define THAW_NOTE_ABI	1u

#endif
