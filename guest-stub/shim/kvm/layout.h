/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract between the KVM backend and its shim: guest-physical slots, guest-virtual places and
 * two structures. It is private to these two, which come from one build, so it carries no version.
 * docs/kvm.md explains it. The assembler reads this header too.
 *
 * There are three memory slots:
 *   - the shim with the image's description: read-only, shared by all clones of an image;
 *   - the image's data: the same;
 *   - the bank, each clone's own: page tables, mailbox, stacks and every page that is written.
 *
 * Guest-virtual, the guest's region is below 64 GiB, the gate and the mailbox just above it. The
 * upper half, for ring 0 alone, has the shim and an alias each of the bank and of the image.
 */
#ifndef THAW_KVM_LAYOUT_H
#define THAW_KVM_LAYOUT_H

/* Guest-physical addresses, all below 2^38, which every processor with KVM can address. */
#define KVM_SHIM_GPA  0x200000
#define KVM_BANK_GPA  0x100000000
#define KVM_IMAGE_GPA 0x2000000000

/* Guest-virtual addresses of ring 0. The shim is linked for the top 2 GiB, the kernel code
 * model. */
#define KVM_SHIM_VA   0xffffffff80000000
#define KVM_DESC_AT   0x100000 /* struct kvm_description, from the slot's start */
#define KVM_SHIM_SIZE 0x200000 /* one page-table page's worth */
#define KVM_BANK_VA   0xffff800000000000
#define KVM_IMAGE_VA  0xffff880000000000

/* The numbers of the bank's first pages. */
#define KVM_PAGE_PML4	     0
#define KVM_PAGE_PDPT_LOW    1 /* of the guest's region, gate and mailbox */
#define KVM_PAGE_PD_GATE     2
#define KVM_PAGE_PT_GATE     3
#define KVM_PAGE_PDPT_SHIM   4
#define KVM_PAGE_PD_SHIM     5
#define KVM_PAGE_PT_SHIM     6
#define KVM_PAGE_PDPT_BANK   7
#define KVM_PAGE_PDPT_IMAGE  8
#define KVM_PAGE_CONTROL     9
#define KVM_PAGE_RANGES	     10
#define KVM_PAGES_RANGES     8
#define KVM_PAGE_WRITTEN     18
#define KVM_PAGES_WRITTEN    16
#define KVM_PAGE_STACK_CALL  34
#define KVM_PAGE_STACK_FAULT 35
#define KVM_PAGE_STACK_OTHER 36
#define KVM_PAGE_MAILBOX     37
#define KVM_PAGES_MAILBOX    34
#define KVM_PAGE_MAILBOX_OUT 17 /* within the mailbox: the first page of the guest's part */
#define KVM_PAGE_FREE	     71 /* the stack of free pages, four bytes for each page of the bank */

/* The last pages of the shim's window belong to the bank: pages that assembly reaches with short
 * addresses, and the stacks, each with an unmapped page below it. */
#define KVM_CONTROL_VA (KVM_SHIM_VA + 0x1ff000)
/* The mailbox's page with the call; the alias has the whole mailbox. */
#define KVM_MAILBOX_VA	    (KVM_SHIM_VA + 0x1fe000)
#define KVM_STACK_CALL_VA   (KVM_SHIM_VA + 0x1fc000)
#define KVM_STACK_FAULT_VA  (KVM_SHIM_VA + 0x1fa000)
#define KVM_STACK_OTHER_VA  (KVM_SHIM_VA + 0x1f8000)
#define KVM_STACK_CALL_TOP  (KVM_STACK_CALL_VA + 0x1000)
#define KVM_STACK_FAULT_TOP (KVM_STACK_FAULT_VA + 0x1000)
#define KVM_STACK_OTHER_TOP (KVM_STACK_OTHER_VA + 0x1000)
#define KVM_DESC_VA	    (KVM_SHIM_VA + KVM_DESC_AT)
#define KVM_DESC_SIZE_MAX   0xf0000
/* No stack is ever used further than this from its top. Its frames hold registers of the guest, so
 * the host wipes this much. */
#define KVM_STACK_USED 1024

/* Selectors. The guest's are Linux's, for programs that look at them. */
#define KVM_CS_KERNEL	0x10
#define KVM_DS_KERNEL	0x18
#define KVM_SS_USER	0x2b
#define KVM_CS_USER	0x33
#define KVM_TSS		0x40

#define KVM_MSR_FS_BASE 0xc0000100 /* GS_BASE is the next */

/* Ports that the shim writes to. There is no other way out of a guest. */
#define KVM_PORT_CALL	   0x10 /* a call is in the mailbox; number 0: a new clone is at rest */
#define KVM_PORT_PANIC	   0x11 /* the shim itself faulted */

#define KVM_VECTORS	   33
#define KVM_VECTOR_TICK	   32 /* the one interrupt: the host injects it while ring 3 runs */
#define KVM_VECTOR_SYSCALL 33 /* our own, for a system call from outside the gate */

/* Page-table entries: Intel SDM vol. 3, 4.5. Software owns bits 9 to 11. */
#define KVM_PTE_PRESENT	 0x1
#define KVM_PTE_WRITE	 0x2
#define KVM_PTE_USER	 0x4
#define KVM_PTE_ACCESSED 0x20
#define KVM_PTE_DIRTY	 0x40
#define KVM_PTE_LARGE	 0x80
#define KVM_PTE_GLOBAL	 0x100
#define KVM_PTE_COW	 0x200 /* writable, but read-only until it is copied */
#define KVM_PTE_PRIVATE	 0x400 /* a page of the bank, this clone's own */
#define KVM_PTE_NX	 0x8000000000000000
#define KVM_PTE_ADDRESS	 0x000ffffffffff000

/* Offsets for the assembler; asserted below. */
#define KVM_DESC_REGISTERS     0
#define KVM_DESC_XSAVE_MASK    160
#define KVM_DESC_FLAGS	       168
#define KVM_DESC_XSAVE	       192

#define KVM_CONTROL_USER_RSP   0
#define KVM_CONTROL_USER_RIP   8
#define KVM_CONTROL_USER_FLAGS 16
#define KVM_CONTROL_SAVED      24
#define KVM_CONTROL_EXTRA      72
#define KVM_CONTROL_CALLS      88
#define KVM_CONTROL_MODE       92
#define KVM_CONTROL_START      96 /* of the dispatch: start, end, syscall_entry, fault_entry */
#define KVM_CONTROL_END	       104
#define KVM_CONTROL_ENTRY      112

#define KVM_FLAG_FSGSBASE      1 /* the processor has instructions for FS and GS base */
#define KVM_FLAG_CLEAR_X87     2 /* XRSTOR leaves the x87 error pointers in place */

#define KVM_MODE_SERVE	       0
#define KVM_MODE_BOOT	       1 /* `next` leaves a record and returns to the guest */

#ifndef __ASSEMBLER__

#include "guest-stub/include/thaw/abi.h"
#include "guest-stub/shim/ranges.h"

#define KVM_EXTENTS_MAX	 4096u
#define KVM_PREFAULT_MAX 4096u /* half of KVM_WRITTEN_MAX: prefaulted pages count as written */
#define KVM_XSAVE_MAX	 16384u
#define KVM_WRITTEN_MAX	 8192u
#define KVM_CHANGED_MAX	 192u

/* Data of the image: guest addresses [start, end) are at guest-physical address GPA and on. */
struct kvm_extent {
	uint64_t start, end, gpa;
};

/* The image, as all its clones see it; read-only to them. [H] */
struct kvm_description {
	uint64_t registers[THAW_REGISTER_COUNT];
	uint64_t xsave_mask;
	uint32_t flags; /* KVM_FLAG_* */
	uint32_t xsave_length;
	uint64_t zero_gpa; /* a page of zeroes in this slot */
	uint64_t bank_pages;
	uint8_t xsave[KVM_XSAVE_MAX]; /* 64-byte aligned */
	/* The processor's own tables; Intel SDM vol. 3, 3.5 and 6.14. */
	uint64_t gdt[10];
	uint64_t idt[KVM_VECTORS][2];
	uint32_t tss[28];
	struct thaw_shim_dispatch dispatch;
	uint32_t extent_count;
	uint32_t prefault_count;
	struct kvm_extent extents[KVM_EXTENTS_MAX]; /* sorted */
	/* Pages that a new clone prefaults; bit 0: for writing. The host appends to the list while
	 * clones are made: it stores an entry first and then, with release order, the count. The
	 * shim checks each entry like an access of the guest. */
	uint64_t prefault[KVM_PREFAULT_MAX];
};

/* The shim's entries, at the start of its second page; its first page is the gate. */
struct kvm_entries {
	uint64_t thaw, prefault, syscall, stubs;
};

struct kvm_interval {
	uint64_t start, end;
};

/* A clone's own counters and logs, in the bank. [S], except for the values that the host sets when
 * it makes or recycles the clone. The host checks all that it reads here. */
struct kvm_control {
	uint64_t user_rsp, user_rip, user_flags; /* of the current call */
	uint64_t saved[6];			 /* rbx rbp r12 r13 r14 r15 of the current call */
	uint64_t extra[2];			 /* rdx and r8 of its return */
	uint32_t calls;				 /* uses of the call stack in this invocation */
	uint32_t mode;				 /* KVM_MODE_*; [H] */
	struct thaw_shim_dispatch dispatch;	 /* the description's, or as a call has set it */
	uint64_t bases[2]; /* FS and GS as last set by a call; true only without FSGSBASE */

	uint64_t memory_pages; /* limit on mapped pages; [H] */
	uint64_t next_page;    /* from here on, the bank was never used */
	uint32_t free_count;   /* pages on the free stack, all of them zero */
	uint32_t table_pages;  /* pages that are page tables */

	/* Of this invocation. */
	uint32_t faults;	/* handled on the fault stack */
	uint32_t overflow;	/* a log was too small, so this clone cannot be recycled */
	uint32_t written_count; /* entries in the log of pages that became private */
	uint32_t changed_count;
	/* Where mappings changed: sorted, disjoint, and sometimes larger than the changes. */
	struct kvm_interval changed[KVM_CHANGED_MAX];
};

_Static_assert(offsetof(struct kvm_description, xsave_mask) == KVM_DESC_XSAVE_MASK, "layout");
_Static_assert(offsetof(struct kvm_description, flags) == KVM_DESC_FLAGS, "layout");
_Static_assert(offsetof(struct kvm_description, xsave) == KVM_DESC_XSAVE, "layout");
_Static_assert(KVM_DESC_XSAVE % 64 == 0, "XRSTOR wants it aligned");
_Static_assert(sizeof(struct kvm_description) <= KVM_DESC_SIZE_MAX, "fits its slot");
_Static_assert(offsetof(struct kvm_control, saved) == KVM_CONTROL_SAVED, "layout");
_Static_assert(offsetof(struct kvm_control, extra) == KVM_CONTROL_EXTRA, "layout");
_Static_assert(offsetof(struct kvm_control, calls) == KVM_CONTROL_CALLS, "layout");
_Static_assert(offsetof(struct kvm_control, mode) == KVM_CONTROL_MODE, "layout");
_Static_assert(offsetof(struct kvm_control, dispatch.start) == KVM_CONTROL_START, "layout");
_Static_assert(offsetof(struct kvm_control, dispatch.end) == KVM_CONTROL_END, "layout");
_Static_assert(offsetof(struct kvm_control, dispatch.syscall_entry) == KVM_CONTROL_ENTRY, "layout");
_Static_assert(sizeof(struct kvm_control) <= THAW_PAGE_SIZE, "one page");
_Static_assert(sizeof(struct shim_ranges) <= KVM_PAGES_RANGES * THAW_PAGE_SIZE, "fits its pages");
_Static_assert(KVM_WRITTEN_MAX * sizeof(uint64_t) <= KVM_PAGES_WRITTEN * THAW_PAGE_SIZE,
	       "fits its pages");
_Static_assert(THAW_MAILBOX_SIZE == KVM_PAGES_MAILBOX * THAW_PAGE_SIZE, "fits its pages");
_Static_assert(offsetof(struct thaw_mailbox, call.number) == KVM_PAGE_MAILBOX_OUT * THAW_PAGE_SIZE,
	       "where assembly writes it");

#endif
#endif
