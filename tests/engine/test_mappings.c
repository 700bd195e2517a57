/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clone's mappings against those of one that never ran: what is read from /proc/PID/maps, and
 * that the repair, carried out on a model of the clone, makes every page what it was.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/process/mappings.h"

#define BASE   UINT64_C(0x400000)
#define PAGES  48u
#define IMAGE  1u /* the inode of the image's file */
#define ARENA  2u /* and of the mailboxes' */
#define ROUNDS 4000u

/* What a page of the guest is: nothing, memory of its own, or a page of the image. */
struct page {
	enum { NOTHING, MEMORY, OF_IMAGE } kind;
	uint32_t prot;
	uint64_t offset; /* in the image */
};

static uint64_t state;

static uint64_t below(uint64_t limit)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (state >> 33) % limit;
}

static void add_line(char *text, uint64_t start, uint64_t end, uint32_t prot, char shared,
		     uint64_t offset, unsigned inode)
{
	size_t used = strlen(text);

	snprintf(text + used, 16384 - used, "%lx-%lx %c%c%c%c %08lx 00:01 %u   %s\n", start, end,
		 prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-',
		 prot & PROT_EXEC ? 'x' : '-', shared, offset, inode,
		 inode ? "/memfd:thaw-image (deleted)" : "");
}

/* Above the region: the shim's code, and a mailbox. */
static void add_outside(char *text, uint64_t mailbox_offset)
{
	add_line(text, THAW_GATE, THAW_GATE + THAW_PAGE_SIZE, PROT_READ | PROT_EXEC, 'p', 0, 3);
	add_line(text, THAW_MAILBOX, THAW_MAILBOX + THAW_PAGE_SIZE, PROT_READ | PROT_WRITE, 's',
		 mailbox_offset, ARENA);
}

static struct process_mappings read_text(const char *text)
{
	struct process_mappings mappings;

	cr_assert_eq(process_mappings_read(text, &mappings), 0, "%s", text);
	return mappings;
}

static struct process_mappings read_pages(const struct page *pages)
{
	static char text[16384];

	text[0] = '\0';
	for (unsigned i = 0; i < PAGES; i++)
		if (pages[i].kind != NOTHING)
			add_line(text, BASE + i * THAW_PAGE_SIZE, BASE + (i + 1) * THAW_PAGE_SIZE,
				 pages[i].prot, 'p',
				 pages[i].kind == OF_IMAGE ? pages[i].offset : 0,
				 pages[i].kind == OF_IMAGE ? IMAGE : 0);
	add_outside(text, 0);
	return read_text(text);
}

Test(mappings, lines_are_read_and_neighbours_joined)
{
	struct process_mappings mappings = read_text(
		"400000-401000 r--p 00001000 00:01 7    /memfd:thaw-image (deleted)\n"
		"401000-403000 r--p 00002000 00:01 7    /memfd:thaw-image (deleted)\n"
		"403000-404000 rw-p 00000000 00:00 0 \n"
		"404000-405000 rw-p 00000000 00:00 0    [heap]\n"
		"405000-406000 r-xp 00000000 00:00 0 \n"
		"1000000000-1000001000 rw-s 0000f000 00:01 8    /memfd:thaw-arena (deleted)\n");

	cr_assert_eq(mappings.count, 4);
	cr_expect(mappings.list[0].start == 0x400000 && mappings.list[0].end == 0x403000);
	cr_expect(mappings.list[0].offset == 0x1000 && mappings.list[0].prot == PROT_READ);
	cr_expect(mappings.list[0].file && !mappings.list[0].shared);
	cr_expect(mappings.list[1].start == 0x403000 && mappings.list[1].end == 0x405000);
	cr_expect(!mappings.list[1].file && mappings.list[1].prot == (PROT_READ | PROT_WRITE));
	cr_expect_eq(mappings.list[2].prot, PROT_READ | PROT_EXEC);
	cr_expect(mappings.list[3].shared && mappings.list[3].offset == 0xf000);
	cr_expect_neq(mappings.list[3].file, mappings.list[0].file);
	free(mappings.list);
}

Test(mappings, text_that_is_not_understood_is_refused)
{
	static const char *const bad[] = {
		"400000-401000 r--p 00000000 00:01 7", /* no end of line */
		"400000 r--p 00000000 00:01 7\n",
		"400000-401000 r-?p 00000000 00:01 7\n",
		"400000-401000 r--x 00000000 00:01 7\n",
		"400000-401000 r--p 00000000 00-01 7\n",
		"400000-401000 r--p 00000000 00:01 \n",
		"401000-401000 r--p 00000000 00:01 7\n", /* empty */
		"401000-400000 r--p 00000000 00:01 7\n",
		"400000-402000 r--p 00000000 00:01 7\n401000-403000 rw-p 00000000 00:00 0\n",
		"402000-403000 r--p 00000000 00:01 7\n400000-401000 rw-p 00000000 00:00 0\n",
	};
	struct process_mappings mappings;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(process_mappings_read(bad[i], &mappings), -1, "%s", bad[i]);
}

/* ---- The repair, on a model ---- */

static void random_page(struct page *page, uint64_t index)
{
	static const uint32_t prots[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
					 PROT_NONE};

	page->kind = (int)below(3);
	page->prot = prots[below(4)];
	page->offset = (index + below(8) / 7) * THAW_PAGE_SIZE; /* now and then another page's */
}

/* Runs of pages that are alike, as a guest has them. */
static void random_pages(struct page *pages)
{
	for (unsigned i = 0; i < PAGES;) {
		unsigned length = 1 + (unsigned)below(9);
		struct page like;

		random_page(&like, 0);
		for (; length-- && i < PAGES; i++) {
			pages[i] = like;
			pages[i].offset += i * THAW_PAGE_SIZE;
		}
	}
}

static bool same_page(const struct page *a, const struct page *b)
{
	return a->kind == b->kind && (a->kind == NOTHING || a->prot == b->prot) &&
	       (a->kind != OF_IMAGE || a->offset == b->offset);
}

/* A page of the image cannot be mapped again; where it can be written, memory does instead. */
static bool can_be_mended(const struct page *now, const struct page *wanted)
{
	return wanted->kind != OF_IMAGE || wanted->prot & PROT_WRITE ||
	       (now->kind == OF_IMAGE && now->offset == wanted->offset);
}

static void carry_out(const struct process_repair *repair, struct page *pages)
{
	for (size_t i = 0; i < repair->step_count; i++) {
		const struct shim_repair *step = &repair->steps[i];
		uint64_t first = (step->start - BASE) / THAW_PAGE_SIZE;

		cr_assert_geq(step->start, BASE);
		cr_assert(step->length && step->length % THAW_PAGE_SIZE == 0);
		cr_assert_leq(first + step->length / THAW_PAGE_SIZE, PAGES);
		for (uint64_t page = first; page < first + step->length / THAW_PAGE_SIZE; page++) {
			if (step->kind == SHIM_REPAIR_PROTECT) {
				cr_assert_neq(pages[page].kind, NOTHING);
				pages[page].prot = step->prot;
			} else {
				pages[page] = (struct page){step->kind == SHIM_REPAIR_MAP ? MEMORY
											  : NOTHING,
							    step->prot, 0};
			}
		}
	}
}

static bool is_refilled(const struct process_repair *repair, uint64_t address)
{
	for (size_t i = 0; i < repair->refill_count; i++)
		if (address >= repair->refills[i].start && address < repair->refills[i].end)
			return true;
	return false;
}

static bool is_mapped_anew(const struct process_repair *repair, uint64_t address)
{
	for (size_t i = 0; i < repair->step_count; i++)
		if (repair->steps[i].kind == SHIM_REPAIR_MAP && address >= repair->steps[i].start &&
		    address - repair->steps[i].start < repair->steps[i].length)
			return true;
	return false;
}

/* Memory may stand for a page of the image. It gets the image's bytes by a refill: of this repair,
 * or, when the repair maps it anew, of the comparison that follows. */
static void check_page(const struct process_repair *repair, const struct page *now,
		       const struct page *wanted, uint64_t address)
{
	if (wanted->kind == OF_IMAGE && now->kind == MEMORY) {
		cr_expect_eq(now->prot, wanted->prot, "%lx", address);
		cr_expect(is_refilled(repair, address) || is_mapped_anew(repair, address), "%lx",
			  address);
	} else {
		cr_expect(same_page(now, wanted), "%lx", address);
	}
}

Test(mappings, a_repair_makes_every_page_what_it_was)
{
	struct process_repair *repair = malloc(sizeof(*repair));
	unsigned mended = 0, impossible = 0, refilled = 0;

	cr_assert_not_null(repair);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct page now[PAGES], wanted[PAGES];
		struct process_mappings here, there;
		bool possible = true;

		random_pages(wanted);
		memcpy(now, wanted, sizeof(now));
		for (uint64_t changes = below(6); changes; changes--) {
			uint64_t at = below(PAGES);

			random_page(&now[at], at);
		}
		for (unsigned i = 0; i < PAGES; i++)
			possible &= can_be_mended(&now[i], &wanted[i]);
		here = read_pages(now);
		there = read_pages(wanted);
		cr_assert_eq(process_mappings_compare(&here, &there, 0, repair), possible ? 0 : -1);
		free(here.list);
		if (possible) {
			carry_out(repair, now);
			for (unsigned i = 0; i < PAGES; i++)
				check_page(repair, &now[i], &wanted[i], BASE + i * THAW_PAGE_SIZE);
			/* Once it is done nothing is left to do but to refill. */
			here = read_pages(now);
			cr_assert_eq(process_mappings_compare(&here, &there, 0, repair), 0);
			cr_expect_eq(repair->step_count, 0);
			for (unsigned i = 0; i < PAGES; i++)
				cr_expect(same_page(&now[i], &wanted[i]) ||
						  is_refilled(repair, BASE + i * THAW_PAGE_SIZE),
					  "page %u", i);
			refilled += repair->refill_count > 0;
			free(here.list);
		}
		free(there.list);
		mended += possible;
		impossible += !possible;
	}
	/* The rounds came to all of it. */
	cr_expect_gt(mended, ROUNDS / 10);
	cr_expect_gt(impossible, ROUNDS / 10);
	cr_expect_gt(refilled, ROUNDS / 100);
	free(repair);
}

Test(mappings, shim_and_mailbox_must_be_as_they_were)
{
	static const struct {
		const char *what;
		uint64_t mailbox_offset, gate_end;
		uint32_t gate_prot;
		bool stray;
	} cases[] = {
		{"as it was", 0x3000, THAW_GATE + THAW_PAGE_SIZE, PROT_READ | PROT_EXEC, false},
		{"another's mailbox", 0x4000, THAW_GATE + THAW_PAGE_SIZE, PROT_READ | PROT_EXEC,
		 false},
		{"a gate that can be written", 0x3000, THAW_GATE + THAW_PAGE_SIZE,
		 PROT_READ | PROT_WRITE, false},
		{"a longer gate", 0x3000, THAW_GATE + 2 * THAW_PAGE_SIZE, PROT_READ | PROT_EXEC,
		 false},
		{"one more mapping", 0x3000, THAW_GATE + THAW_PAGE_SIZE, PROT_READ | PROT_EXEC,
		 true},
	};
	struct process_repair *repair = malloc(sizeof(*repair));

	cr_assert_not_null(repair);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[16384] = "", wanted[16384] = "";
		struct process_mappings here, there;

		add_outside(wanted, 0x1000); /* the mailbox of the one that was looked at */
		add_line(text, THAW_GATE, cases[i].gate_end, cases[i].gate_prot, 'p', 0, 3);
		add_line(text, THAW_MAILBOX, THAW_MAILBOX + THAW_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 's', cases[i].mailbox_offset, ARENA);
		if (cases[i].stray)
			add_line(text, THAW_MAILBOX + (1 << 20), THAW_MAILBOX + (1 << 20) + 4096,
				 PROT_READ, 'p', 0, 0);
		here = read_text(text);
		there = read_text(wanted);
		cr_expect_eq(process_mappings_compare(&here, &there, 0x3000, repair),
			     i == 0 ? 0 : -1, "%s", cases[i].what);
		free(here.list);
		free(there.list);
	}
	free(repair);
}
