/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's address space: the core's own table of mappings, which knows reservations
 * (PROT_NONE, nothing behind them) and mapped pages; the shim only ever sees the latter.
 */
#ifndef THAW_LINUX_MEMORY_H
#define THAW_LINUX_MEMORY_H

#include "guest-stub/linux/linux.h"

/* From here on discarded pages are mapped anew and not cleared by hand. */
#define DISCARD_BY_HAND (16 * THAW_PAGE_SIZE)

/* PROT_ values of Linux; PROT_READ | PROT_WRITE | PROT_EXEC are the shim's 1, 2, 4. */
enum { PROT_NONE_ = 0, PROT_READ_ = 1, PROT_WRITE_ = 2, PROT_EXEC_ = 4 };

/* Memory that the program may write and execute: its pages are one or the other, see flips.c. */
static inline bool prot_flips(unsigned prot)
{
	return (prot & (PROT_WRITE_ | PROT_EXEC_)) == (PROT_WRITE_ | PROT_EXEC_);
}

#define LINUX_PIE_BASE	0x40000000ul  /* where position-independent programs go */
#define LINUX_MMAP_TOP	0xE00000000ul /* mmap goes down from here */
#define LINUX_STACK_TOP 0xE00000000ul /* the first thread's stack is the first of that */
#define LINUX_STACK	(8ul << 20)

/* What is behind memory beside its pages. */
struct backing {
	const char *name;  /* of a file or "[stack]"; never freed; or NULL */
	struct file *file; /* whose content it has until it is written; held meanwhile; or NULL */
	uint64_t offset;   /* in the file, of the memory's start */
	bool shared;	   /* what was written stays when pages are given up */
	bool on_demand;	   /* a thread's stack: pages come as they are touched */
};

struct mapping {
	uint64_t start, end;
	uint8_t prot;
	bool present;  /* the shim has pages for it; else a reservation, or not touched yet */
	bool executes; /* if prot_flips(): its pages are executable now, and else writable */
	struct backing backing;
};

/* Maps [START, START + LENGTH) (page-aligned), zeroed, with PROT, whatever was there before.
 * PROT_NONE reserves only. BACKING may be NULL. 0 or -errno. */
int memory_map(uint64_t start, uint64_t length, int prot, const struct backing *backing);
int memory_unmap(uint64_t start, uint64_t length);
int memory_protect(uint64_t start, uint64_t length, int prot);

/* Makes pages of [START, END) executable, or writable, where they may be both. -ENOMEM: no room for
 * pieces so small. */
int memory_flip(uint64_t start, uint64_t end, bool executes);

/* Whether a page fault at ADDRESS was the first touch of pages that come on demand: they are there
 * now, with their neighbours. */
bool memory_touched(uint64_t address);
/* Gives what is untouched of [START, END) its pages; 0 or -errno. */
int memory_supply(uint64_t start, uint64_t end);

/* flips.c: whether a page fault at ADDRESS, of the instruction at RIP, was one that a flip has put
 * right. */
bool flip_fault(uint64_t rip, uint64_t address);

/* Makes [ADDRESS, ADDRESS + LENGTH) writable for the core. Whether it could be. */
bool flip_to_write(uint64_t address, uint64_t length);

/* A free range below LINUX_MMAP_TOP, as high as it goes, or 0. */
uint64_t memory_find(uint64_t length);
uint64_t memory_find_below(uint64_t length, uint64_t top);

/* Whether nothing is mapped or reserved in [START, START + LENGTH), and something may be. */
bool memory_is_free(uint64_t start, uint64_t length);

/* The mapping that has ADDRESS, or the next one above it; NULL when there is none. For
 * /proc/self/maps: start at 0 and go on from `end`. */
const struct mapping *memory_at_or_above(uint64_t address);

/* Bytes that are mapped (not reserved): /proc/self/statm and friends. */
uint64_t memory_mapped(void);

/* loader.c: where the program break starts. */
void memory_set_brk(uint64_t start);

#endif
