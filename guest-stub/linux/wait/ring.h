/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a byte stream within the program: a ring of bytes in pieces.
 *
 * The pieces are what Linux has below: the pages of a pipe, which is full when it has no page left,
 * and the messages of a socket, whose sender learns of each one that was read. When a stream is
 * full, and when it has room again, depends on them.
 */
#ifndef THAW_LINUX_RING_H
#define THAW_LINUX_RING_H

#include "guest-stub/linux/linux.h"

#define RING_CAPACITY 0x10000u
#define RING_PAGES    16u
#define RING_PIECES   256u

struct ring_piece {
	uint32_t taken, length; /* bytes of the piece that were read already, and that are left */
	bool fixed;		/* nothing is appended to it: it was spliced */
};

struct ring {
	bool pages;		/* the pieces are pages */
	uint32_t start, length; /* of the content */
	uint32_t first, count;	/* of the pieces */
	struct ring_piece pieces[RING_PIECES];
	uint8_t bytes[RING_CAPACITY];
};

/* Whether RING has no room at all. */
bool ring_is_full(const struct ring *ring);

/* How many bytes RING takes in its free pieces, not counting what fits into the last one. */
uint32_t ring_room(const struct ring *ring);

/* As a write to a pipe begins: appends to the last page the bytes of LENGTH beyond whole pages, if
 * all of those fit there. Returns how many; 0 for a socket. */
uint32_t ring_merge(struct ring *ring, const uint8_t *from, size_t length);

/* Appends up to LENGTH bytes in pieces of their own. Returns how many. */
uint32_t ring_give(struct ring *ring, const uint8_t *from, size_t length);

/* The same, with nothing appended to them later: the pieces are those of the program's pages. */
uint32_t ring_splice(struct ring *ring, const uint8_t *from, size_t length);

/* Puts the pieces of FROM, up to LENGTH bytes, into TO as they are. FROM still has them, and is to KEEP
 * them or not. Returns how many bytes. */
uint32_t ring_copy(struct ring *to, const struct ring *from, size_t length, bool keep);

/* Copies up to LENGTH bytes to TO. Returns how many. */
uint32_t ring_look(const struct ring *ring, uint8_t *to, size_t length);

/* Takes COUNT bytes, which RING has. Returns whether a piece was taken to its end. */
bool ring_take(struct ring *ring, uint32_t count);

#endif
