/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same random programs, one after the other in recycled machines, run the fast way, the generic
 * way, and now and then as a process. Their responses and their ends must agree. The model tells
 * how to make programs that mostly succeed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kvm/fresh.h"
#include "tests/kvm/model.h"
#include "tests/kvm/program.h"
#include "tests/kvm/with_kvm.h"

#define PAGE	  THAW_PAGE_SIZE
#define MEMORY	  (32u << 20)
#define STEPS_MAX 4000u
#define WINDOWS	  5u

TestSuite(kvm_differential, .timeout = 280);

/* ---- Programs ---- */

struct writer {
	uint64_t *seed;
	struct model *model;
	struct {
		uint64_t start, length;
	} windows[WINDOWS];
	struct program_step steps[STEPS_MAX];
	size_t count;
};

static struct program_step *add(struct writer *writer, enum program_code code)
{
	struct program_step *step = &writer->steps[writer->count++];

	*step = (struct program_step){.code = (uint8_t)code,
				      .value = (uint32_t)plain_random(writer->seed)};
	return step;
}

static uint64_t somewhere(struct writer *writer)
{
	uint64_t which = plain_below(writer->seed, WINDOWS);

	return (writer->windows[which].start +
		plain_below(writer->seed, writer->windows[which].length)) &
	       ~(PAGE - 1);
}

static uint64_t run_length(struct writer *writer, uint64_t start, enum walk_access access)
{
	uint64_t length = 0, most = (1 + plain_below(writer->seed, 30)) * PAGE;

	while (length < most && model_access(writer->model, start + length, access))
		length += PAGE;
	return length;
}

static void add_access(struct writer *writer, enum program_code code)
{
	enum walk_access access = code == PROGRAM_HASH ? WALK_READ : WALK_WRITE;
	struct program_step *step;
	uint64_t start = 0, length = 0;

	for (unsigned tries = 0; tries < 20 && !length; tries++) {
		start = somewhere(writer);
		length = run_length(writer, start, access);
	}
	/* One step in some hundred most likely ends the program. */
	if (plain_below(writer->seed, 400) == 0)
		length += PAGE;
	if (!length)
		return;
	step = add(writer, code);
	step->address = start;
	step->length = code == PROGRAM_WRITE ? 8 : length;
	if (code == PROGRAM_WRITE)
		step->address += plain_below(writer->seed, 512) * 8;
}

static void add_change(struct writer *writer, enum program_code code)
{
	static const uint8_t prots[] = {3, 3, 3, 1, 5, 7, 2};
	struct program_step *step = add(writer, code);

	step->address = somewhere(writer);
	step->length =
		(1 + plain_below(writer->seed, plain_below(writer->seed, 5) ? 6 : 200)) * PAGE;
	step->argument = prots[plain_below(writer->seed, sizeof(prots))];
	if (step->argument == 2)
		return; /* the model refuses it too */
	model_call(writer->model, THAW_SHIM_CALL_map + (code - PROGRAM_MAP), step->address,
		   step->length, step->argument);
}

static void add_block(struct writer *writer, enum program_code code)
{
	struct program_step *step = add(writer, code);

	step->argument = (uint8_t)plain_below(writer->seed, PROGRAM_SLOTS);
	step->length = 1 + plain_below(writer->seed, plain_below(writer->seed, 8) ? 5000 : 300000);
}

/* Hashes all the memory that the model has in the windows. */
static void add_whole_hash(struct writer *writer)
{
	for (unsigned i = 0; i < WINDOWS; i++)
		for (uint64_t at = writer->windows[i].start, end = at + writer->windows[i].length;
		     at < end;) {
			uint64_t length = 0;
			struct program_step *step;

			while (at + length < end &&
			       model_access(writer->model, at + length, WALK_READ))
				length += PAGE;
			if (length && writer->count < STEPS_MAX) {
				step = add(writer, PROGRAM_HASH);
				step->address = at;
				step->length = length;
			}
			at += length ? length : PAGE;
		}
	for (uint8_t slot = 0; slot < PROGRAM_SLOTS && writer->count < STEPS_MAX; slot++)
		add(writer, PROGRAM_HASH_BLOCK)->argument = slot;
}

static void write_program(struct writer *writer, const struct plain_layout *layout)
{
	uint64_t steps = 1 + plain_below(writer->seed, 120);

	writer->count = 0;
	model_make(writer->model, layout);
	while (writer->count < steps) {
		enum program_code code =
			(enum program_code)plain_below(writer->seed, PROGRAM_CODES);

		if (code <= PROGRAM_PROTECT)
			add_change(writer, code);
		else if (code <= PROGRAM_HASH)
			add_access(writer, code);
		else if (code <= PROGRAM_HASH_BLOCK)
			add_block(writer, code);
		else
			add(writer, code);
	}
	add_whole_hash(writer);
}

/* ---- Where they run ---- */

struct place {
	struct thaw_engine *engine;
	struct thaw_instance *instance;
	unsigned recycled;
};

static struct place open_place(enum thaw_backend_kind kind)
{
	struct thaw_engine *engine = with_guest(kind, "guest-program", MEMORY, 2);

	return (struct place){engine, with_instance(engine), 0};
}

static void close_place(struct place *place)
{
	thaw_instance_destroy(place->instance);
	thaw_engine_close(place->engine);
}

static void run_at(struct place *place, const struct writer *writer, struct with_answer *answer)
{
	with_run(place->instance, writer->steps, writer->count * sizeof(writer->steps[0]), 0,
		 answer);
	if (thaw_instance_recycle(place->instance)) {
		place->recycled++;
		return;
	}
	thaw_instance_destroy(place->instance);
	place->instance = with_instance(place->engine);
}

static void expect_alike(const struct with_answer *a, const struct with_answer *b, unsigned round,
			 const char *which)
{
	cr_assert_eq(a->outcome.kind, b->outcome.kind, "round %u, %s: %s, %s (%s)", round, which,
		     thaw_outcome_name(a->outcome.kind), thaw_outcome_name(b->outcome.kind),
		     b->outcome.message);
	cr_assert_eq(a->outcome.exit_code, b->outcome.exit_code);
	cr_assert_eq(a->outcome.has_fault, b->outcome.has_fault);
	if (a->outcome.has_fault) {
		cr_expect_eq(a->outcome.fault.signal, b->outcome.fault.signal);
		cr_expect_eq(a->outcome.fault.address, b->outcome.fault.address);
		/* Compare the instruction; a process reports the rest differently. */
		cr_expect_eq(a->outcome.fault.registers[THAW_RIP],
			     b->outcome.fault.registers[THAW_RIP]);
	}
	cr_assert_eq(a->length, b->length);
	cr_assert(!memcmp(a->body, b->body, a->length < sizeof(a->body) ? a->length : 0),
		  "round %u, %s: another response", round, which);
}

static struct plain_layout find_places(struct place *place, struct writer *writer)
{
	struct with_answer *answer = malloc(sizeof(*answer));
	struct plain_layout layout = {.limit = MEMORY, .range_count = 2};
	struct program_places places;

	writer->count = 0;
	run_at(place, writer, answer);
	cr_assert_eq(answer->length, sizeof(places), "%s", answer->outcome.message);
	memcpy(&places, answer->body, sizeof(places));
	layout.ranges[0] = (struct thaw_range){places.data, places.length, 3};
	layout.ranges[1] = (struct thaw_range){places.zeroes, places.length, 3};
	for (unsigned i = 0; i < 2; i++) {
		writer->windows[i].start = layout.ranges[i].start;
		writer->windows[i].length = layout.ranges[i].length;
	}
	writer->windows[2].start = 0x30000000;
	writer->windows[2].length = 0x400000;
	writer->windows[3].start = THAW_REGION_END - 0x20000;
	writer->windows[3].length = 0x20000;
	writer->windows[4].start = UINT64_C(0xa40000000) - 0x10000;
	writer->windows[4].length = 0x20000;
	free(answer);
	return layout;
}

Test(kvm_differential, random_programs_have_one_meaning)
{
	static struct writer writer;
	static struct with_answer answers[3];
	struct place fast = open_place(THAW_BACKEND_KVM);
	struct place generic = open_place(THAW_BACKEND_KVM_GENERIC);
	struct place process = open_place(THAW_BACKEND_PROCESS);
	uint64_t seed = plain_seed("differential");
	unsigned rounds = plain_scaled(1000), finished = 0;
	struct plain_layout *layout = malloc(sizeof(*layout));

	writer.seed = &seed;
	writer.model = malloc(sizeof(*writer.model));
	*layout = find_places(&fast, &writer);
	for (unsigned round = 0; round < rounds; round++) {
		write_program(&writer, layout);
		run_at(&fast, &writer, &answers[0]);
		run_at(&generic, &writer, &answers[1]);
		expect_alike(&answers[0], &answers[1], round, "fast and generic");
		if (round % 4 == 0) {
			run_at(&process, &writer, &answers[2]);
			expect_alike(&answers[0], &answers[2], round, "machine and process");
		}
		finished += answers[0].outcome.kind == THAW_OUTCOME_finished;
	}
	/* A program that ends well is recycled, unless it changed more mappings than the log
	 * holds. */
	cr_expect_geq(finished, rounds / 4);
	cr_expect_geq(fast.recycled + rounds / 10, finished);
	cr_expect_geq(generic.recycled, finished);
	fprintf(stderr, "%u programs, %u finished, %u and %u recycled\n", rounds, finished,
		fast.recycled, generic.recycled);
	close_place(&fast);
	close_place(&generic);
	close_place(&process);
	free(writer.model);
	free(layout);
}

Test(kvm_differential, books_balance_after_real_invocations)
{
	static struct writer writer;
	static struct with_answer answer;
	struct place place = open_place(THAW_BACKEND_KVM);
	uint64_t seed = plain_seed("real books");
	struct plain_layout *layout = malloc(sizeof(*layout));
	const char *difference;

	writer.seed = &seed;
	writer.model = malloc(sizeof(*writer.model));
	*layout = find_places(&place, &writer);
	for (unsigned round = 0; round < plain_scaled(300); round++) {
		unsigned before = place.recycled;

		write_program(&writer, layout);
		run_at(&place, &writer, &answer);
		if (place.recycled == before)
			continue;
		difference = fresh_difference(with_kvm_instance(place.instance));
		cr_assert_null(difference, "round %u: %s", round, difference);
	}
	cr_expect_gt(place.recycled, 0);
	close_place(&place);
	free(writer.model);
	free(layout);
}
