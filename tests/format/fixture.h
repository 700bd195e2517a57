/* SPDX-License-Identifier: Apache-2.0 */
/* Images to test with: content made from a seed, files made from content, and damage that keeps
 * the checksums correct. */
#ifndef THAW_TEST_FIXTURE_H
#define THAW_TEST_FIXTURE_H

#include <stdio.h>

#include "snapshot-format/image.h"

/* ---- Numbers from a seed ---- */

struct fixture_random {
	uint64_t state;
};

uint64_t fixture_next(struct fixture_random *random);
/* A number below BOUND, which is not 0. */
uint64_t fixture_below(struct fixture_random *random, uint64_t bound);

/* ---- Content ---- */

#define FIXTURE_RANGES	 8
#define FIXTURE_SEGMENTS 32
#define FIXTURE_STRINGS	 8

/* Must not be copied: the content points into it. MEMORY holds the guest's memory, range after
 * range. */
struct fixture {
	struct thaw_image_meta meta;
	struct thaw_vcpu vcpu;
	struct thaw_range ranges[FIXTURE_RANGES];
	struct thaw_memory_segment segments[FIXTURE_SEGMENTS];
	struct thaw_image_content content;
	uint8_t *memory;
	size_t memory_length;
	uint8_t *xsave;
	struct thaw_working_set_piece working_set[FIXTURE_RANGES];
	char *args[FIXTURE_STRINGS + 1], *env[FIXTURE_STRINGS + 1];
	char text[2 * FIXTURE_STRINGS + 8][64]; /* the strings' text */
};

/* Ranges that touch and ranges apart, zero pages, equal pages, pages that compress well and
 * badly, segments in some places. */
void fixture_make_random(struct fixture *fixture, uint64_t seed);
/* The content of the golden file of that name, which never changes: "tiny", "typical", "frames",
 * "empty". False for other names. */
bool fixture_make_golden(struct fixture *fixture, const char *name);
extern const char *const fixture_golden_names[]; /* NULL-terminated */
void fixture_free(struct fixture *fixture);

/* The place of guest address START in `memory`. */
uint8_t *fixture_at(const struct fixture *fixture, uint64_t start);

/* ---- Files ---- */

struct fixture_bytes {
	uint8_t *bytes;
	size_t length;
};

/* The fixture's image as bytes; aborts on failure. */
struct fixture_bytes fixture_write(const struct fixture *fixture, unsigned threads);
/* A memory file that holds BYTES. */
int fixture_file(const void *bytes, size_t length);
struct fixture_bytes fixture_read_file(int fd);

/* A file taken apart and put together again, with sections exchanged for others of any length. */
struct fixture_parts {
	struct fixture_bytes section[6]; /* by enum thaw_section_kind; each in memory of its own */
};
struct fixture_parts fixture_split(const struct fixture_bytes *image);
/* Adds a header, and checksums that are correct for these sections. */
struct fixture_bytes fixture_join(const struct fixture_parts *parts);
void fixture_parts_free(struct fixture_parts *parts);

/* Corrects all checksums and the file size, as far as the section table makes sense. */
void fixture_reseal(uint8_t *bytes, size_t length);
/* Makes a few changes that the seed decides: most of them to fields, most of them resealed.
 * LENGTH may shrink. */
void fixture_mutate(uint8_t *bytes, size_t *length, struct fixture_random *random);

/* Reads and decodes all of IMAGE and hands each piece of memory to PLACE. */
int fixture_load(const struct thaw_image_file *image,
		 int (*place)(void *context, uint64_t start, const void *bytes, size_t length),
		 void *context, struct thaw_error *err);
/* Prints the whole image as text, the same that reader.py prints. Negative when it is refused;
 * some text may be printed by then. */
int fixture_dump(int fd, FILE *out, struct thaw_error *err);

#endif
