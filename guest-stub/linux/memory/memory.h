/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's address space. The core's own table of mappings knows both reservations (PROT_NONE,
 * with no pages) and mapped pages; the shim knows the pages only. The table never claims a
 * protection that the pages do not have, even when the host refuses a change half-way.
 */
#ifndef THAW_LINUX_MEMORY_H
#define THAW_LINUX_MEMORY_H

#include "guest-stub/linux/linux.h"

/* Linux's PROT_ values. The shim's are the same: 1, 2 and 4. */
enum { PROT_NONE_ = 0, PROT_READ_ = 1, PROT_WRITE_ = 2, PROT_EXEC_ = 4 };

/* Whether the program may both write and execute the memory. Its pages are one or the other at a
 * time: see flips.c. */
static inline bool prot_flips(unsigned prot)
{
	return (prot & (PROT_WRITE_ | PROT_EXEC_)) == (PROT_WRITE_ | PROT_EXEC_);
}

#define LINUX_PIE_BASE	0x40000000ul  /* where position-independent programs go */
#define LINUX_MMAP_TOP	0xE00000000ul /* mmap goes down from here */
#define LINUX_STACK_TOP 0xE00000000ul /* the first thread's stack is the topmost mapping */
#define LINUX_STACK	(8ul << 20)
/* Nothing is placed so close below memory that grows down, the first stack above all: Linux's
 * stack_guard_gap. */
#define LINUX_STACK_GAP (1ul << 20)
/* Anonymous memory up to this size is present at once; what is larger comes as it is touched. */
#define LINUX_AT_ONCE (1ul << 20)

struct file;
struct home;

/* What memory has besides its pages. */
struct backing {
	const char *name;  /* of a file, "[stack]" or "[heap]"; never freed; or NULL */
	struct file *file; /* its content until the program writes; the table holds it; or NULL */
	uint64_t offset;   /* of the memory's start in the file */
	bool shared;	   /* madvise(MADV_DONTNEED) keeps what was written */
	struct home *home; /* of a shared mapping that is one with its file: shared.h; or NULL */
	bool on_demand;	   /* pages come as they are touched */
	bool grows; /* down, when it is touched right below: MAP_GROWSDOWN, the first stack */
	bool wiped; /* its content is gone in clones: MADV_WIPEONFORK */
};

struct mapping {
	uint64_t start, end;
	uint8_t prot;
	bool present;  /* the shim has its pages; otherwise it is reserved, or not touched yet */
	bool executes; /* if prot_flips(prot): its pages are executable now, otherwise writable */
	bool owns;     /* if it has a home: its pages are newer, and may be written */
	struct backing backing;
};

/* ---- table.c, memory.c and demand.c. Ranges are page-aligned; errors are negative errnos. ---- */

/* Maps [START, START + LENGTH), zeroed, with PROT, in place of whatever was there. PROT_NONE only
 * reserves it. BACKING may be NULL. -ENOMEM leaves nothing mapped there. */
int memory_map(uint64_t start, uint64_t length, int prot, const struct backing *backing);

/* Unmaps what is mapped of the range. After an error the upper part of it may remain. */
int memory_unmap(uint64_t start, uint64_t length);

/* Changes the protection of the range, all of which is mapped. Content behind PROT_NONE is kept.
 * After an error the upper part of it may have kept its old protection. */
int memory_protect(uint64_t start, uint64_t length, int prot);

/* Makes the pages of [START, END) that may be both writable and executable the one that EXECUTES
 * says. -ENOMEM: there is no room for pieces so small. */
int memory_flip(uint64_t start, uint64_t end, bool executes);

/* Sets the function's limit in bytes; 0: unknown. Called once, before anything is mapped. */
void memory_set_limit(uint64_t limit);

/* Whether LENGTH bytes of memory could never be there at once, because the limit is below. */
bool memory_exceeds_limit(uint64_t length);

/* Whether LENGTH bytes are at most half of what the limit leaves. */
bool memory_fits_well(uint64_t length);

/* What to tell the user when LENGTH bytes more are refused: the limit, what is in use, and the
 * option. The text is good until the next call. */
const char *memory_shortage(uint64_t length);

/* Logs the refusal of LENGTH bytes, once, and gives it as the reason if the boot fails. Returns
 * -ENOMEM. */
int memory_refuse(uint64_t length);

/* Gives the untouched pages of [START, END) memory. */
int memory_supply(uint64_t start, uint64_t end);

/* Takes the pages of [START, END) away. They come again when they are touched, with what their file
 * gives then. */
int memory_forget(uint64_t start, uint64_t end);

/* Applies CHANGE to each mapping of [START, END), splitting those that reach over its ends, and
 * stops at the first that fails. CHANGE changes nothing else of the table. */
int memory_change_each(uint64_t start, uint64_t end,
		       int (*change)(struct mapping *mapping, unsigned to), unsigned to);

/* The protection that the pages of a mapping have, or would have. */
unsigned memory_pages_prot(const struct mapping *mapping);

/* Gets pages from the shim, which the limit leaves. 0 or -ENOMEM. */
int memory_take_pages(uint64_t start, uint64_t size, unsigned prot);

/* Adds to what memory_mapped() tells. */
void memory_count_mapped(int64_t bytes);

/* What a page fault at ADDRESS was: 1, the first touch of pages that come on demand, or a touch
 * below a mapping that grows down, and they and their neighbours are there now; 0, something else;
 * -ENOMEM, such a touch, for which there is no memory. */
int memory_touched(uint64_t address);

/* The highest free range of LENGTH bytes below LINUX_MMAP_TOP, or below TOP; 0: none. */
uint64_t memory_find(uint64_t length);
uint64_t memory_find_below(uint64_t length, uint64_t top);

/* Whether nothing is mapped or reserved in [START, START + LENGTH), and something may be. */
bool memory_is_free(uint64_t start, uint64_t length);

/* The same, and no gap of a mapping that grows down is there. */
bool memory_is_open(uint64_t start, uint64_t length);

/* The mapping that contains ADDRESS, or else the next one above it; NULL: none. The pointer is good
 * until the table changes. */
const struct mapping *memory_at_or_above(uint64_t address);

/* The mapping above MAPPING, or NULL. */
const struct mapping *memory_next(const struct mapping *mapping);

/* Copies the mapping that contains ADDRESS, or else the next one above it, to OUT as the program
 * knows it: in one piece, however much of it has been touched. RESIDENT gets the bytes that have.
 * Whether there is one. */
bool memory_whole(uint64_t address, struct mapping *out, uint64_t *resident);

/* How many bytes have pages. */
uint64_t memory_mapped(void);

/* How many bytes of addresses are taken, reservations too. */
uint64_t memory_taken(void);

/* What clones have of the mappings of [START, END), which may not be all mapped: madvise's marks.
 * Returns 0, -EINVAL where a file or shared memory would be wiped, or -ENOMEM. */
enum memory_mark { MARK_KEPT, MARK_WIPED };
int memory_mark(uint64_t start, uint64_t end, enum memory_mark mark);

/* ---- forks.c ---- */

/* Makes the memory what clones have of it, once, at the ready point. */
void memory_fork(void);

/* ---- flips.c ---- */

/* Handles a page fault at ADDRESS by the instruction at RIP. Whether a flip has put it right. */
bool flip_fault(uint64_t rip, uint64_t address);

/* Makes [ADDRESS, ADDRESS + LENGTH) writable for the core. Whether that worked. */
bool flip_to_write(uint64_t address, uint64_t length);

/* ---- calls.c ---- */

/* Sets where the program break starts. The loader calls it. */
void memory_set_brk(uint64_t start);

#endif
