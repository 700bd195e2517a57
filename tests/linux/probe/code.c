/* SPDX-License-Identifier: Apache-2.0 */
/* Code that the program writes at run time, into memory that is writable and executable. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/linux/probe/probe.h"

#define P     4096ul
#define PAGES 64
#define RWX   (PROT_READ | PROT_WRITE | PROT_EXEC)

static int call(const void *code)
{
	int (*function)(void);

	memcpy(&function, &code, sizeof(function));
	return function();
}

/* mov $VALUE, %eax; ret */
static void *put_constant(void *at, int value)
{
	uint8_t code[6] = {0xb8, 0, 0, 0, 0, 0xc3};

	memcpy(code + 1, &value, sizeof(value));
	return memcpy(at, code, sizeof(code));
}

/* OPCODE 05 displacement to TARGET; ret */
static void *put_access(uint8_t *at, uint8_t opcode, const uint8_t *target)
{
	uint8_t code[7] = {opcode, 0x05, 0, 0, 0, 0, 0xc3};
	int32_t distance = (int32_t)(target - (at + 6));

	memcpy(code + 2, &distance, sizeof(distance));
	return memcpy(at, code, sizeof(code));
}

#define LOAD  0x8b /* mov TARGET, %eax */
#define COUNT 0xff /* incl TARGET */

static uint8_t *map(size_t length)
{
	void *at = mmap(NULL, length, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		perror("mmap");
	return at;
}

static void many_pages(void)
{
	/* The code is made in the first pass and called in the second as well, so before and after
	 * the ready point. */
	static uint8_t *at;
	int sum = 0;

	for (int i = 0; at && i < PAGES; i++)
		sum += call(at + (unsigned)i * P + 8);
	show(sum);
	if (!at)
		at = map(PAGES * P);
	for (int i = 0; i < PAGES; i++)
		sum += call(put_constant(at + (unsigned)i * P + 8, i));
	for (int i = 0; i < PAGES; i += 3)
		sum += call(put_constant(at + (unsigned)i * P + 8, 1000 + i));
	show(sum);
}

static void one_page(void)
{
	uint8_t *at = map(P);
	int sum = 0;

	put_access(at, LOAD, at + 256);
	for (int i = 0; i < 100; i++) {
		memcpy(at + 256, &i, sizeof(i));
		sum += call(at);
		sum += call(put_constant(at + 64, i));
	}
	show(sum);
	show(munmap(at, P));
}

/* Instructions in one page that write into another, near and far; some lie across the end of a
 * page. */
static void pages_of_one_instruction(void)
{
	uint8_t *at = map(PAGES * P);
	const uint8_t *targets[] = {at + 10 * P, at + 12 * P - 2, at + 20 * P - 2, at + 40 * P, at};
	unsigned places[] = {1 * P, 5 * P - 3, 16 * P - 3, 32 * P - 1};
	int counted;

	for (unsigned i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		for (unsigned j = 0; j < sizeof(places) / sizeof(places[0]); j++) {
			put_access(at + places[j], COUNT, targets[i]);
			call(at + places[j]);
			call(at + places[j]);
			memcpy(&counted, targets[i], sizeof(counted));
			show(counted);
		}
	show(munmap(at, PAGES * P));
}

static void buffers(void)
{
	uint8_t *at = map(2 * P), code[6], *other = map(P);
	int ends[2];

	show(call(put_constant(at + P - 3, 1)));
	put_constant(code, 2);
	show(pipe(ends));
	show(write(ends[1], code, sizeof(code)));
	show(read(ends[0], at + P - 3, sizeof(code)));
	show(call(at + P - 3));
	show(write(ends[1], at + P - 3, sizeof(code)));
	show(call(put_constant(other, 3)));
	show(read(ends[0], other, sizeof(code)));
	show(call(other));
	show(close(ends[0]) + close(ends[1]));
	show(munmap(at, 2 * P) + munmap(other, P));
}

static void protections(void)
{
	uint8_t *at = map(4 * P);

	show(call(put_constant(at, 4)));
	show(mprotect(at, P, PROT_READ | PROT_EXEC));
	show(call(at));
	show(mprotect(at, P, RWX));
	show(call(put_constant(at, 5)));
	show(mprotect(at, P, PROT_READ | PROT_WRITE));
	put_constant(at, 6);
	show(mprotect(at, P, RWX));
	show(call(at));
	show(mprotect(at, P, PROT_NONE));
	show(mprotect(at, P, RWX));
	show(call(at));
	show(madvise(at, P, MADV_DONTNEED));
	show(at[0]);
	show(call(put_constant(at, 7)));
	at = mremap(at, 4 * P, 128 * P, MREMAP_MAYMOVE);
	show(call(at));
	show(call(put_constant(at + 100 * P, 8)));
	show(munmap(at, 128 * P));
}

/* Compilers do this for pointers to nested functions. */
static void on_the_stack(void)
{
	_Alignas(64) uint8_t code[64];
	void *page = (void *)((uintptr_t)code & ~(P - 1));

	show(mprotect(page, P, RWX));
	for (int i = 0; i < 10; i++)
		show(call(put_constant(code, i)));
	show(mprotect(page, P, PROT_READ | PROT_WRITE));
}

void probe_code(void)
{
	many_pages();
	one_page();
	pages_of_one_instruction();
	buffers();
	protections();
	on_the_stack();
}
