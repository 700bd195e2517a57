/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena: one memory file, through which the process backend and its shim communicate. It begins
 * with the control block; the mailboxes of all slots follow. It is private to these two, which are
 * always of one build, and so has no version.
 *
 * The shim is a static program executed from memory with two descriptors and nothing else. It waits
 * for `go`, and then becomes either a booting guest (SHIM_BOOT) or the zygote of an image
 * (SHIM_ZYGOTE). A clone unmaps the control block and every mailbox but its own before it runs
 * guest code.
 *
 * Host and guest code share this header, so its words are plain; both sides use the __atomic
 * builtins on those that are futexes or counters.
 */
#ifndef THAW_SHIM_CONTROL_H
#define THAW_SHIM_CONTROL_H

#include <linux/filter.h>
#include <stdint.h>

#include "guest-stub/include/thaw/abi.h"

/* Boot: the guest's memory, shared. Zygote: the image, mapped privately and then closed. */
#define SHIM_FD_MEMORY	  3
#define SHIM_FD_ARENA	  4

#define SHIM_SLOTS_MAX	  16384u
#define SHIM_MAPS_MAX	  4096u
#define SHIM_FILTER_MAX	  1024u
#define SHIM_XSAVE_MAX	  16384u
#define SHIM_PREFAULT_MAX 4096u
#define SHIM_RECORD_MAX	  16384u

/* The signal by which the host ticks a clone. */
#define SHIM_TICK_SIGNAL 14 /* SIGALRM */

/* Where the zygote maps the arena; clones have nothing there. */
#define SHIM_ARENA_ADDRESS (THAW_SHIM_BASE + 0x40000000ul)

enum shim_mode { SHIM_BOOT = 1, SHIM_ZYGOTE = 2 };

/* How far the shim has come; the host names the step in which it failed. */
enum shim_step {
	SHIM_STARTED,
	SHIM_MAPPED,   /* memory is in place */
	SHIM_PREPARED, /* signals, limits, registers */
	SHIM_SEALED,   /* the filter is on, and guards everything that follows */
};

/* A piece of guest memory, to be mapped before sealing. */
struct shim_map {
	uint64_t start, length;
	uint32_t prot;
	uint32_t backed; /* 1: from SHIM_FD_MEMORY at offset `start`; 0: anonymous zeroes */
};

/* Pages that each new clone prefaults before it waits. */
struct shim_prefault {
	uint64_t start;
	uint32_t pages;
	uint32_t write;
};

/* The pages that a recording clone touched, in the order of the first touch. Beside its mailbox,
 * such a clone keeps this part of the arena. */
struct shim_notes {
	uint32_t count; /* [S] */
	uint32_t reserved;
	uint64_t pages[SHIM_RECORD_MAX]; /* [S] bit 0: written */
};

/* A clone to be made. */
struct shim_order {
	uint32_t slot;
	uint32_t cpu;	/* its home: the processor of the thread that will wake it */
	uint32_t early; /* 1: not all of the image is in memory yet */
};

/* The steps by which a clone at rest mends its mappings when it is told to (TURN_REPAIR in rest.h):
 * an array in the request window that ends with SHIM_REPAIR_END. */
enum shim_repair_kind {
	SHIM_REPAIR_END,
	SHIM_REPAIR_UNMAP,
	SHIM_REPAIR_MAP, /* anonymous and empty; replaces what is there */
	SHIM_REPAIR_PROTECT,
};

struct shim_repair {
	uint64_t start, length;
	uint32_t prot, kind;
};

#define SHIM_REPAIRS_MAX (THAW_WINDOW_SIZE / sizeof(struct shim_repair) - 1)

/* Each field has one writer: [H] the host, before `go` unless noted; [S] the shim. */
struct shim_control {
	uint32_t go;	      /* [H] futex: enum shim_mode once all below is in place */
	uint32_t step;	      /* [S] futex: enum shim_step */
	int32_t error;	      /* [S] errno of the step after `step`, 0 while all is well */
	uint32_t slots;	      /* [H] */
	uint64_t size;	      /* [H] of the arena in bytes */
	uint64_t memory_size; /* [H] limit on mapped guest memory */
	uint64_t rest_point;  /* [S] zygote: where the kernel says a clone at rest is */

	/* The zygote's orders: slots to fork a clone for, a ring of SHIM_SLOTS_MAX. */
	uint32_t ordered;			/* [H] futex: orders ever given */
	uint32_t made;				/* [S] orders ever carried out */
	struct shim_order ring[SHIM_SLOTS_MAX]; /* [H] */
	/* [S] by the kernel itself, before the clone runs; or -errno when it could not be made. */
	int32_t pid[SHIM_SLOTS_MAX];

	uint64_t registers[THAW_REGISTER_COUNT]; /* [H] where the guest starts or goes on */
	struct thaw_shim_dispatch dispatch;	 /* [H] armed in every clone; all zero: off */
	uint64_t xsave_mask;			 /* [H] */
	uint32_t xsave_length;			 /* [H] at most SHIM_XSAVE_MAX */
	uint32_t map_count;			 /* [H] */
	uint32_t range_count;			 /* [H] */
	uint32_t filter_length;			 /* [H] */
	uint32_t prefault_count;		 /* [H] */
	struct shim_map maps[SHIM_MAPS_MAX];	 /* [H] */
	struct shim_map ranges[THAW_RANGES_MAX]; /* [H] the same memory as the guest knows it:
						       merged; `backed` unused */
	struct shim_prefault prefault[SHIM_PREFAULT_MAX]; /* [H] sorted */
	uint32_t record;			    /* [H] 1: clones record their working set */
	struct sock_filter filter[SHIM_FILTER_MAX]; /* [H] */
	uint8_t xsave[SHIM_XSAVE_MAX] __attribute__((aligned(64))); /* [H] */
	struct shim_notes notes __attribute__((aligned(THAW_PAGE_SIZE)));
};

#define SHIM_CONTROL_SIZE                                                                          \
	((sizeof(struct shim_control) + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1))
/* The part of the control block that a recording clone keeps. */
#define SHIM_NOTES_OFFSET offsetof(struct shim_control, notes)
#define SHIM_NOTES_SIZE	  (SHIM_CONTROL_SIZE - SHIM_NOTES_OFFSET)
/* Offset of a slot's mailbox in the arena. */
#define SHIM_SLOT_OFFSET(slot) (SHIM_CONTROL_SIZE + (uint64_t)(slot)*THAW_MAILBOX_SIZE)

#endif
