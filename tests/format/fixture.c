/* SPDX-License-Identifier: Apache-2.0 */
/* Content from a seed, and content that never changes; see fixture.h. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot-format/layout.h"

/* splitmix64: every seed is good. */
uint64_t fixture_next(struct fixture_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t fixture_below(struct fixture_random *random, uint64_t bound)
{
	return fixture_next(random) % bound;
}

/* ---- Pieces ---- */

/* Compressible text with words and numbers; the same for the same VALUE. */
static void fill_soft(uint8_t *page, uint64_t value)
{
	static const char *const words[] = {"thaw ",  "frost ", "page ",  "clone ",
					    "ready ", "guest ", "image ", "\0\0\0\0"};
	struct fixture_random random = {value};

	for (size_t at = 0; at < THAW_IMAGE_PAGE;) {
		const char *word = words[fixture_below(&random, 8)];
		size_t length = *word ? strlen(word) : 4;

		if (length > THAW_IMAGE_PAGE - at)
			length = THAW_IMAGE_PAGE - at;
		memcpy(page + at, word, length);
		at += length;
	}
}

static void fill_hard(uint8_t *page, uint64_t value)
{
	struct fixture_random random = {value};

	for (size_t at = 0; at < THAW_IMAGE_PAGE; at += 8)
		thaw_put64(page + at, fixture_next(&random));
}

/* A third of the pages are zero; some equal each other, a few do not compress, and one is zero
 * but for a bit. */
static void fill_random(uint8_t *page, struct fixture_random *random)
{
	uint64_t kind = fixture_below(random, 12);

	if (kind < 4)
		return;
	if (kind < 6)
		fill_soft(page, fixture_below(random, 4));
	else if (kind < 9)
		fill_soft(page, fixture_next(random));
	else if (kind < 11)
		fill_hard(page, fixture_next(random));
	else
		page[fixture_below(random, THAW_IMAGE_PAGE)] =
			(uint8_t)(1u << fixture_below(random, 8));
}

static char *set_text(struct fixture *fixture, size_t slot, const char *text)
{
	snprintf(fixture->text[slot], sizeof(fixture->text[slot]), "%s", text);
	return fixture->text[slot];
}

static void set_xsave(struct fixture *fixture, uint32_t length, uint64_t mask,
		      struct fixture_random *random)
{
	if (length > 0) {
		fixture->xsave = calloc(1, length);
		thaw_assert(fixture->xsave);
		for (size_t i = 0; i < length; i++)
			if (i < 512 || i >= THAW_XSAVE_MIN)
				fixture->xsave[i] = (uint8_t)fixture_next(random);
		thaw_put64(fixture->xsave + 512, mask & fixture_next(random));
	}
	fixture->vcpu.xsave_mask = mask;
	fixture->vcpu.xsave_length = length;
	fixture->vcpu.xsave = fixture->xsave;
}

/* Makes the parts that point to each other; the ranges are in place. */
static void finish(struct fixture *fixture, size_t ranges)
{
	fixture->meta.args = fixture->args;
	fixture->meta.env = fixture->env;
	fixture->memory_length = 0;
	for (size_t i = 0; i < ranges; i++)
		fixture->memory_length += fixture->ranges[i].length;
	fixture->meta.memory_size = fixture->memory_length + 64 * (uint64_t)THAW_IMAGE_PAGE;
	fixture->memory = calloc(1, fixture->memory_length);
	thaw_assert(fixture->memory);
	fixture->content = (struct thaw_image_content){.meta = &fixture->meta,
						       .vcpu = &fixture->vcpu,
						       .ranges = fixture->ranges,
						       .range_count = ranges,
						       .segments = fixture->segments};
}

static void add_segment(struct fixture *fixture, uint64_t start, uint64_t length)
{
	thaw_assert(fixture->content.segment_count < FIXTURE_SEGMENTS);
	fixture->segments[fixture->content.segment_count++] = (struct thaw_memory_segment){
		.start = start, .length = length, .bytes = fixture_at(fixture, start)};
}

uint8_t *fixture_at(const struct fixture *fixture, uint64_t start)
{
	uint8_t *at = fixture->memory;

	for (size_t i = 0; i < fixture->content.range_count; i++) {
		const struct thaw_range *range = &fixture->ranges[i];

		if (start >= range->start && start - range->start < range->length)
			return at + (start - range->start);
		at += range->length;
	}
	return NULL;
}

void fixture_free(struct fixture *fixture)
{
	free(fixture->memory);
	free(fixture->xsave);
}

/* ---- Random content ---- */

static void random_meta(struct fixture *fixture, struct fixture_random *random)
{
	static const char *const strings[] = {"/bin/tr",
					      "r\xc3\xa9sum\xc3\xa9",
					      "\xe2\x9d\x84 frost",
					      "a b",
					      "\xf0\x9f\x8c\xa1",
					      "x86-64-v3",
					      "--flag=value",
					      ""};
	struct thaw_image_meta *meta = &fixture->meta;
	size_t slot = 0, args = 1 + fixture_below(random, FIXTURE_STRINGS - 1),
	       env = fixture_below(random, FIXTURE_STRINGS);

	for (size_t i = 0; i < sizeof(meta->uuid); i++)
		meta->uuid[i] = (uint8_t)fixture_next(random);
	meta->created_ns = fixture_next(random);
	meta->abi_version = (uint32_t)fixture_next(random);
	meta->timeout_ns = fixture_next(random);
	meta->boot_ns = fixture_next(random) >> 32;
	meta->generation = fixture_below(random, 3);
	for (size_t i = 0; i < THAW_CPU_WORDS_USED; i++)
		meta->cpu.word[i] = (uint32_t)fixture_next(random);
	meta->name = set_text(fixture, slot++, fixture_below(random, 2) ? "f-1.x_y" : "0");
	meta->program = set_text(fixture, slot++, strings[fixture_below(random, 7)]);
	meta->backend = set_text(fixture, slot++, fixture_below(random, 2) ? "kvm" : "process");
	meta->cpu_level = set_text(fixture, slot++, strings[fixture_below(random, 7)]);
	meta->creator = set_text(fixture, slot++, strings[fixture_below(random, 7)]);
	for (size_t i = 0; i < args; i++)
		fixture->args[i] = set_text(fixture, slot++, strings[fixture_below(random, 8)]);
	for (size_t i = 0; i < env; i++) {
		fixture->env[i] = set_text(fixture, slot, "K=");
		strcat(fixture->text[slot++], strings[fixture_below(random, 8)]);
	}
}

static void random_ranges(struct fixture *fixture, struct fixture_random *random)
{
	static const uint32_t prots[] = {1, 3, 5};
	size_t count = 1 + fixture_below(random, FIXTURE_RANGES);
	uint64_t at = fixture_below(random, 1u << 20) * THAW_IMAGE_PAGE;

	for (size_t i = 0; i < count; i++) {
		uint64_t length = (1 + fixture_below(random, 40)) * THAW_IMAGE_PAGE;

		if (fixture_below(random, 2))
			at += (1 + fixture_below(random, 1000)) * THAW_IMAGE_PAGE;
		fixture->ranges[i] =
			(struct thaw_range){at, length, prots[fixture_below(random, 3)]};
		at += length;
	}
	finish(fixture, count);
}

/* Segments cover parts of ranges, or ranges that touch as one piece; some pages stay without. */
static void random_segments(struct fixture *fixture, struct fixture_random *random)
{
	for (size_t i = 0; i < fixture->content.range_count;) {
		uint64_t start = fixture->ranges[i].start, end = start + fixture->ranges[i].length;

		for (i++; i < fixture->content.range_count && fixture->ranges[i].start == end; i++)
			end += fixture->ranges[i].length;
		for (unsigned n = 0; n < 3 && start < end; n++) {
			uint64_t pages = (end - start) / THAW_IMAGE_PAGE,
				 skip = fixture_below(random, 3);
			uint64_t length;

			if (skip >= pages)
				break;
			start += skip * THAW_IMAGE_PAGE;
			length = (1 + fixture_below(random, pages - skip)) * THAW_IMAGE_PAGE;
			add_segment(fixture, start, length);
			for (uint64_t at = start; at < start + length; at += THAW_IMAGE_PAGE)
				fill_random(fixture_at(fixture, at), random);
			start += length;
		}
	}
}

/* Sometimes dispatch, sometimes a working set: one piece for each of some of the ranges. */
static void random_hints(struct fixture *fixture, struct fixture_random *random)
{
	struct thaw_image_meta *meta = &fixture->meta;

	if (fixture_below(random, 2))
		meta->dispatch = (struct thaw_dispatch){0x10000, 0x20000, 0x1ffff, 0x10000};
	if (fixture_below(random, 2))
		return;
	meta->working_set = fixture->working_set;
	for (size_t i = 0; i < fixture->content.range_count; i++) {
		const struct thaw_range *range = &fixture->ranges[i];
		uint64_t pages = range->length / THAW_IMAGE_PAGE;
		uint64_t first = fixture_below(random, pages);

		fixture->working_set[meta->working_set_count++] = (struct thaw_working_set_piece){
			range->start + first * THAW_IMAGE_PAGE,
			(uint32_t)(1 + fixture_below(random, pages - first)),
			range->prot & THAW_PROT_WRITE && fixture_below(random, 2)};
	}
}

void fixture_make_random(struct fixture *fixture, uint64_t seed)
{
	struct fixture_random random = {seed};

	*fixture = (struct fixture){0};
	random_meta(fixture, &random);
	random_hints(fixture, &random);
	for (size_t i = 0; i < THAW_REGISTERS; i++)
		fixture->vcpu.registers[i] = fixture_next(&random);
	if (fixture_below(&random, 3))
		set_xsave(fixture, THAW_XSAVE_MIN + 8 * (uint32_t)fixture_below(&random, 64),
			  fixture_next(&random), &random);
	random_ranges(fixture, &random);
	random_segments(fixture, &random);
}

/* ---- Golden content ---- */

const char *const fixture_golden_names[] = {"tiny", "typical", "frames", "empty", NULL};

static void golden_meta(struct fixture *fixture, const char *name)
{
	struct thaw_image_meta *meta = &fixture->meta;

	for (uint8_t i = 0; i < sizeof(meta->uuid); i++)
		meta->uuid[i] = (uint8_t)(0x11 * i);
	meta->created_ns = UINT64_C(1767225600000000000);
	meta->abi_version = 1;
	meta->timeout_ns = UINT64_C(10000000000);
	meta->boot_ns = 123456789;
	meta->generation = 2;
	for (uint32_t i = 0; i < THAW_CPU_WORDS_USED; i++)
		meta->cpu.word[i] = 0x01010101 * (i + 1);
	meta->name = set_text(fixture, 0, name);
	meta->program = set_text(fixture, 1, "/usr/lib/thaw/functions/hello");
	meta->backend = set_text(fixture, 2, "process");
	meta->cpu_level = set_text(fixture, 3, "x86-64-v3");
	meta->creator = set_text(fixture, 4, "thaw 0.1.0");
	fixture->args[0] = set_text(fixture, 5, "hello");
	for (unsigned i = 0; i < THAW_REGISTERS; i++)
		fixture->vcpu.registers[i] = UINT64_C(0x1000000000000001) * i + 0xabc00;
}

static void golden_tiny(struct fixture *fixture)
{
	fixture->ranges[0] = (struct thaw_range){0x400000, 0x1000, THAW_PROT_READ | THAW_PROT_EXEC};
	finish(fixture, 1);
	fill_soft(fixture->memory, 1);
	add_segment(fixture, 0x400000, 0x1000);
}

/* Text, data and stack; equal pages within and across ranges, a hole, two ranges that touch, vector
 * state. */
static void golden_typical(struct fixture *fixture)
{
	struct fixture_random random = {7};

	fixture->args[1] = set_text(fixture, 6, "--gr\xc3\xbc\xc3\x9f");
	fixture->args[2] = set_text(fixture, 7, "");
	fixture->env[0] = set_text(fixture, 8, "LANG=C.UTF-8");
	fixture->env[1] = set_text(fixture, 9, "EMPTY=");
	set_xsave(fixture, 832, 7, &random);
	fixture->ranges[0] =
		(struct thaw_range){0x3c0000, 0x4000, THAW_PROT_READ | THAW_PROT_WRITE};
	fixture->ranges[1] = (struct thaw_range){0x400000, 0x8000, THAW_PROT_READ | THAW_PROT_EXEC};
	fixture->ranges[2] = (struct thaw_range){0x408000, 0x3000, THAW_PROT_READ};
	fixture->ranges[3] =
		(struct thaw_range){0x800000000, 0x20000, THAW_PROT_READ | THAW_PROT_WRITE};
	finish(fixture, 4);
	fill_hard(fixture_at(fixture, 0x3c3000), 5);
	for (uint64_t at = 0x400000; at < 0x40b000; at += 0x1000)
		fill_soft(fixture_at(fixture, at), at / 0x1000 % 5);
	for (uint64_t at = 0x800004000; at < 0x800010000; at += 0x1000)
		fill_soft(fixture_at(fixture, at), at / 0x1000 % 7);
	add_segment(fixture, 0x3c2000, 0x2000);
	add_segment(fixture, 0x400000, 0xb000);
	add_segment(fixture, 0x800000000, 0x20000);
}

/* Two full frames and a third with two pages. */
static void golden_frames(struct fixture *fixture)
{
	fixture->ranges[0] =
		(struct thaw_range){0x10000, 140 * 0x1000, THAW_PROT_READ | THAW_PROT_WRITE};
	finish(fixture, 1);
	/* Runs of one byte each: many pages in a small file. */
	for (size_t page = 0; page < 2 * THAW_IMAGE_FRAME_PAGES_MIN + 2; page++)
		memset(fixture->memory + page * THAW_IMAGE_PAGE + page, 1 + (int)page, 1000);
	add_segment(fixture, 0x10000, 140 * 0x1000);
}

static void golden_empty(struct fixture *fixture)
{
	fixture->ranges[0] = (struct thaw_range){0x10000, 0x2000, THAW_PROT_READ};
	finish(fixture, 1);
	add_segment(fixture, 0x10000, 0x2000);
}

bool fixture_make_golden(struct fixture *fixture, const char *name)
{
	static void (*const makers[])(struct fixture *) = {golden_tiny, golden_typical,
							   golden_frames, golden_empty};

	for (size_t i = 0; fixture_golden_names[i]; i++) {
		if (strcmp(fixture_golden_names[i], name) != 0)
			continue;
		*fixture = (struct fixture){0};
		golden_meta(fixture, name);
		makers[i](fixture);
		return true;
	}
	return false;
}
