/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared mappings of files. A file that can be mapped so has a home, which keeps its bytes, and
 * these functions keep home and mappings one. shared.c tells how.
 *
 * Whoever reads or changes the bytes of a file asks home->mappings first, which is 0 for nearly all
 * files, and needs nothing of this then.
 */
#ifndef THAW_LINUX_SHARED_H
#define THAW_LINUX_SHARED_H

#include "guest-stub/linux/linux.h"

struct home;
struct mapping;

/* What the home's owner gives. GET and PUT know nothing of the mappings. */
struct home_operations {
	uint64_t (*size)(const struct home *home);
	/* Copies bytes of the file; zeros behind its end. */
	void (*get)(const struct home *home, void *to, uint64_t length, uint64_t at);
	/* Keeps whole pages, which begin before the file's end. -ENOMEM: some are not kept. */
	int (*put)(struct home *home, const void *from, uint64_t length, uint64_t at);
	/* Clears bytes, in the mappings as well. -ENOSPC: memory is out. */
	int (*clear)(struct home *home, uint64_t at, uint64_t length);
	/* Whether nothing of it was ever written. */
	bool (*untouched)(const struct home *home);
};

struct home {
	const struct home_operations *operations;
	uint32_t mappings;  /* entries of the table */
	uint32_t seals;	    /* those of fcntl(2), and SHARED_SEALABLE */
	uint64_t low, high; /* all mappings lie between, while there are any */
};

/* The file was made by memfd_create(), and has seals. */
#define SHARED_SEALABLE (1u << 31)
enum shared_seal {
	SEAL_SEAL = 1,
	SEAL_SHRINK = 2,
	SEAL_GROW = 4,
	SEAL_WRITE = 8,
	SEAL_FUTURE = 16,
	SEAL_EXEC = 32
};

/* ---- For the table of mappings ---- */

/* An entry with a home came to the table; goes. */
void shared_enter(const struct mapping *mapping);
void shared_leave(const struct mapping *mapping);

/* Gives the home what an entry that owns its pages has in them. -ENOMEM: it stays as it was. */
int shared_give(const struct mapping *mapping);

/* Gives an entry another protection. -EACCES, or as shared_give(). */
int shared_protect(struct mapping *mapping, unsigned prot);

/* ---- For the program's accesses, and the core's ---- */

enum shared_fault {
	SHARED_NOT,    /* none of such memory, or the program's own fault */
	SHARED_SOLVED, /* the instruction can go on */
	SHARED_BEYOND, /* behind the end of the file: SIGBUS */
};

/* Handles a page fault at ADDRESS. When memory is out the invocation ends. */
enum shared_fault shared_fault(const struct registers *registers, uint64_t address);

/* Makes the pages of shared mappings in [ADDRESS, ADDRESS + LENGTH) readable, or writable, for the
 * core. The program may do the same with them. False: some are behind the end of their file. */
bool shared_touch(uint64_t address, uint64_t length, bool write);

/* Takes the pages of [START, END) away, once their home has what is in them. 0 or -ENOMEM. */
int shared_withdraw(uint64_t start, uint64_t end);

/* What tells a word in shared memory from all others, under each of its addresses: a home and the
 * offset in it. Without a home it is the address. */
struct shared_word {
	const struct home *home;
	uint64_t at;
};
struct shared_word shared_word(uint64_t address);

/* ---- For the file's owner. The bytes are before the file's end. ---- */

/* Where the bytes of the file from AT on are: *HELD in a mapping, or NULL at home. Returns for how
 * many that holds, at most LENGTH. */
uint64_t shared_where(const struct home *home, uint64_t at, uint64_t length, uint8_t **held);

/* Copies to bytes that are held in a mapping. False: the host refused. */
bool shared_write(uint8_t *held, const void *from, uint64_t length);

/* Whether the program may write, or may ask to write, the file by a mapping that it has. */
bool shared_may_write(const struct home *home);

/* Shows the mappings what the home has there now. */
void shared_show(const struct home *home, uint64_t at, uint64_t length);

/* Clears what mappings have of [AT, AT + LENGTH). */
void shared_clear(const struct home *home, uint64_t at, uint64_t length);

/* The file ends at SIZE now, which is less than it was. */
void shared_cut(const struct home *home, uint64_t size);

#endif
