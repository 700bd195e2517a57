/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata section: a list of tagged fields. One table lists them; encoding and decoding both
 * walk it.
 *
 * Fields come in ascending order of their tags, so the rules "exactly once" and "lists together"
 * need only the last tag. check.c judges the values, in the decoded struct.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/layout.h"

/* Kinds from FIELD_LIST on may be absent. */
enum field_kind {
	FIELD_U32,
	FIELD_U64,
	FIELD_CPU,
	FIELD_STRING,
	FIELD_LIST,
	FIELD_DISPATCH,
	FIELD_WORKING_SET
};

#define FIELD(tag_, kind_, member)                                                                 \
	{                                                                                          \
		.tag = (tag_), .kind = (kind_), .name = #member,                                   \
		.at = offsetof(struct thaw_image_meta, member)                                     \
	}

/* Odd tags: a reader that does not know one skips it. */
#define TAG_OPTIONAL 1u

static const struct field {
	uint16_t tag;
	enum field_kind kind;
	const char *name;
	size_t at;
} fields[] = {
	FIELD(2, FIELD_U64, created_ns),     FIELD(4, FIELD_U32, abi_version),
	FIELD(6, FIELD_U64, memory_size),    FIELD(8, FIELD_U64, timeout_ns),
	FIELD(10, FIELD_U64, boot_ns),	     FIELD(12, FIELD_U64, generation),
	FIELD(14, FIELD_CPU, cpu),	     FIELD(16, FIELD_STRING, name),
	FIELD(18, FIELD_STRING, program),    FIELD(20, FIELD_STRING, backend),
	FIELD(22, FIELD_STRING, cpu_level),  FIELD(24, FIELD_STRING, creator),
	FIELD(26, FIELD_LIST, args),	     FIELD(28, FIELD_LIST, env),
	FIELD(30, FIELD_DISPATCH, dispatch), FIELD(31, FIELD_WORKING_SET, working_set),
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* ---- Encoding ---- */

/* With OUT NULL it only counts. */
struct encoder {
	uint8_t *out;
	size_t used;
};

static void put_field(struct encoder *to, uint16_t tag, const void *bytes, size_t length)
{
	if (to->out) {
		uint8_t *at = to->out + to->used;

		thaw_put32(at, tag); /* the upper half is the reserved zero */
		thaw_put32(at + 4, (uint32_t)length);
		memcpy(at + THAW_META_HEADER, bytes, length);
	}
	to->used += THAW_META_HEADER + length;
}

static void put_number(struct encoder *to, uint16_t tag, uint64_t value, size_t length)
{
	uint8_t bytes[8];

	thaw_put64(bytes, value);
	put_field(to, tag, bytes, length);
}

static void put_cpu(struct encoder *to, uint16_t tag, const struct thaw_cpu_features *cpu)
{
	uint8_t bytes[4 * THAW_CPU_WORDS];

	for (unsigned i = 0; i < THAW_CPU_WORDS; i++)
		thaw_put32(bytes + 4 * i, cpu->word[i]);
	put_field(to, tag, bytes, sizeof(bytes));
}

static void put_dispatch(struct encoder *to, uint16_t tag, const struct thaw_dispatch *dispatch)
{
	uint8_t bytes[THAW_DISPATCH_SIZE];

	if (!dispatch->end)
		return;
	thaw_put64(bytes, dispatch->start);
	thaw_put64(bytes + 8, dispatch->end);
	thaw_put64(bytes + 16, dispatch->syscall_entry);
	thaw_put64(bytes + 24, dispatch->fault_entry);
	put_field(to, tag, bytes, sizeof(bytes));
}

static void put_working_set(struct encoder *to, uint16_t tag, const struct thaw_image_meta *meta)
{
	size_t length = meta->working_set_count * THAW_WORKING_SET_ENTRY;
	uint8_t *at;

	if (!length)
		return;
	if (to->out) {
		thaw_put32(to->out + to->used, tag);
		thaw_put32(to->out + to->used + 4, (uint32_t)length);
		at = to->out + to->used + THAW_META_HEADER;
		for (size_t i = 0; i < meta->working_set_count; i++, at += THAW_WORKING_SET_ENTRY) {
			thaw_put64(at, meta->working_set[i].start);
			thaw_put32(at + 8, meta->working_set[i].pages);
			thaw_put32(at + 12, meta->working_set[i].written);
		}
	}
	to->used += THAW_META_HEADER + length;
}

static void put_value(struct encoder *to, const struct field *field,
		      const struct thaw_image_meta *meta)
{
	const void *value = (const char *)meta + field->at;

	switch (field->kind) {
	case FIELD_U32:
		put_number(to, field->tag, *(const uint32_t *)value, 4);
		break;
	case FIELD_U64:
		put_number(to, field->tag, *(const uint64_t *)value, 8);
		break;
	case FIELD_CPU:
		put_cpu(to, field->tag, value);
		break;
	case FIELD_STRING:
		put_field(to, field->tag, *(char *const *)value, strlen(*(char *const *)value));
		break;
	case FIELD_LIST:
		for (char *const *list = *(char **const *)value; *list; list++)
			put_field(to, field->tag, *list, strlen(*list));
		break;
	case FIELD_DISPATCH:
		put_dispatch(to, field->tag, value);
		break;
	case FIELD_WORKING_SET:
		put_working_set(to, field->tag, meta);
		break;
	}
}

static void put_all(struct encoder *to, const struct thaw_image_meta *meta)
{
	for (size_t i = 0; i < FIELDS; i++)
		put_value(to, &fields[i], meta);
}

int thaw_meta_encode(const struct thaw_image_meta *meta, uint8_t **bytes, size_t *length,
		     struct thaw_error *err)
{
	struct encoder count = {0}, to = {0};

	put_all(&count, meta);
	if (count.used > THAW_IMAGE_META_MAX)
		return thaw_fail(err, THAW_ERR_IMAGE,
				 "the metadata would take %zu bytes of at most %u: shorten "
				 "arguments or environment",
				 count.used, THAW_IMAGE_META_MAX);
	to.out = malloc(count.used);
	if (!to.out)
		return thaw_no_memory(err);
	put_all(&to, meta);
	*bytes = to.out;
	*length = to.used;
	return 0;
}

/* ---- Decoding ---- */

struct decoder {
	struct thaw_image_meta *meta;
	char *arena; /* where the next string goes */
	size_t list_length;
	struct thaw_error *err;
};

/* A field's header is longer than a NUL, so an arena of the section's size has room for all
 * strings. */
static char *take_string(struct decoder *from, const uint8_t *bytes, size_t length)
{
	char *string = from->arena;

	memcpy(string, bytes, length);
	string[length] = '\0';
	from->arena += length + 1;
	return string;
}

static int get_dispatch(struct decoder *from, const uint8_t *bytes)
{
	struct thaw_dispatch *dispatch = &from->meta->dispatch;

	dispatch->start = thaw_get64(bytes);
	dispatch->end = thaw_get64(bytes + 8);
	dispatch->syscall_entry = thaw_get64(bytes + 16);
	dispatch->fault_entry = thaw_get64(bytes + 24);
	/* As a value it would equal no dispatch. */
	if (!dispatch->end)
		return thaw_refuse(from->err, "the metadata's dispatch is empty");
	return 0;
}

/* meta owns it from here, also on failure. */
static int get_working_set(struct decoder *from, const uint8_t *bytes, size_t length)
{
	size_t count = length / THAW_WORKING_SET_ENTRY;
	struct thaw_working_set_piece *pieces;

	if (!count || length % THAW_WORKING_SET_ENTRY || count > THAW_IMAGE_WORKING_SET_PIECES_MAX)
		return thaw_refuse(from->err, "the metadata's working set has %zu bytes", length);
	pieces = calloc(count, sizeof(*pieces));
	if (!pieces)
		return thaw_no_memory(from->err);
	for (size_t i = 0; i < count; i++, bytes += THAW_WORKING_SET_ENTRY)
		pieces[i] = (struct thaw_working_set_piece){.start = thaw_get64(bytes),
							    .pages = thaw_get32(bytes + 8),
							    .written = thaw_get32(bytes + 12)};
	from->meta->working_set = pieces;
	from->meta->working_set_count = count;
	return 0;
}

static int get_value(struct decoder *from, const struct field *field, const uint8_t *bytes,
		     size_t length)
{
	static const size_t sizes[] = {[FIELD_U32] = 4,
				       [FIELD_U64] = 8,
				       [FIELD_CPU] = 4 * THAW_CPU_WORDS,
				       [FIELD_DISPATCH] = THAW_DISPATCH_SIZE,
				       [FIELD_WORKING_SET] = 0};
	void *value = (char *)from->meta + field->at;
	bool is_text = field->kind == FIELD_STRING || field->kind == FIELD_LIST;

	if (sizes[field->kind] && length != sizes[field->kind])
		return thaw_refuse(from->err, "the metadata's %s has %zu bytes instead of %zu",
				   field->name, length, sizes[field->kind]);
	/* Every user of the struct would take a NUL for the end of the string. */
	if (is_text && memchr(bytes, 0, length))
		return thaw_refuse(from->err, "the metadata's %s has a NUL byte in it",
				   field->name);
	switch (field->kind) {
	case FIELD_U32:
		*(uint32_t *)value = thaw_get32(bytes);
		break;
	case FIELD_U64:
		*(uint64_t *)value = thaw_get64(bytes);
		break;
	case FIELD_CPU:
		for (unsigned i = 0; i < THAW_CPU_WORDS; i++)
			((struct thaw_cpu_features *)value)->word[i] = thaw_get32(bytes + 4 * i);
		break;
	case FIELD_STRING:
		*(char **)value = take_string(from, bytes, length);
		break;
	case FIELD_LIST:
		if (from->list_length == THAW_IMAGE_STRINGS_MAX)
			return thaw_refuse(from->err, "the metadata has more than %u %s",
					   THAW_IMAGE_STRINGS_MAX, field->name);
		(*(char ***)value)[from->list_length++] = take_string(from, bytes, length);
		break;
	case FIELD_DISPATCH:
		return get_dispatch(from, bytes);
	case FIELD_WORKING_SET:
		return get_working_set(from, bytes, length);
	}
	return 0;
}

static const struct field *find_field(uint16_t tag)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].tag == tag)
			return &fields[i];
	return NULL;
}

/* Checks that a field with TAG may follow one with tag PREVIOUS. A field of a tag in between that
 * must be there is missing. */
static int check_order(uint32_t previous, uint32_t tag, const struct field *field,
		       struct thaw_error *err)
{
	/* An unknown field that may be skipped may also be a list. */
	if (tag < previous || (tag == previous && field && field->kind != FIELD_LIST))
		return thaw_refuse(
			err, "the metadata's tag %" PRIu32 " comes twice or out of order", tag);
	if (!field && !(tag & TAG_OPTIONAL))
		return thaw_fail(
			err, THAW_ERR_IMAGE,
			"the metadata has tag %" PRIu32
			", which a reader must know and this one does not: use a newer thaw",
			tag);
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].kind < FIELD_LIST && fields[i].tag > previous && fields[i].tag < tag)
			return thaw_refuse(err, "the metadata lacks %s", fields[i].name);
	return 0;
}

static int decode_fields(struct decoder *from, const uint8_t *bytes, size_t length)
{
	uint32_t previous = 0;
	size_t at = 0;

	while (at < length) {
		const struct field *field;
		uint32_t tag, size;

		if (length - at < THAW_META_HEADER)
			return thaw_refuse(from->err, "the metadata ends inside a field");
		tag = thaw_get32(bytes + at);
		size = thaw_get32(bytes + at + 4);
		at += THAW_META_HEADER;
		if (tag > UINT16_MAX)
			return thaw_refuse(from->err,
					   "a metadata field's reserved bytes are not zero");
		if (size > length - at)
			return thaw_refuse(from->err, "the metadata ends inside a field");
		field = find_field((uint16_t)tag);
		if (check_order(previous, tag, field, from->err) < 0)
			return -1;
		if (tag != previous)
			from->list_length = 0;
		if (field && get_value(from, field, bytes + at, size) < 0)
			return -1;
		at += size;
		previous = tag;
	}
	/* A tag beyond all others: any field that must be there and has not come is missing. */
	return check_order(previous, UINT16_MAX + 2u, NULL, from->err);
}

int thaw_meta_decode(const uint8_t *bytes, size_t length, struct thaw_image_meta *out, char **arena,
		     struct thaw_error *err)
{
	struct thaw_image_meta meta = {0};
	struct decoder from = {.meta = &meta, .err = err};
	thaw_autofree char *memory = malloc(length);
	thaw_autofree char **args = calloc(THAW_IMAGE_STRINGS_MAX + 1, sizeof(char *));
	thaw_autofree char **env = calloc(THAW_IMAGE_STRINGS_MAX + 1, sizeof(char *));

	if (!memory || !args || !env)
		return thaw_no_memory(err);
	from.arena = memory;
	meta.args = args;
	meta.env = env;
	if (decode_fields(&from, bytes, length) < 0) {
		free(meta.working_set);
		return -1;
	}
	*out = meta;
	*arena = thaw_take(memory);
	(void)thaw_take(args);
	(void)thaw_take(env);
	return 0;
}

void thaw_meta_free(struct thaw_image_meta *meta, char *arena)
{
	free(meta->args);
	free(meta->env);
	free(meta->working_set);
	free(arena);
}
