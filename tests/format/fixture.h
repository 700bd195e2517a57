/* SPDX-License-Identifier: Apache-2.0 */
/* Images to test with: content made from a seed, files made from content, damage that keeps its
 * checksums right. */
#ifndef THAW_TEST_FIXTURE_H
#define THAW_TEST_FIXTURE_H

#include <stdio.h>

#include "snapshot-format/image.h"

/* ---- Numbers from a seed ---- */

struct fixture_random {
	uint64_t state;
};

uint64_t fixture_next(struct fixture_random *random);
/* Below BOUND, which is not 0. */
uint64_t fixture_below(struct fixture_random *random, uint64_t bound);

/* ---- Content ---- */

#define FIXTURE_RANGES	 8
#define FIXTURE_SEGMENTS 32
#define FIXTURE_STRINGS	 8

/* Not to be copied: the content points into it. The guest's memory, range after range, is MEMORY.
 */
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
	char text[2 * FIXTURE_STRINGS + 8][64]; /* what the strings point to */
};

/* Ranges that touch and ranges apart, zero pages, equal pages, soft and hard to compress ones,
 * segments here and there. */
void fixture_make_random(struct fixture *fixture, uint64_t seed);
/* Content of the golden file of that name, the same for ever: "tiny", "typical", "frames", "empty".
 * False for others. */
bool fixture_make_golden(struct fixture *fixture, const char *name);
extern const char *const fixture_golden_names[]; /* NULL-terminated */
void fixture_free(struct fixture *fixture);

/* Where guest address START is in `memory`. */
uint8_t *fixture_at(const struct fixture *fixture, uint64_t start);

/* ---- Files ---- */

struct fixture_bytes {
	uint8_t *bytes;
	size_t length;
};

/* The image of the fixture as bytes; aborts on failure. */
struct fixture_bytes fixture_write(const struct fixture *fixture, unsigned threads);
/* A memory file that holds BYTES. */
int fixture_file(const void *bytes, size_t length);
struct fixture_bytes fixture_read_file(int fd);

/* A file taken apart and put together again: sections may be exchanged for others of any length. */
struct fixture_parts {
	struct fixture_bytes section[6]; /* by enum thaw_section_kind; each memory of its own */
};
struct fixture_parts fixture_split(const struct fixture_bytes *image);
/* With a header and checksums that are right for what is there. */
struct fixture_bytes fixture_join(const struct fixture_parts *parts);
void fixture_parts_free(struct fixture_parts *parts);

/* Makes all checksums, and the file size, right again, as far as the section table makes sense. */
void fixture_reseal(uint8_t *bytes, size_t length);
/* A few changes that a seed decides, most of them to fields, most of them resealed. LENGTH may
 * shrink. */
void fixture_mutate(uint8_t *bytes, size_t *length, struct fixture_random *random);

/* Reads and decodes all of IMAGE and hands each piece of memory to PLACE. */
int fixture_load(const struct thaw_image_file *image,
		 int (*place)(void *context, uint64_t start, const void *bytes, size_t length),
		 void *context, struct thaw_error *err);
/* The whole of an image as text, the same that reader.py prints. Negative, and perhaps some text,
 * when it is refused. */
int fixture_dump(int fd, FILE *out, struct thaw_error *err);

#endif
