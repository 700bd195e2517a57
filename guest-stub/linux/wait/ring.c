/* SPDX-License-Identifier: Apache-2.0 */
/* See ring.h. */
#include "guest-stub/linux/wait/ring.h"

static uint32_t free_pieces(const struct ring *ring)
{
	return (ring->pages ? RING_PAGES : RING_PIECES) - ring->count;
}

static struct ring_piece *last_piece(struct ring *ring)
{
	return &ring->pieces[(ring->first + ring->count - 1) % RING_PIECES];
}

bool ring_is_full(const struct ring *ring)
{
	return ring_room(ring) == 0;
}

uint32_t ring_room(const struct ring *ring)
{
	return ring->pages ? free_pieces(ring) * (uint32_t)THAW_PAGE_SIZE
			   : RING_CAPACITY - ring->length;
}

static uint32_t merging(const struct ring *ring, size_t length)
{
	uint32_t rest = length % THAW_PAGE_SIZE;
	const struct ring_piece *last =
		&ring->pieces[(ring->first + ring->count - 1) % RING_PIECES];

	return ring->count && !last->fixed && last->taken + last->length + rest <= THAW_PAGE_SIZE
		       ? rest
		       : 0;
}

static void append(struct ring *ring, const uint8_t *from, uint32_t length)
{
	for (uint32_t done = 0; done < length;) {
		uint32_t at = (ring->start + ring->length) % RING_CAPACITY,
			 run = RING_CAPACITY - at;

		if (run > length - done)
			run = length - done;
		memcpy(ring->bytes + at, from + done, run);
		ring->length += run;
		done += run;
	}
}

uint32_t ring_merge(struct ring *ring, const uint8_t *from, size_t length)
{
	uint32_t rest = ring->pages ? merging(ring, length) : 0;

	if (rest) {
		append(ring, from, rest);
		last_piece(ring)->length += rest;
	}
	return rest;
}

uint32_t ring_give(struct ring *ring, const uint8_t *from, size_t length)
{
	uint32_t room = ring_room(ring), count = length < room ? (uint32_t)length : room;

	for (uint32_t done = 0; done < count;) {
		uint32_t piece = count - done;

		if (ring->pages && piece > THAW_PAGE_SIZE)
			piece = THAW_PAGE_SIZE;
		append(ring, from + done, piece);
		/* A socket with more messages than are told apart has its last ones together. */
		if (free_pieces(ring)) {
			ring->count++;
			*last_piece(ring) = (struct ring_piece){0, 0, false};
		}
		last_piece(ring)->length += piece;
		done += piece;
	}
	return count;
}

uint32_t ring_splice(struct ring *ring, const uint8_t *from, size_t length)
{
	uint32_t done = 0;

	while (done < length && free_pieces(ring)) {
		uint32_t in_page = (uint32_t)((uint64_t)(from + done) % THAW_PAGE_SIZE);
		size_t left = length - done, run = THAW_PAGE_SIZE - in_page;

		run = run < left ? run : left;
		append(ring, from + done, (uint32_t)run);
		ring->count++;
		*last_piece(ring) = (struct ring_piece){in_page, (uint32_t)run, true};
		done += (uint32_t)run;
	}
	return done;
}

/* Appends LENGTH bytes that lie in FROM's ring at AT. */
static void append_from(struct ring *to, const struct ring *from, uint32_t at, uint32_t length)
{
	uint32_t run = RING_CAPACITY - at;

	run = run < length ? run : length;
	append(to, from->bytes + at, run);
	append(to, from->bytes, length - run);
}

uint32_t ring_copy(struct ring *to, const struct ring *from, size_t length, bool keep)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < from->count && done < length && free_pieces(to); i++) {
		struct ring_piece piece = from->pieces[(from->first + i) % RING_PIECES];

		piece.fixed |= keep || piece.length > length - done;
		if (piece.length > length - done)
			piece.length = (uint32_t)(length - done);
		append_from(to, from, (from->start + done) % RING_CAPACITY, piece.length);
		to->count++;
		*last_piece(to) = piece;
		done += piece.length;
	}
	return done;
}

uint32_t ring_look(const struct ring *ring, uint8_t *to, size_t length)
{
	uint32_t count = length < ring->length ? (uint32_t)length : ring->length;

	for (uint32_t done = 0; done < count;) {
		uint32_t at = (ring->start + done) % RING_CAPACITY, run = RING_CAPACITY - at;

		if (run > count - done)
			run = count - done;
		memcpy(to + done, ring->bytes + at, run);
		done += run;
	}
	return count;
}

bool ring_take(struct ring *ring, uint32_t count)
{
	bool ended = false;

	ring->start = (ring->start + count) % RING_CAPACITY;
	ring->length -= count;
	while (count > 0) {
		struct ring_piece *piece = &ring->pieces[ring->first];
		uint32_t run = piece->length < count ? piece->length : count;

		piece->taken += run;
		piece->length -= run;
		count -= run;
		if (piece->length == 0) {
			ring->first = (ring->first + 1) % RING_PIECES;
			ring->count--;
			ended = true;
		}
	}
	return ended;
}
