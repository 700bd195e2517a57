/* SPDX-License-Identifier: Apache-2.0 */
/* Image files in memory: made, damaged, resealed, loaded, printed as text; see fixture.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/layout.h"

int fixture_file(const void *bytes, size_t length)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	thaw_assert(fd >= 0);
	thaw_assert(thaw_write_at(fd, bytes, length, 0) == (ssize_t)length);
	return fd;
}

struct fixture_bytes fixture_read_file(int fd)
{
	struct fixture_bytes out;
	struct stat status;

	thaw_assert(fstat(fd, &status) == 0);
	out.length = (size_t)status.st_size;
	out.bytes = malloc(out.length + 1);
	thaw_assert(out.bytes && thaw_read_at(fd, out.bytes, out.length, 0) == (ssize_t)out.length);
	return out;
}

struct fixture_bytes fixture_write(const struct fixture *fixture, unsigned threads)
{
	struct thaw_error error = THAW_ERROR_INIT;
	thaw_autoclose int fd = fixture_file("", 0);

	if (thaw_image_write(fd, &fixture->content, threads, NULL, NULL, NULL, &error) < 0) {
		fprintf(stderr, "fixture: %s\n", error.message);
		abort();
	}
	return fixture_read_file(fd);
}

/* ---- Damage ---- */

static uint8_t *section_entry(uint8_t *bytes, enum thaw_section_kind kind)
{
	return bytes + THAW_AT_SECTIONS + kind * THAW_SECTION_ENTRY;
}

/* The section by the table, or NULL when it is not in the file. */
static uint8_t *find_section(uint8_t *bytes, size_t file, enum thaw_section_kind kind,
			     size_t *length)
{
	uint64_t offset = thaw_get64(section_entry(bytes, kind)),
		 size = thaw_get64(section_entry(bytes, kind) + 8);

	if (offset > file || size > file - offset)
		return NULL;
	*length = size;
	return bytes + offset;
}

static void reseal_frames(uint8_t *bytes, size_t file)
{
	size_t table_length, data_length;
	uint8_t *table = find_section(bytes, file, THAW_SECTION_FRAMES, &table_length);
	uint8_t *data = find_section(bytes, file, THAW_SECTION_DATA, &data_length);

	if (!table || !data)
		return;
	for (; table_length >= THAW_FRAME_ENTRY;
	     table_length -= THAW_FRAME_ENTRY, table += THAW_FRAME_ENTRY) {
		uint32_t length = thaw_get32(table);

		if (length > data_length)
			return;
		thaw_put64(table + 8, XXH3_64bits(data, length));
		data += length;
		data_length -= length;
	}
}

void fixture_reseal(uint8_t *bytes, size_t length)
{
	if (length < THAW_IMAGE_HEADER_SIZE)
		return;
	reseal_frames(bytes, length);
	for (unsigned kind = 0; kind < THAW_SECTION_DATA; kind++) {
		size_t size;
		const uint8_t *section = find_section(bytes, length, kind, &size);

		if (section)
			thaw_put64(section_entry(bytes, kind) + 16, XXH3_64bits(section, size));
	}
	thaw_put64(bytes + THAW_AT_FILE_SIZE, length);
	thaw_put64(bytes + THAW_AT_CHECKSUM, XXH3_64bits(bytes, THAW_AT_CHECKSUM));
}

struct fixture_parts fixture_split(const struct fixture_bytes *image)
{
	struct fixture_parts parts;

	for (unsigned kind = 0; kind < THAW_SECTIONS; kind++) {
		struct fixture_bytes *part = &parts.section[kind];
		const uint8_t *section =
			find_section(image->bytes, image->length, kind, &part->length);

		part->bytes = malloc(part->length + 1);
		thaw_assert(section && part->bytes);
		memcpy(part->bytes, section, part->length);
	}
	return parts;
}

struct fixture_bytes fixture_join(const struct fixture_parts *parts)
{
	struct thaw_header header = {.file_size = THAW_IMAGE_HEADER_SIZE};
	struct fixture_bytes out;

	for (unsigned kind = 0; kind < THAW_SECTIONS; kind++) {
		header.section[kind] = (struct thaw_section){.offset = header.file_size,
							     .length = parts->section[kind].length};
		header.file_size += parts->section[kind].length;
	}
	out.length = header.file_size;
	out.bytes = malloc(out.length);
	thaw_assert(out.bytes);
	for (unsigned kind = 0; kind < THAW_SECTIONS; kind++)
		memcpy(out.bytes + header.section[kind].offset, parts->section[kind].bytes,
		       parts->section[kind].length);
	thaw_header_encode(&header, out.bytes);
	fixture_reseal(out.bytes, out.length);
	return out;
}

void fixture_parts_free(struct fixture_parts *parts)
{
	for (unsigned kind = 0; kind < THAW_SECTIONS; kind++)
		free(parts->section[kind].bytes);
}

/* Chooses a place to change: any section with the same chance, however short, and the header's
 * tables. */
static size_t pick_place(uint8_t *bytes, size_t file, struct fixture_random *random)
{
	uint64_t kind = fixture_below(random, THAW_SECTIONS + 1);
	size_t length;
	const uint8_t *section;

	if (kind == THAW_SECTIONS)
		return fixture_below(random, THAW_IMAGE_HEADER_SIZE);
	section = find_section(bytes, file, (enum thaw_section_kind)kind, &length);
	if (!section || length == 0)
		return fixture_below(random, file);
	return (size_t)(section - bytes) + fixture_below(random, length);
}

static void change_place(uint8_t *bytes, size_t length, size_t at, struct fixture_random *random)
{
	static const uint64_t telling[] = {0,
					   1,
					   2,
					   3,
					   7,
					   64,
					   65,
					   0xfff,
					   0x1000,
					   0x1001,
					   0x2000,
					   UINT32_MAX,
					   UINT64_MAX,
					   UINT64_MAX - 0xfff,
					   UINT64_C(1) << 47,
					   UINT64_C(1) << 63};
	size_t width = (size_t)1 << fixture_below(random, 4);
	uint64_t value;

	if (fixture_below(random, 4))
		at &= ~(width - 1);
	if (at + 8 > length || fixture_below(random, 3) == 0) {
		bytes[at < length ? at : length - 1] ^= (uint8_t)(1u << fixture_below(random, 8));
		return;
	}
	value = thaw_get64(bytes + at);
	switch (fixture_below(random, 4)) {
	case 0:
		value += (fixture_below(random, 2) ? 1 : -1) *
			 (fixture_below(random, 2) ? 1 : 0x1000);
		break;
	case 1:
		value = fixture_next(random);
		break;
	default:
		value = telling[fixture_below(random, sizeof(telling) / sizeof(telling[0]))];
		break;
	}
	value = htole64(value);
	memcpy(bytes + at, &value, width);
}

void fixture_mutate(uint8_t *bytes, size_t *length, struct fixture_random *random)
{
	uint64_t changes = 1 + fixture_below(random, 3);

	if (*length < THAW_IMAGE_HEADER_SIZE)
		return;
	for (uint64_t i = 0; i < changes; i++)
		change_place(bytes, *length, pick_place(bytes, *length, random), random);
	if (fixture_below(random, 16) == 0)
		*length -= fixture_below(random, *length);
	if (fixture_below(random, 16))
		fixture_reseal(bytes, *length);
}

/* ---- Loading ---- */

int fixture_load(const struct thaw_image_file *image,
		 int (*place)(void *context, uint64_t start, const void *bytes, size_t length),
		 void *context, struct thaw_error *err)
{
	size_t count;
	const struct thaw_image_frame *frames = thaw_image_frames(image, &count);

	for (size_t i = 0; i < count; i++) {
		/* Exactly the allowed size, so that a sanitizer sees every byte beyond it. */
		thaw_autofree uint8_t *compressed = malloc(frames[i].length);
		thaw_autofree uint8_t *raw = malloc((size_t)frames[i].page_count * THAW_IMAGE_PAGE);

		thaw_assert(compressed && raw);
		thaw_assert(thaw_read_at(thaw_image_fd(image), compressed, frames[i].length,
					 frames[i].offset) == (ssize_t)frames[i].length);
		if (thaw_image_frame_decode(image, i, compressed, raw, NULL, err) < 0 ||
		    thaw_image_frame_scatter(image, i, raw, place, context) < 0)
			return -1;
	}
	return 0;
}

/* ---- As text ---- */

/* The content of the extents, one after another. */
struct extent_memory {
	const struct thaw_extent *extents;
	size_t count;
	uint8_t *bytes;
	uint64_t *offsets;
};

static int place_in_extent(void *context, uint64_t start, const void *bytes, size_t length)
{
	const struct extent_memory *memory = context;
	size_t low = 0, high = memory->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (memory->extents[middle].start <= start)
			low = middle;
		else
			high = middle;
	}
	thaw_assert(start >= memory->extents[low].start &&
		    start + length <= memory->extents[low].start + memory->extents[low].length);
	memcpy(memory->bytes + memory->offsets[low] + (start - memory->extents[low].start), bytes,
	       length);
	return 0;
}

static int dump_memory(const struct thaw_image_file *image, FILE *out, struct thaw_error *err)
{
	struct thaw_image_sizes sizes;
	struct extent_memory memory;
	thaw_autofree uint8_t *bytes = NULL;
	thaw_autofree uint64_t *offsets = NULL;
	uint64_t offset = 0;

	thaw_image_get_sizes(image, &sizes);
	memory.extents = thaw_image_extents(image, &memory.count);
	memory.bytes = bytes = calloc(1, sizes.nonzero_bytes + 1);
	memory.offsets = offsets = calloc(memory.count + 1, sizeof(*offsets));
	thaw_assert(bytes && offsets);
	for (size_t i = 0; i < memory.count; i++) {
		offsets[i] = offset;
		offset += memory.extents[i].length;
	}
	if (fixture_load(image, place_in_extent, &memory, err) < 0)
		return -1;
	for (size_t i = 0; i < memory.count; i++)
		fprintf(out, "extent %#" PRIx64 " %#" PRIx64 " %" PRIu64 " %016" PRIx64 "\n",
			memory.extents[i].start, memory.extents[i].length,
			memory.extents[i].store_page,
			XXH3_64bits(bytes + offsets[i], memory.extents[i].length));
	return 0;
}

static void dump_meta(const struct thaw_image_meta *meta, FILE *out)
{
	fprintf(out, "uuid ");
	for (size_t i = 0; i < sizeof(meta->uuid); i++)
		fprintf(out, "%02x", meta->uuid[i]);
	fprintf(out,
		"\ncreated_ns %" PRIu64 "\nabi_version %" PRIu32 "\nmemory_size %" PRIu64
		"\ntimeout_ns %" PRIu64 "\nboot_ns %" PRIu64 "\ngeneration %" PRIu64 "\ncpu",
		meta->created_ns, meta->abi_version, meta->memory_size, meta->timeout_ns,
		meta->boot_ns, meta->generation);
	for (unsigned i = 0; i < THAW_CPU_WORDS; i++)
		fprintf(out, " %08" PRIx32, meta->cpu.word[i]);
	fprintf(out, "\nname %s\nprogram %s\nbackend %s\ncpu_level %s\ncreator %s\n", meta->name,
		meta->program, meta->backend, meta->cpu_level, meta->creator);
	for (char **arg = meta->args; *arg; arg++)
		fprintf(out, "arg %s\n", *arg);
	for (char **env = meta->env; *env; env++)
		fprintf(out, "env %s\n", *env);
	if (meta->dispatch.end)
		fprintf(out, "dispatch %#" PRIx64 " %#" PRIx64 " %#" PRIx64 " %#" PRIx64 "\n",
			meta->dispatch.start, meta->dispatch.end, meta->dispatch.syscall_entry,
			meta->dispatch.fault_entry);
	for (size_t i = 0; i < meta->working_set_count; i++)
		fprintf(out, "touched %#" PRIx64 " %" PRIu32 " %" PRIu32 "\n",
			meta->working_set[i].start, meta->working_set[i].pages,
			meta->working_set[i].written);
}

static void dump_tables(const struct thaw_image_file *image, FILE *out)
{
	const struct thaw_vcpu *vcpu = thaw_image_vcpu(image);
	const struct thaw_range *ranges;
	const struct thaw_image_frame *frames;
	struct thaw_image_sizes sizes;
	size_t count;

	fprintf(out, "registers");
	for (unsigned i = 0; i < THAW_REGISTERS; i++)
		fprintf(out, " %016" PRIx64, vcpu->registers[i]);
	fprintf(out, "\nxsave %016" PRIx64 " %" PRIu32 " %016" PRIx64 "\n", vcpu->xsave_mask,
		vcpu->xsave_length, XXH3_64bits(vcpu->xsave, vcpu->xsave_length));
	ranges = thaw_image_ranges(image, &count);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "range %#" PRIx64 " %#" PRIx64 " %" PRIu32 "\n", ranges[i].start,
			ranges[i].length, ranges[i].prot);
	frames = thaw_image_frames(image, &count);
	for (size_t i = 0; i < count; i++)
		fprintf(out,
			"frame %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu64 " %016" PRIx64 "\n",
			frames[i].offset, frames[i].length, frames[i].page_count,
			frames[i].first_page, frames[i].checksum);
	thaw_image_get_sizes(image, &sizes);
	fprintf(out, "sizes %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", sizes.mapped_bytes,
		sizes.nonzero_bytes, sizes.stored_bytes, sizes.file_bytes);
}

int fixture_dump(int fd, FILE *out, struct thaw_error *err)
{
	struct thaw_image_file *image;
	int result;

	if (thaw_image_open(fd, &image, err) < 0)
		return -1;
	dump_meta(thaw_image_meta(image), out);
	dump_tables(image, out);
	result = dump_memory(image, out, err);
	thaw_image_close(image);
	return result;
}
