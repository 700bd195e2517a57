/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a marker wherever a function can write, or searches wherever a function can read. A request
 * is 'I' (imprint) or 'L' (look), then the marker with each byte inverted. So the marker itself is
 * nowhere but where an imprint has written it.
 */
#include <thaw/abi.h>
#include <thaw/guest.h>

#define MARKER	 16u
#define PIECE	 0x40000ul
#define MAP_SIZE 0x100000ul

extern uint8_t _end[];

static uint8_t inverted[MARKER];
static uint8_t zeroes[PIECE], words[PIECE] = {1};
static uint8_t entry_state[512] __attribute__((aligned(16)));

static void fill(volatile uint8_t *to, size_t length)
{
	for (size_t i = 0; i < length; i++)
		to[i] = (uint8_t)~inverted[i % MARKER];
}

static unsigned count(const uint8_t *from, size_t length)
{
	unsigned found = 0;

	for (size_t at = 0; at + MARKER <= length; at++) {
		size_t same = 0;

		while (same < MARKER && from[at + same] == (uint8_t)~inverted[same])
			same++;
		found += same == MARKER;
	}
	return found;
}

static void fill_stack(void)
{
	volatile uint8_t frame[THAW_STACK_SIZE / 2];

	fill(frame, sizeof(frame));
}

/* Fills all vector registers and the x87 stack with the marker. */
static void fill_registers(void)
{
	uint8_t state[512] __attribute__((aligned(16)));

	__asm__ volatile("fxsave64 %0" : "=m"(state));
	fill(state + 160, 256);
	for (unsigned i = 0; i < 8; i++)
		fill(state + 32 + 16 * i, 8);
	__asm__ volatile("fxrstor64 %0" ::"m"(state));
}

static int imprint(struct thaw_invocation *invocation)
{
	uint8_t *heap = malloc(PIECE);

	thaw_must(heap &&
		  thaw_map((void *)THAW_MAP_BASE, MAP_SIZE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	fill(heap, PIECE);
	fill((uint8_t *)THAW_MAP_BASE, MAP_SIZE);
	fill(zeroes, sizeof(zeroes));
	fill(words, sizeof(words));
	fill_stack();
	fill((uint8_t *)THAW_MAILBOX + offsetof(struct thaw_mailbox, scratch), THAW_SCRATCH_SIZE);
	fill((uint8_t *)THAW_MAILBOX + offsetof(struct thaw_mailbox, request_window),
	     THAW_WINDOW_SIZE);
	thaw_must(thaw_write(invocation, words, 50000) == 0);
	fill_registers();
	return 0;
}

static int look(struct thaw_invocation *invocation)
{
	uint8_t *heap = malloc(PIECE);
	unsigned not_zero = 0;

	/* It is mapped already in an image that an imprint has warmed. */
	thaw_unmap((void *)THAW_MAP_BASE, MAP_SIZE);
	thaw_must(heap &&
		  thaw_map((void *)THAW_MAP_BASE, MAP_SIZE, THAW_MAP_READ | THAW_MAP_WRITE) == 0);
	for (size_t i = 0; i < MAP_SIZE; i++)
		not_zero += ((volatile uint8_t *)THAW_MAP_BASE)[i] != 0;
	for (size_t i = 0; i < PIECE; i++)
		not_zero += zeroes[i] != 0;
	return thaw_printf(
		invocation, "registers %u image %u stack %u heap %u mailbox %u not-zero %u\n",
		count(entry_state, sizeof(entry_state)),
		count((uint8_t *)THAW_STACK_TOP, (size_t)(_end - (uint8_t *)THAW_STACK_TOP)),
		count((uint8_t *)(THAW_STACK_TOP - THAW_STACK_SIZE), THAW_STACK_SIZE),
		count(heap, PIECE), count((uint8_t *)THAW_MAILBOX, THAW_MAILBOX_SIZE), not_zero);
}

static int handle(struct thaw_invocation *invocation)
{
	char mode;

	/* Save the registers before any other code changes them. */
	__asm__ volatile("fxsave64 %0" : "=m"(entry_state));
	thaw_must(thaw_read(invocation, &mode, 1) == 1);
	thaw_must(thaw_read(invocation, inverted, MARKER) == MARKER);
	return mode == 'I' ? imprint(invocation) : look(invocation);
}

int main(void)
{
	thaw_serve(handle);
}
