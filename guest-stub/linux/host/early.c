/* SPDX-License-Identifier: Apache-2.0 */
/* See early.h. The pieces lie in the core's heap, and are never freed: each clone reads them. */
#include "guest-stub/linux/host/early.h"
#include "guest-stub/linux/host/host.h"

#define RESPONSE_MAX (64u << 20) /* of the wire: pool/wire/protocol.h */
#define PIECE_SIZE   0xff00u
#define TAIL_SIZE    800u
#define TAIL_LINES   5u

struct piece {
	struct piece *next;
	size_t length;
	uint8_t bytes[PIECE_SIZE];
};

static struct piece *first, **end = &first, *last;
static size_t total;

static void add_piece(void)
{
	struct piece *piece = malloc(sizeof(*piece));

	if (!piece)
		host_abort("no memory to keep what the program writes to standard output before "
			   "its ready point (%lu KiB so far): --memory gives it more",
			   (unsigned long)(total / 1024));
	piece->next = NULL;
	piece->length = 0;
	*end = last = piece;
	end = &piece->next;
}

void early_keep(const void *bytes, size_t length)
{
	const uint8_t *from = bytes;

	if (length > RESPONSE_MAX - total)
		host_abort("the program writes more than %u MiB to standard output before its "
			   "ready point: no response can hold it",
			   RESPONSE_MAX >> 20);
	total += length;
	while (length > 0) {
		size_t room = last ? PIECE_SIZE - last->length : 0;
		size_t take = length < room ? length : room;

		if (room == 0) {
			add_piece();
			continue;
		}
		memcpy(last->bytes + last->length, from, take);
		last->length += take;
		from += take;
		length -= take;
	}
}

void early_give(long (*write)(const void *bytes, size_t length))
{
	for (const struct piece *piece = first; piece; piece = piece->next)
		write(piece->bytes, piece->length);
}

/* Copies the last bytes, at most TAIL_SIZE, to TAIL. Returns how many. */
static size_t copy_tail(char *tail)
{
	size_t skip = total > TAIL_SIZE ? total - TAIL_SIZE : 0, length = 0;

	for (const struct piece *piece = first; piece; piece = piece->next) {
		size_t skipped = skip < piece->length ? skip : piece->length;

		memcpy(tail + length, piece->bytes + skipped, piece->length - skipped);
		length += piece->length - skipped;
		skip -= skipped;
	}
	return length;
}

void early_log_tail(void)
{
	char tail[TAIL_SIZE + 1];
	size_t length = copy_tail(tail), lines = 1, at;

	while (length > 0 && tail[length - 1] == '\n')
		length--;
	if (length == 0)
		return;
	for (at = length; at > 0; at--) {
		if (tail[at - 1] == '\n' && ++lines > TAIL_LINES)
			break;
		/* No control characters: the lines go to a person's terminal. */
		if (tail[at - 1] != '\n' && tail[at - 1] != '\t' &&
		    ((unsigned char)tail[at - 1] < ' ' || tail[at - 1] == 0x7f))
			tail[at - 1] = '?';
	}
	tail[length] = '\n';
	host_log("standard output ended with:");
	while (at < length) {
		size_t next = at;

		while (tail[next] != '\n')
			next++;
		host_log("  %.*s", (int)(next - at), tail + at);
		at = next + 1;
	}
}
