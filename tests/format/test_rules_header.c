/* SPDX-License-Identifier: Apache-2.0 */
/* Rules H, M and V of SPEC.md: header, metadata, vCPU record. */
#include <xxhash.h>

#include "rules.h"

/* ---- Header ---- */

/* An image with one field of the header changed, resealed or not. */
static void header64(size_t at, uint64_t value, const char *want)
{
	struct fixture_bytes image = rules_golden("typical");
	uint8_t *bytes = image.bytes;

	thaw_put64(bytes + at, value);
	thaw_put64(bytes + THAW_AT_CHECKSUM, XXH3_64bits(bytes, THAW_AT_CHECKSUM));
	rules_expect_bytes(&image, want);
	free(bytes);
}

Test(rules, H1_magic)
{
	header64(THAW_AT_MAGIC, 0x464c457f, "does not begin as one");
}

Test(rules, H2_version_is_named_before_damage)
{
	struct fixture_bytes image = rules_golden("tiny");

	thaw_put32(image.bytes + THAW_AT_VERSION, 2); /* not resealed */
	rules_expect_bytes(&image, "format version 2");
	thaw_put32(image.bytes + THAW_AT_VERSION, 0);
	rules_expect_bytes(&image, "format version 0");
	free(image.bytes);
}

Test(rules, H3_header_checksum)
{
	struct fixture_bytes image = rules_golden("tiny");

	image.bytes[THAW_AT_UUID] ^= 1;
	rules_expect_bytes(&image, "the header's checksum");
	free(image.bytes);
}

Test(rules, H4_size_and_reserved)
{
	header64(THAW_AT_HEADER_SIZE - 4, THAW_IMAGE_VERSION | UINT64_C(1024) << 32,
		 "another size");
	header64(THAW_AT_RESERVED, 1, "byte 184 of the header is reserved");
	header64(THAW_AT_CHECKSUM - 8, UINT64_C(1) << 63, "byte 503 of the header is reserved");
}

Test(rules, H5_file_size)
{
	struct fixture_bytes image = rules_golden("typical");

	header64(THAW_AT_FILE_SIZE, image.length - 1, "bytes long and is");
	header64(THAW_AT_FILE_SIZE, UINT64_MAX, "bytes long and is");
	free(image.bytes);
}

/* The place of the offset in entry I of the section table. */
static size_t entry(enum thaw_section_kind kind)
{
	return THAW_AT_SECTIONS + kind * THAW_SECTION_ENTRY;
}

Test(rules, H6_sections_touch)
{
	header64(entry(THAW_SECTION_META), 513, "the metadata is at 513 and should be at 512");
	header64(entry(THAW_SECTION_VCPU), 512, "the vCPU record is at 512 and should be at");
	header64(entry(THAW_SECTION_DATA), UINT64_MAX, "the frame data is at");
	header64(entry(THAW_SECTION_DATA) + 8, 1, "its sections end at");
	header64(entry(THAW_SECTION_META) + 8, 400, "the vCPU record is at");
}

Test(rules, H7_lengths)
{
	header64(entry(THAW_SECTION_META) + 8, UINT64_MAX,
		 "the metadata has 18446744073709551615 bytes");
	header64(entry(THAW_SECTION_META) + 8, THAW_IMAGE_META_MAX + 1,
		 "the metadata has 1048577 bytes");
	header64(entry(THAW_SECTION_VCPU) + 8, 175, "the vCPU record has 175 bytes");
	header64(entry(THAW_SECTION_RANGES) + 8, 0, "the range table has 0 bytes");
	header64(entry(THAW_SECTION_RANGES) + 8, 97, "the range table ends inside an entry");
	header64(entry(THAW_SECTION_EXTENTS) + 8, UINT64_C(24) << 23, "the extent table has");
	header64(entry(THAW_SECTION_FRAMES) + 8, UINT64_C(16) << 19, "the frame table has");
	header64(entry(THAW_SECTION_DATA) + 8, UINT64_C(1) << 60, "the frame data has");
}

Test(rules, H8_section_checksums)
{
	for (unsigned kind = 0; kind < THAW_SECTION_DATA; kind++)
		header64(entry(kind) + 16, 12345, thaw_section_name(kind));
	header64(entry(THAW_SECTION_DATA) + 16, 1, "which must be zero");
}

/* ---- Metadata ---- */

/* The typical image's fields, for putting together in other ways. */
struct field {
	uint16_t tag, reserved;
	uint32_t length;
	uint8_t value[128];
};

struct fields {
	struct field list[4096];
	size_t count;
};

static void parse_fields(const struct fixture_parts *parts, struct fields *fields)
{
	const struct fixture_bytes *meta = &parts->section[THAW_SECTION_META];

	fields->count = 0;
	for (size_t at = 0; at < meta->length; fields->count++) {
		struct field *field = &fields->list[fields->count];

		memcpy(field, meta->bytes + at, THAW_META_HEADER);
		cr_assert_leq(field->length, sizeof(field->value));
		memcpy(field->value, meta->bytes + at + THAW_META_HEADER, field->length);
		at += THAW_META_HEADER + field->length;
	}
}

static void expect_fields(struct fixture_parts *parts, const struct fields *fields,
			  const char *want)
{
	uint8_t *bytes = malloc(sizeof(struct field) * (fields->count + 1));
	size_t length = 0;

	cr_assert(bytes);
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->list[i];

		memcpy(bytes + length, field, THAW_META_HEADER);
		memcpy(bytes + length + THAW_META_HEADER, field->value, field->length);
		length += THAW_META_HEADER + field->length;
	}
	rules_set(parts, THAW_SECTION_META, bytes, length);
	rules_expect(parts, want);
	free(bytes);
}

static struct fields whole, changed;
static struct fixture_parts meta_parts;

static void meta_setup(void)
{
	meta_parts = rules_parts("typical");
	parse_fields(&meta_parts, &whole);
	changed = whole;
}

static void meta_teardown(void)
{
	fixture_parts_free(&meta_parts);
}

TestSuite(meta, .init = meta_setup, .fini = meta_teardown);

static struct field *find(struct fields *fields, uint16_t tag)
{
	for (size_t i = 0; i < fields->count; i++)
		if (fields->list[i].tag == tag)
			return &fields->list[i];
	cr_assert(false, "no tag %u", tag);
	return NULL;
}

static void insert(struct fields *fields, size_t at, uint16_t tag, const char *text)
{
	memmove(&fields->list[at + 1], &fields->list[at],
		(fields->count - at) * sizeof(fields->list[0]));
	fields->list[at] = (struct field){.tag = tag, .length = (uint32_t)strlen(text)};
	memcpy(fields->list[at].value, text, strlen(text));
	fields->count++;
}

/* The image with another string for TAG. */
static void with_text(uint16_t tag, const void *text, size_t length, const char *want)
{
	struct field *field;

	changed = whole;
	field = find(&changed, tag);
	memset(field->value, 0, sizeof(field->value));
	memcpy(field->value, text, length);
	field->length = (uint32_t)length;
	expect_fields(&meta_parts, &changed, want);
}

static void with_number(uint16_t tag, uint64_t value, const char *want)
{
	uint8_t bytes[8];

	thaw_put64(bytes, value);
	with_text(tag, bytes, 8, want);
}

Test(meta, unchanged_is_fine)
{
	expect_fields(&meta_parts, &whole, NULL);
}

Test(meta, M1_ends_and_reserved)
{
	struct fixture_bytes *meta = &meta_parts.section[THAW_SECTION_META];

	meta->length -= 1;
	rules_expect(&meta_parts, "ends inside a field");
	meta->length = 12; /* in the first value */
	rules_expect(&meta_parts, "ends inside a field");
	meta->length = 16 + 3; /* in the header of the second field */
	rules_expect(&meta_parts, "ends inside a field");
	changed.list[3].reserved = 1;
	expect_fields(&meta_parts, &changed, "reserved bytes");
	changed = whole;
	expect_fields(&meta_parts, &changed, NULL);
	thaw_put32(meta_parts.section[THAW_SECTION_META].bytes + 4, UINT32_MAX);
	rules_expect(&meta_parts, "ends inside a field");
}

Test(meta, M2_order)
{
	struct field swap = changed.list[2];

	changed.list[2] = changed.list[3];
	changed.list[3] = swap;
	expect_fields(&meta_parts, &changed, "lacks memory_size");
	changed = whole;
	insert(&changed, changed.count, 26, "late");
	expect_fields(&meta_parts, &changed, "out of order");
}

Test(meta, M3_each_exactly_once)
{
	for (size_t i = 0; i < whole.count; i++) {
		if (whole.list[i].tag >= 26)
			continue;
		changed = whole;
		memmove(&changed.list[i], &changed.list[i + 1],
			(changed.count - i - 1) * sizeof(changed.list[0]));
		changed.count--;
		expect_fields(&meta_parts, &changed, "the metadata lacks ");
		changed = whole;
		insert(&changed, i, changed.list[i].tag, "");
		changed.list[i] = changed.list[i + 1];
		expect_fields(&meta_parts, &changed, "comes twice");
	}
}

Test(meta, M3_sizes_and_counts)
{
	with_text(2, "1234567", 7, "created_ns has 7 bytes instead of 8");
	with_text(4, "12345678", 8, "abi_version has 8 bytes instead of 4");
	with_text(14, "1234", 4, "cpu has 4 bytes instead of 64");
	changed = whole;
	changed.count -= 5; /* three arguments, two environment entries */
	expect_fields(&meta_parts, &changed, "there is no argument 0");
	for (unsigned i = 0; i < THAW_IMAGE_STRINGS_MAX; i++)
		insert(&changed, changed.count, 26, "a");
	expect_fields(&meta_parts, &changed, NULL);
	insert(&changed, changed.count, 26, "a");
	expect_fields(&meta_parts, &changed, "more than 1024 args");
}

Test(meta, M4_unknown_tags)
{
	insert(&changed, 3, 7, "skipped");
	insert(&changed, 3, 7, "as often as it comes");
	insert(&changed, changed.count, 65535, "");
	expect_fields(&meta_parts, &changed, NULL);
	insert(&changed, changed.count - 1, 32, "needed");
	expect_fields(&meta_parts, &changed, "tag 32, which a reader must know");
	changed = whole;
	insert(&changed, 0, 0, "");
	expect_fields(&meta_parts, &changed, "tag 0, which a reader must know");
}

Test(meta, M5_text)
{
	static const uint16_t tags[] = {18, 20, 22, 24, 26, 28};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		with_text(tags[i], "a=\0b", 4, "NUL");
		with_text(tags[i], "a=\n", 3, "control characters");
		with_text(tags[i], "a=\xc2\x9b", 4, "control characters");
		with_text(tags[i], "a=\xff", 3, "UTF-8");
		with_text(tags[i], "a=\xe2\x9d\x84", 5, NULL);
	}
}

Test(meta, M6_names)
{
	with_text(16, "Upper", 5, "the function's name");
	with_text(16, "a/b", 3, "the function's name");
	with_text(16, "", 0, "the function's name");
	with_text(16, "a\0b", 3, "NUL");
	with_text(18, "", 0, "the program's path is empty");
	with_text(20, "", 0, "the backend's name is empty");
	with_text(22, "", 0, "the CPU level is empty");
	with_text(24, "", 0, "the creator is empty");
	with_text(26, "", 0, NULL);
	with_text(28, "", 0, "entry 0 is not KEY=VALUE");
	with_text(28, "KEY", 3, "entry 0 is not KEY=VALUE");
	with_text(28, "=VALUE", 6, "entry 0 is not KEY=VALUE");
	with_text(28, "KEY=", 4, NULL);
}

Test(meta, M7_memory_size)
{
	with_number(6, 0, "memory size of 0 bytes");
	with_number(6, 0x2f001, "memory size of");
	with_number(6, THAW_IMAGE_MEMORY_MAX, NULL);
	with_number(6, THAW_IMAGE_MEMORY_MAX + THAW_IMAGE_PAGE, "memory size of");
	with_number(6, UINT64_MAX, "memory size of");
}

Test(meta, M8_reserved_words)
{
	thaw_put32(find(&changed, 14)->value + 4 * 11, 1);
	expect_fields(&meta_parts, &changed, "word 11 of the CPU features");
	changed = whole;
	thaw_put32(find(&changed, 14)->value + 4 * 15, 1);
	expect_fields(&meta_parts, &changed, "word 15 of the CPU features");
}

/* The image with one more field of 64-bit numbers. */
static void with_added(uint16_t tag, const uint64_t *numbers, size_t count, const char *want)
{
	struct field *field;

	changed = whole;
	insert(&changed, changed.count, tag, "");
	field = &changed.list[changed.count - 1];
	field->length = (uint32_t)(count * 8);
	for (size_t i = 0; i < count; i++)
		thaw_put64(field->value + 8 * i, numbers[i]);
	expect_fields(&meta_parts, &changed, want);
}

static void with_dispatch(uint64_t start, uint64_t end, uint64_t call, uint64_t fault,
			  const char *want)
{
	const uint64_t numbers[] = {start, end, call, fault};

	with_added(30, numbers, 4, want);
}

Test(meta, M9_dispatch)
{
	const uint64_t none[5] = {0};

	with_dispatch(0x1000, 0x2000, 0x1000, 0x1fff, NULL);
	with_dispatch(0, THAW_IMAGE_ADDRESS_END, 0, THAW_IMAGE_ADDRESS_END - 1, NULL);
	with_dispatch(0, 0, 0, 0, "empty");
	with_dispatch(0x1000, 0x1000, 0x1000, 0x1000, "not in their code");
	with_dispatch(0x2000, 0x1000, 0x1800, 0x1800, "not in their code");
	with_dispatch(0x1000, 0x2000, 0x2000, 0x1000, "not in their code");
	with_dispatch(0x1000, 0x2000, 0x1000, 0xfff, "not in their code");
	with_dispatch(0x1000, 0x2000, 0x1000, 0x2000, "not in their code");
	with_dispatch(0x1000, THAW_IMAGE_ADDRESS_END + 1, 0x1000, 0x1000, "not in their code");
	with_added(30, none, 3, "24 bytes instead of 32");
	with_added(30, none, 5, "40 bytes instead of 32");
}

#define PIECE(pages, written) ((pages) | (uint64_t)(written) << 32)

/* A working set of two pieces, of which the second is under test. */
static void with_working_set(uint64_t start, uint64_t rest, const char *want)
{
	const uint8_t *ranges = meta_parts.section[THAW_SECTION_RANGES].bytes;
	const uint64_t numbers[] = {thaw_get64(ranges), PIECE(1, 0), start, rest};

	with_added(31, numbers, 4, want);
}

Test(meta, M10_M11_M12_working_set)
{
	const struct fixture_bytes *ranges = &meta_parts.section[THAW_SECTION_RANGES];
	uint64_t page = THAW_IMAGE_PAGE, start, end, writable = 0, other = 0;
	const uint64_t odd[] = {0, 0, 0};

	for (size_t at = 0; at < ranges->length; at += THAW_RANGE_ENTRY)
		*(thaw_get32(ranges->bytes + at + 16) & THAW_PROT_WRITE ? &writable : &other) =
			thaw_get64(ranges->bytes + at);
	start = thaw_get64(ranges->bytes);
	end = start + thaw_get64(ranges->bytes + 8);
	cr_assert(writable && other && end - start >= 3 * page);
	with_working_set(start + page, PIECE(1, 0), NULL);
	with_working_set(end - page, PIECE(1, 0), NULL);
	with_working_set(writable + (writable == start ? page : 0), PIECE(1, 1), NULL);
	with_working_set(start + page, PIECE(0, 0), "is not valid");
	with_working_set(start + page + 1, PIECE(1, 0), "is not valid");
	with_working_set(start + page, PIECE(1, 2), "is not valid");
	with_working_set(start, PIECE(1, 0), "is not valid"); /* again */
	with_working_set(UINT64_MAX - page + 1, PIECE(1, 0), "is not valid");
	with_working_set(end - page, PIECE(2, 0), "not within one range");
	with_working_set(other + (other == start ? page : 0), PIECE(1, 1), "not within one range");
	with_added(31, odd, 0, "0 bytes");
	with_added(31, odd, 3, "24 bytes");
}

Test(meta, M12_how_many)
{
	const struct thaw_range range = {0, UINT64_C(1) << 40, THAW_PROT_READ | THAW_PROT_WRITE};
	struct thaw_working_set_piece pieces[] = {{0, 4096, 1}, {UINT64_C(1) << 30, 12288, 0}};
	const struct thaw_image_meta meta = {.working_set = pieces, .working_set_count = 2};

	cr_expect_eq(thaw_image_check_working_set(&meta, &range, 1, NULL), 0);
	pieces[1].pages++;
	cr_expect_lt(thaw_image_check_working_set(&meta, &range, 1, NULL), 0);
	pieces[0].pages = 1;
	cr_expect_eq(thaw_image_check_working_set(&meta, &range, 1, NULL), 0);
	pieces[1].written = 1;
	cr_expect_lt(thaw_image_check_working_set(&meta, &range, 1, NULL), 0);
	pieces[1].pages = UINT32_MAX;
	cr_expect_lt(thaw_image_check_working_set(&meta, &range, 1, NULL), 0);
}

/* ---- vCPU record ---- */

#define AT_MASK	  160u
#define AT_LENGTH 168u

Test(rules, V1_length_and_reserved)
{
	struct fixture_parts parts = rules_parts("typical");
	struct fixture_bytes *record = &parts.section[THAW_SECTION_VCPU];

	rules_with32(&parts, THAW_SECTION_VCPU, AT_LENGTH, 831, "does not match its XSAVE area");
	rules_with32(&parts, THAW_SECTION_VCPU, AT_LENGTH, UINT32_MAX,
		     "does not match its XSAVE area");
	rules_with32(&parts, THAW_SECTION_VCPU, AT_LENGTH + 4, 1, "reserved bytes");
	record->length--;
	rules_expect(&parts, "does not match its XSAVE area");
	fixture_parts_free(&parts);
}

Test(rules, V2_area_size)
{
	struct fixture_parts parts = rules_parts("typical");
	struct fixture_bytes *record = &parts.section[THAW_SECTION_VCPU];

	record->length = THAW_VCPU_FIXED + 575;
	thaw_put32(record->bytes + AT_LENGTH, 575);
	rules_expect(&parts, "the XSAVE area has 575 bytes");
	record->length = THAW_VCPU_FIXED;
	thaw_put32(record->bytes + AT_LENGTH, 0);
	rules_expect(&parts, "the XSAVE area has 0 bytes"); /* the mask stays */
	thaw_put64(record->bytes + AT_MASK, 0);
	rules_expect(&parts, NULL);
	fixture_parts_free(&parts);
}

Test(rules, V3_standard_layout)
{
	struct fixture_parts parts = rules_parts("typical");

	rules_with64(&parts, THAW_SECTION_VCPU, THAW_VCPU_FIXED + 512, 8, "state outside its mask");
	rules_with64(&parts, THAW_SECTION_VCPU, THAW_VCPU_FIXED + 512, 7, NULL);
	for (unsigned at = 520; at < 576; at += 8)
		rules_with64(&parts, THAW_SECTION_VCPU, THAW_VCPU_FIXED + at, UINT64_C(1) << 63,
			     "not in the standard layout");
	fixture_parts_free(&parts);
}
