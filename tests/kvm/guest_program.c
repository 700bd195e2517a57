/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the small program that is the request: some steps change its memory and its registers,
 * others add what they find to a hash, which is the response. The same program has the same
 * response, or the same end, on every backend.
 */
#include <thaw/abi.h>
#include <thaw/guest.h>

#include "tests/kvm/program.h"

#define ARENA 0x80000ul

static uint8_t data[ARENA] __attribute__((aligned(4096)));
static uint8_t zeroes[ARENA] __attribute__((aligned(4096)));

struct block {
	uint8_t *bytes;
	size_t length;
};

struct running {
	uint64_t hash;
	struct block blocks[PROGRAM_SLOTS];
};

static void mix(struct running *running, uint64_t value)
{
	running->hash = (running->hash ^ value) * 0x100000001b3ul;
	running->hash ^= running->hash >> 29;
}

static volatile uint64_t *at(uint64_t address)
{
	return (volatile uint64_t *)address;
}

static void hash_pages(struct running *running, const struct program_step *step)
{
	for (uint64_t i = 0; i < step->length; i += 512)
		mix(running, *at(step->address + i));
}

static void fill_pages(const struct program_step *step)
{
	for (uint64_t i = 0; i < step->length; i += THAW_PAGE_SIZE)
		*at(step->address + i + step->value % 8 * 512) = step->value + i;
}

static void allocate(struct running *running, const struct program_step *step)
{
	struct block *block = &running->blocks[step->argument % PROGRAM_SLOTS];

	free(block->bytes);
	*block = (struct block){malloc(step->length), step->length};
	mix(running, (uint64_t)block->bytes);
	if (block->bytes)
		memset(block->bytes, (int)step->value, block->length);
}

static void release(struct running *running, const struct program_step *step)
{
	struct block *block = &running->blocks[step->argument % PROGRAM_SLOTS];

	free(block->bytes);
	*block = (struct block){NULL, 0};
}

static void hash_block(struct running *running, const struct program_step *step)
{
	const struct block *block = &running->blocks[step->argument % PROGRAM_SLOTS];

	for (size_t i = 0; block->bytes && i < block->length; i += 97)
		mix(running, block->bytes[i]);
}

struct vectors {
	uint8_t bytes[512];
} __attribute__((aligned(16)));

static void set_vectors(const struct program_step *step)
{
	struct vectors vectors;
	uint16_t control = (uint16_t)(0x3f | (step->value & 0xf00));
	uint32_t mxcsr = 0x1f80 | (step->value & 0x603f);

	__asm__ volatile("fxsave64 %0" : "=m"(vectors));
	memset(vectors.bytes + 160, (int)step->value, 256);
	for (unsigned i = 0; i < 8; i++)
		memset(vectors.bytes + 32 + 16 * i, (int)(step->value >> i), 8);
	memcpy(vectors.bytes, &control, sizeof(control));
	vectors.bytes[4] = (uint8_t)(step->value >> 8);
	memcpy(vectors.bytes + 24, &mxcsr, sizeof(mxcsr));
	__asm__ volatile("fxrstor64 %0" : : "m"(vectors));
}

/* Not the vector registers themselves, which the compiler uses freely. */
static void hash_vectors(struct running *running)
{
	struct vectors vectors;
	uint64_t words[2];

	__asm__ volatile("fxsave64 %0" : "=m"(vectors));
	memcpy(words, vectors.bytes, 8);
	mix(running, words[0] & 0xffffffffff);
	for (unsigned i = 0; i < 8; i++) {
		memcpy(words, vectors.bytes + 32 + 16 * i, 8);
		mix(running, words[0]);
	}
	memcpy(words, vectors.bytes + 24, 4);
	mix(running, words[0] & 0xffff);
}

static void run_step(struct running *running, const struct program_step *step)
{
	void *start = (void *)step->address;

	switch (step->code) {
	case PROGRAM_MAP:
		mix(running, (uint64_t)thaw_map(start, step->length, step->argument));
		break;
	case PROGRAM_UNMAP:
		mix(running, (uint64_t)thaw_unmap(start, step->length));
		break;
	case PROGRAM_PROTECT:
		mix(running, (uint64_t)thaw_protect(start, step->length, step->argument));
		break;
	case PROGRAM_WRITE:
		*at(step->address) = step->value;
		break;
	case PROGRAM_FILL:
		fill_pages(step);
		break;
	case PROGRAM_HASH:
		hash_pages(running, step);
		break;
	case PROGRAM_ALLOCATE:
		allocate(running, step);
		break;
	case PROGRAM_FREE:
		release(running, step);
		break;
	case PROGRAM_HASH_BLOCK:
		hash_block(running, step);
		break;
	case PROGRAM_SET_VECTORS:
		set_vectors(step);
		break;
	case PROGRAM_HASH_VECTORS:
		hash_vectors(running);
		break;
	default:
		mix(running, (uint64_t)(int64_t)thaw_log("step %u", step->value));
	}
}

static int handle(struct thaw_invocation *invocation)
{
	struct running running = {.hash = 1};
	struct program_result result = {0};
	struct program_step step;

	hash_vectors(&running);
	if (thaw_request_length(invocation) == 0) {
		struct program_places places = {(uint64_t)data, (uint64_t)zeroes, ARENA};

		return thaw_write(invocation, &places, sizeof(places));
	}
	for (; thaw_read(invocation, &step, sizeof(step)) == sizeof(step); result.steps++)
		run_step(&running, &step);
	result.hash = running.hash;
	return thaw_write(invocation, &result, sizeof(result));
}

int main(void)
{
	for (size_t i = 0; i < ARENA / 2; i += 8)
		*at((uint64_t)data + i) = i * 0x9e3779b97f4a7c15ul;
	thaw_serve(handle);
}
