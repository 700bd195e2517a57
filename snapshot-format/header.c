/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed header: the file's identity and length, where its sections lie and what they hash to.
 *
 * The sections of a decoded header fill the file exactly, in order, each within its limit: a
 * caller may allocate a section's length without a further check.
 */
#include <inttypes.h>
#include <xxhash.h>

#include "snapshot-format/layout.h"

/* The least and the most bytes of a section, and the size of its entries. */
static const struct {
	const char *name;
	uint64_t least, most, entry;
} sections[THAW_SECTIONS] = {
	[THAW_SECTION_META] = {"metadata", THAW_META_HEADER, THAW_IMAGE_META_MAX, 1},
	[THAW_SECTION_VCPU] = {"vCPU record", THAW_VCPU_FIXED,
			       THAW_VCPU_FIXED + THAW_IMAGE_XSAVE_MAX, 1},
	[THAW_SECTION_RANGES] = {"range table", THAW_RANGE_ENTRY,
				 (uint64_t)THAW_IMAGE_RANGES_MAX *THAW_RANGE_ENTRY,
				 THAW_RANGE_ENTRY},
	[THAW_SECTION_EXTENTS] = {"extent table", 0,
				  (uint64_t)THAW_IMAGE_EXTENTS_MAX *THAW_EXTENT_ENTRY,
				  THAW_EXTENT_ENTRY},
	[THAW_SECTION_FRAMES] = {"frame table", 0, THAW_FRAMES_MAX *THAW_FRAME_ENTRY,
				 THAW_FRAME_ENTRY},
	[THAW_SECTION_DATA] = {"frame data", 0, THAW_FRAMES_MAX *THAW_FRAME_LENGTH_MAX, 1},
};

const char *thaw_section_name(enum thaw_section_kind kind)
{
	return sections[kind].name;
}

void thaw_header_encode(const struct thaw_header *header, uint8_t out[THAW_IMAGE_HEADER_SIZE])
{
	memset(out, 0, THAW_IMAGE_HEADER_SIZE);
	memcpy(out + THAW_AT_MAGIC, THAW_MAGIC, 8);
	thaw_put32(out + THAW_AT_VERSION, THAW_IMAGE_VERSION);
	thaw_put32(out + THAW_AT_HEADER_SIZE, THAW_IMAGE_HEADER_SIZE);
	thaw_put64(out + THAW_AT_FILE_SIZE, header->file_size);
	memcpy(out + THAW_AT_UUID, header->uuid, sizeof(header->uuid));
	for (unsigned i = 0; i < THAW_SECTIONS; i++) {
		uint8_t *entry = out + THAW_AT_SECTIONS + i * THAW_SECTION_ENTRY;

		thaw_put64(entry, header->section[i].offset);
		thaw_put64(entry + 8, header->section[i].length);
		thaw_put64(entry + 16, header->section[i].checksum);
	}
	thaw_put64(out + THAW_AT_CHECKSUM, XXH3_64bits(out, THAW_AT_CHECKSUM));
}

/* The version comes before the checksum: another version may compute its checksum differently,
 * and the user should read "version 2" and not "damaged". */
static int check_identity(const uint8_t *bytes, struct thaw_error *err)
{
	uint32_t version = thaw_get32(bytes + THAW_AT_VERSION);

	if (memcmp(bytes + THAW_AT_MAGIC, THAW_MAGIC, 8) != 0)
		return thaw_fail(err, THAW_ERR_IMAGE, "not a Thaw image: it does not begin as one");
	if (version != THAW_IMAGE_VERSION)
		return thaw_fail(
			err, THAW_ERR_IMAGE,
			"image format version %" PRIu32
			", and this program reads version %u only: freeze the program again",
			version, THAW_IMAGE_VERSION);
	if (thaw_get64(bytes + THAW_AT_CHECKSUM) != XXH3_64bits(bytes, THAW_AT_CHECKSUM))
		return thaw_refuse(err, "the header's checksum does not match");
	if (thaw_get32(bytes + THAW_AT_HEADER_SIZE) != THAW_IMAGE_HEADER_SIZE)
		return thaw_refuse(err, "the header claims another size than %u bytes",
				   THAW_IMAGE_HEADER_SIZE);
	for (unsigned i = THAW_AT_RESERVED; i < THAW_AT_CHECKSUM; i++)
		if (bytes[i] != 0)
			return thaw_refuse(err, "byte %u of the header is reserved and not zero",
					   i);
	return 0;
}

static int check_section(unsigned kind, const struct thaw_section *section, uint64_t expected,
			 struct thaw_error *err)
{
	const char *name = sections[kind].name;

	if (section->offset != expected)
		return thaw_refuse(err, "the %s is at %" PRIu64 " and should be at %" PRIu64, name,
				   section->offset, expected);
	if (section->length < sections[kind].least || section->length > sections[kind].most)
		return thaw_refuse(
			err, "the %s has %" PRIu64 " bytes, outside %" PRIu64 " to %" PRIu64, name,
			section->length, sections[kind].least, sections[kind].most);
	if (section->length % sections[kind].entry != 0)
		return thaw_refuse(err, "the %s ends inside an entry", name);
	return 0;
}

static int check_sections(const struct thaw_header *header, struct thaw_error *err)
{
	uint64_t end = THAW_IMAGE_HEADER_SIZE;

	for (unsigned i = 0; i < THAW_SECTIONS; i++) {
		if (check_section(i, &header->section[i], end, err) < 0)
			return -1;
		/* Cannot overflow: every length is within its limit, and the limits sum to less
		 * than 2^37. */
		end += header->section[i].length;
	}
	if (end != header->file_size)
		return thaw_refuse(err, "its sections end at %" PRIu64 " and the file at %" PRIu64,
				   end, header->file_size);
	/* Frames have checksums of their own, so that each can be read independently of the
	 * others. */
	if (header->section[THAW_SECTION_DATA].checksum != 0)
		return thaw_refuse(err,
				   "the frame data has a section checksum, which must be zero");
	return 0;
}

int thaw_header_decode(const uint8_t bytes[THAW_IMAGE_HEADER_SIZE], uint64_t file_size,
		       struct thaw_header *out, struct thaw_error *err)
{
	struct thaw_header header = {.file_size = thaw_get64(bytes + THAW_AT_FILE_SIZE)};

	if (check_identity(bytes, err) < 0)
		return -1;
	if (header.file_size != file_size)
		return thaw_refuse(err, "it should be %" PRIu64 " bytes long and is %" PRIu64,
				   header.file_size, file_size);
	memcpy(header.uuid, bytes + THAW_AT_UUID, sizeof(header.uuid));
	for (unsigned i = 0; i < THAW_SECTIONS; i++) {
		const uint8_t *entry = bytes + THAW_AT_SECTIONS + i * THAW_SECTION_ENTRY;

		header.section[i] = (struct thaw_section){.offset = thaw_get64(entry),
							  .length = thaw_get64(entry + 8),
							  .checksum = thaw_get64(entry + 16)};
	}
	if (check_sections(&header, err) < 0)
		return -1;
	*out = header;
	return 0;
}
