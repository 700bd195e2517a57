/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random invocations and recycling without KVM: the shim's page tables are held against a model
 * that keeps each page by itself, and after each recycling the clone must be as new.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kvm/fresh.h"
#include "tests/kvm/model.h"
#include "tests/kvm/plain.h"

#define PAGE THAW_PAGE_SIZE
#define MIB  (UINT64_C(1) << 20)

TestSuite(kvm_books, .timeout = 280);

static void expect_fresh(struct plain_clone *clone, unsigned round)
{
	const char *difference = fresh_difference(&clone->instance);

	cr_assert_null(difference, "round %u: %s", round, difference);
}

/* ---- Like the model ---- */

static void check_access(struct plain_clone *clone, struct model *model, uint64_t address,
			 uint64_t *seed)
{
	enum walk_access access = (enum walk_access)plain_below(seed, 3);
	uint64_t value = plain_random(seed), *slot = model_access(model, address, access);
	uint8_t *found = plain_access(clone, address, access);

	cr_assert(!plain_panicked);
	cr_assert_eq(found != NULL, slot != NULL, "%#llx, access %d", (unsigned long long)address,
		     (int)access);
	if (!slot)
		return;
	cr_assert_eq(*(uint64_t *)found, *slot, "%#llx", (unsigned long long)address);
	if (access == WALK_WRITE)
		*slot = *(uint64_t *)found = value;
}

static void check_change(struct plain_clone *clone, struct model *model, uint64_t start,
			 uint64_t *seed)
{
	static const uint32_t prots[] = {1, 3, 5, 7};
	long number = THAW_SHIM_CALL_map + (long)plain_below(seed, 3);
	uint32_t prot = prots[plain_below(seed, 8) ? plain_below(seed, 3) : 3];
	uint64_t length = (1 + plain_below(seed, plain_below(seed, 6) ? 8 : 1500)) * PAGE;
	long expected = model_call(model, number, start, length, prot);

	cr_assert_eq(plain_call(clone, number, start, length, prot), expected, "call %ld", number);
}

static void invoke(struct plain_clone *clone, struct model *model, uint64_t *seed)
{
	for (unsigned step = 0, steps = (unsigned)plain_below(seed, 400); step < steps; step++) {
		uint64_t address = model_somewhere(model, seed);

		if (plain_below(seed, 12))
			check_access(clone, model, address + plain_below(seed, 8) * 512, seed);
		else
			check_change(clone, model, address, seed);
	}
}

Test(kvm_books, random_invocations_agree_with_a_model_and_leave_nothing)
{
	uint64_t seed = plain_seed("books");
	unsigned rounds = plain_scaled(1500), recycled = 0;
	struct model *model = malloc(sizeof(*model));

	for (unsigned round = 0; round < rounds;) {
		struct plain_clone clone;

		plain_make(&clone, &plain_small);
		for (; round < rounds; round++) {
			model_make(model, &plain_small);
			if (!clone.instance.prefaulted)
				plain_prefault(&clone);
			clone.instance.prefaulted = true;
			invoke(&clone, model, &seed);
			if (!plain_recycle(&clone))
				break;
			expect_fresh(&clone, round);
			recycled++;
		}
		round++;
		plain_finish(&clone);
	}
	/* Only clones that changed more mappings than the log holds may be given up. */
	cr_expect_gt(recycled, rounds / 2, "%u of %u", recycled, rounds);
	free(model);
}

/* ---- Bounds ---- */

static void write_pages(struct plain_clone *clone, uint64_t start, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t *bytes = plain_access(clone, start + i * PAGE, WALK_WRITE);

		cr_assert_not_null(bytes);
		memset(bytes, 0xa5, 8);
	}
}

Test(kvm_books, more_writes_than_the_log_holds_are_not_recycled)
{
	struct plain_layout layout = plain_small;
	struct plain_clone clone;

	layout.limit = 128 * MIB;
	layout.ranges[4].length = 64 * MIB;
	plain_make(&clone, &layout);
	write_pages(&clone, 0x10000000, KVM_WRITTEN_MAX);
	cr_expect(plain_recycle(&clone), "as many as it holds");
	expect_fresh(&clone, 0);
	cr_expect_leq(clone.instance.kept_count, KVM_KEPT_MAX);
	write_pages(&clone, 0x10000000, KVM_KEPT_MAX + KVM_WRITTEN_MAX + 1);
	cr_expect(!plain_recycle(&clone), "one more than it holds");
	plain_finish(&clone);
}

/* Maps other pages each time, like an allocator that returns unused memory. */
static void come_and_go(struct plain_clone *clone, unsigned pages, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		uint64_t start = 0x20000000 + i * MIB;

		cr_assert_eq(plain_call(clone, THAW_SHIM_CALL_map, start, pages * PAGE, 3), 0);
		write_pages(clone, start, pages);
		cr_assert_eq(plain_call(clone, THAW_SHIM_CALL_unmap, start, pages * PAGE, 0), 0);
	}
}

Test(kvm_books, mapping_and_unmapping_again_and_again_does_not_fill_the_log)
{
	const unsigned pages = 100, times = 2 * KVM_WRITTEN_MAX / 100;
	struct plain_clone clone;

	plain_make(&clone, &plain_small);
	for (unsigned round = 0; round < 2; round++) {
		come_and_go(&clone, pages, times);
		cr_assert(plain_recycle(&clone));
		expect_fresh(&clone, round);
	}
	cr_expect_leq(clone.instance.machine.control->next_page,
		      clone.backend.image.first_page + pages + 64, "its pages are used again");
	plain_finish(&clone);
}

Test(kvm_books, a_clone_that_holds_too_much_of_its_bank_is_not_recycled)
{
	const unsigned most = 16384, tables = most / 512 + 8;
	struct plain_layout layout = plain_small;
	struct plain_clone clone;

	layout.limit = 256 * MIB;
	plain_make(&clone, &layout);
	cr_assert_eq(plain_call(&clone, THAW_SHIM_CALL_map, 0x20000000, 128 * MIB, 3), 0);
	write_pages(&clone, 0x20000000, most - tables);
	cr_assert(plain_recycle(&clone), "as many as it may");
	expect_fresh(&clone, 0);
	cr_assert_eq(plain_call(&clone, THAW_SHIM_CALL_map, 0x20000000, 128 * MIB, 3), 0);
	write_pages(&clone, 0x20000000, most + 1);
	cr_expect(!plain_recycle(&clone), "more than it may");
	plain_finish(&clone);
}

Test(kvm_books, a_page_that_is_not_written_any_more_is_let_go)
{
	struct plain_clone clone;
	unsigned rounds = 0;

	plain_make(&clone, &plain_small);
	write_pages(&clone, 0x10000000, 100);
	cr_assert(plain_recycle(&clone));
	cr_expect_eq(clone.instance.kept_count, 100);
	do {
		write_pages(&clone, 0x40c000, 1);
		cr_assert(plain_recycle(&clone));
		expect_fresh(&clone, rounds);
	} while (clone.instance.kept_count == 101 && ++rounds < 100);
	cr_expect_gt(rounds, 3, "not at once: it may come back");
	cr_expect_lt(rounds, 100);
	cr_expect_eq(clone.instance.kept_count, 1);
	plain_finish(&clone);
}

Test(kvm_books, neither_pages_nor_tables_grow_from_one_invocation_to_the_next)
{
	uint64_t seed = plain_seed("growth");
	unsigned rounds = plain_scaled(400);
	struct plain_clone clone;
	uint64_t most = 0;

	plain_make(&clone, &plain_small);
	for (unsigned round = 0; round < rounds; round++) {
		/* Other places each time: 40 tables that the image does not need. */
		for (unsigned i = 0; i < 40; i++) {
			uint64_t at = 0x20000000 + plain_below(&seed, 32000) * 2 * MIB;

			if (plain_call(&clone, THAW_SHIM_CALL_map, at, PAGE, 3) != 0)
				continue;
			write_pages(&clone, at, 1);
			if (i % 2)
				cr_assert_eq(plain_call(&clone, THAW_SHIM_CALL_unmap, at, PAGE, 0),
					     0);
		}
		if (!plain_recycle(&clone)) {
			/* Success, if it ends in time. */
			plain_finish(&clone);
			plain_make(&clone, &plain_small);
			continue;
		}
		expect_fresh(&clone, round);
		if (clone.instance.machine.control->table_pages > most)
			most = clone.instance.machine.control->table_pages;
	}
	cr_expect_lt(most, 300, "%llu tables", (unsigned long long)most);
	/* The last one still gets all the memory that it may have, at any address. */
	for (uint64_t at = 0x20000000, done = 0; done < 8 * MIB;
	     at += 64 * MIB, done += 16 * PAGE) {
		cr_assert_eq(plain_call(&clone, THAW_SHIM_CALL_map, at, 16 * PAGE, 3), 0);
		write_pages(&clone, at, 16);
	}
	plain_finish(&clone);
}

Test(kvm_books, many_changes_of_mappings_are_put_back)
{
	uint64_t seed = plain_seed("changes");
	struct plain_clone clone;

	plain_make(&clone, &plain_small);
	for (unsigned round = 0; round < 20; round++) {
		unsigned recycled;

		for (unsigned i = 0; i < 20 + 40 * round; i++) {
			uint64_t at = 0x20000000 + plain_below(&seed, 4000) * PAGE * (1 + i % 500);
			long number = THAW_SHIM_CALL_map + (long)plain_below(&seed, 3);

			if (plain_call(&clone, number, at, PAGE, 3) == 0 &&
			    number != THAW_SHIM_CALL_unmap)
				write_pages(&clone, at, 1);
		}
		cr_expect_leq(clone.instance.machine.control->changed_count, KVM_CHANGED_MAX);
		recycled = plain_recycle(&clone);
		cr_assert(recycled, "round %u", round);
		expect_fresh(&clone, round);
	}
	plain_finish(&clone);
}

Test(kvm_books, changes_that_are_out_of_order_are_not_believed)
{
	const struct kvm_interval bad[][2] = {
		{{0x20002000, 0x20003000}, {0x20000000, 0x20001000}},
		{{0x20000000, 0x20002000}, {0x20001000, 0x20003000}},
		{{0x20000000, 0x20002000}, {0x20002800, 0x20003000}},
		{{0x20000000, 0x20000000}, {0x20002000, 0x20003000}},
		{{0x20000000, 0x20001000}, {0x20002000, THAW_REGION_END + PAGE}},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct plain_clone clone;
		struct kvm_control *control;

		plain_make(&clone, &plain_small);
		control = clone.instance.machine.control;
		memcpy(control->changed, bad[i], sizeof(bad[i]));
		control->changed_count = 2;
		cr_expect(!plain_recycle(&clone), "%zu", i);
		plain_finish(&clone);
	}
}

Test(kvm_books, mapping_here_and_there_without_end_is_no_crash)
{
	struct plain_clone clone;

	plain_make(&clone, &plain_small);
	/* More pieces of 2 MiB than the bank has pages. */
	for (uint64_t at = 0x20000000; at < THAW_REGION_END; at += 8 * MIB) {
		cr_assert_eq(plain_call(&clone, THAW_SHIM_CALL_map, at, PAGE, 3), 0);
		write_pages(&clone, at, 1);
		cr_assert_eq(plain_call(&clone, THAW_SHIM_CALL_unmap, at, PAGE, 0), 0);
	}
	plain_finish(&clone);
}

Test(kvm_books, what_clones_have_learned_does_not_keep_new_ones_from_being_recycled)
{
	struct plain_layout layout = plain_small;
	struct plain_clone first, second;

	layout.limit = 64 * MIB;
	layout.ranges[4].length = 32 * MIB;
	plain_make(&first, &layout);
	/* Other pages each time, like a function that writes a large heap. */
	for (unsigned i = 0; i < 7000; i += 1000) {
		write_pages(&first, 0x10000000 + i * PAGE, 1000);
		cr_assert(plain_recycle(&first));
		for (unsigned k = 0; k < 20; k++)
			cr_assert(plain_recycle(&first));
	}
	plain_make_sibling(&second, &first);
	plain_prefault(&second);
	write_pages(&second, 0x10000000 + 7000 * PAGE, 500);
	cr_expect(plain_recycle(&second), "a new clone that has written 500 pages");
	plain_finish(&second);
	plain_finish(&first);
}
