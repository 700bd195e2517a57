/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shim calls and the layout of memory, in a small language that the test writes: letters followed
 * by hexadecimal numbers. Each step answers with its result.
 *   M start length prot                  map
 *   U start length                       unmap
 *   P start length prot                  protect
 *   S number start length prot reserved  any shim call
 *   B number pointer                     a call with a bad pointer as its argument
 *   T start stride count                 map, touch, unmap; at another place each time
 *   R at, W at value, X at               read a byte, write one, call
 *   r at, w at value, x at               the same, and it must fault
 *   Z start length                       count the bytes that are not zero
 *   A start                              map single pages with gaps until refused
 *   L start                              map page by page until refused
 */
#include "tests/conformance/guest/conform.h"

extern uint8_t _end[];

static const uint8_t constant[64] = {0xc3};
static uint8_t variable[64] = {0xc3};
static uint8_t bss_hole[16 * THAW_PAGE_SIZE] __attribute__((aligned(4096)));

bool place(const char *name, uint64_t *address)
{
	uint8_t local = 0;
	const struct {
		const char *name;
		uint64_t address;
	} places[] = {
		{"text", (uint64_t)memory_commands[0].run},
		{"rodata", (uint64_t)constant},
		{"data", (uint64_t)variable},
		{"hole", (uint64_t)bss_hole},
		{"stack", (uint64_t)&local},
		{"end", ((uint64_t)_end + THAW_PAGE_SIZE - 1) & ~(THAW_PAGE_SIZE - 1)},
		{"mailbox", (uint64_t)response_window()},
		{"behind", THAW_MAILBOX + THAW_MAILBOX_SIZE},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(places[i].name, name) == 0) {
			*address = places[i].address;
			return true;
		}
	return false;
}

static long shim_call(uint64_t number, uint64_t start, uint64_t length, uint64_t prot,
		      uint64_t reserved)
{
	struct thaw_shim_memory memory = {start, length, (uint32_t)prot, (uint32_t)reserved};

	return gate((long)number, &memory);
}

/* Takes the arguments one by one: C does not fix the order in which a call evaluates them. */
static long memory_call(uint64_t number, const char **rest, bool with_prot, bool with_reserved)
{
	uint64_t start = word(rest), length = word(rest);
	uint64_t prot = with_prot ? word(rest) : 0;
	uint64_t reserved = with_reserved ? word(rest) : 0;

	return shim_call(number, start, length, prot, reserved);
}

static void read_faulting(uint64_t at)
{
	expect(11, 14, at, (uint64_t)entry_read);
	entry_read(at);
	say("read");
}

static void write_faulting(uint64_t at)
{
	expect(11, 14, at, (uint64_t)entry_write);
	entry_write(at, 1);
	say("written");
}

static void execute_faulting(uint64_t at)
{
	expect(11, 14, at, at);
	((void (*)(void))(uintptr_t)anywhere(at))();
	say("executed");
}

static void touch_elsewhere(const char **rest)
{
	uint64_t start = word(rest), stride = word(rest), count = word(rest);

	for (uint64_t i = 0; i < count; i++, start += stride) {
		thaw_must(shim_call(THAW_SHIM_CALL_map, start, THAW_PAGE_SIZE, 3, 0) == 0);
		thaw_must(*anywhere(start) == 0);
		*anywhere(start) = 1;
		thaw_must(*anywhere(start) == 1);
		thaw_must(shim_call(THAW_SHIM_CALL_unmap, start, THAW_PAGE_SIZE, 0, 0) == 0);
	}
	say("%lx", count);
}

static void map_until_refused(uint64_t start, uint64_t stride, bool touch)
{
	uint64_t count = 0;
	long error;

	while (!(error = shim_call(THAW_SHIM_CALL_map, start + count * stride, THAW_PAGE_SIZE, 3,
				   0)))
		count++;
	for (uint64_t i = 0; touch && i < count; i++)
		*anywhere(start + i * stride) = 1;
	say("%lx then %ld", count, error);
}

static uint64_t count_nonzero(uint64_t start, uint64_t length)
{
	uint64_t found = 0;

	for (uint64_t i = 0; i < length; i++)
		found += *anywhere(start + i) != 0;
	return found;
}

static void bad_pointer(const char **rest)
{
	uint64_t number = word(rest), pointer = word(rest);

	expect(11, 14, pointer, THAW_GATE);
	say("back: %ld", gate((long)number, (void *)pointer));
}

static void write_byte(const char **rest)
{
	uint64_t at = word(rest), value = word(rest);

	*anywhere(at) = (uint8_t)value;
	say("=");
}

static void step(char letter, const char **rest)
{
	switch (letter) {
	case 'M':
		say("%ld", memory_call(THAW_SHIM_CALL_map, rest, true, false));
		break;
	case 'U':
		say("%ld", memory_call(THAW_SHIM_CALL_unmap, rest, false, false));
		break;
	case 'P':
		say("%ld", memory_call(THAW_SHIM_CALL_protect, rest, true, false));
		break;
	case 'S':
		say("%ld", memory_call(word(rest), rest, true, true));
		break;
	case 'B':
		bad_pointer(rest);
		break;
	case 'T':
		touch_elsewhere(rest);
		break;
	case 'R':
		say("%02x", *anywhere(word(rest)));
		break;
	case 'W':
		write_byte(rest);
		break;
	case 'X':
		say("%d", ((int (*)(void))(uintptr_t)anywhere(word(rest)))());
		break;
	case 'r':
		read_faulting(word(rest));
		break;
	case 'w':
		write_faulting(word(rest));
		break;
	case 'x':
		execute_faulting(word(rest));
		break;
	case 'Z': {
		uint64_t start = word(rest);

		say("%lu", count_nonzero(start, word(rest)));
		break;
	}
	case 'A':
		map_until_refused(word(rest), 2 * THAW_PAGE_SIZE, true);
		break;
	case 'L':
		map_until_refused(word(rest), THAW_PAGE_SIZE, false);
		break;
	default:
		thaw_abort("the conformance guest has no such step");
	}
}

static void memory(const char *rest)
{
	for (skip_spaces(&rest); *rest; skip_spaces(&rest)) {
		char letter = *rest++;

		if (said)
			say(" ");
		step(letter, &rest);
	}
}

static int descend(int depth)
{
	volatile uint8_t frame[1024];
	int (*volatile next)(int) = descend;

	frame[depth & 1023] = 1;
	return next(depth + 1) + frame[0];
}

/* Overflows the stack. */
static void overflow(const char *rest)
{
	(void)rest;
	expect(11, 14, UNCHECKED, UNCHECKED);
	say("%d", descend(0));
}

/* Leaves pages in other places each time. */
static void scatter(const char *rest)
{
	uint64_t start = 0x900000000 + word(&rest) * 0x5000000;

	for (uint64_t i = 0; i < 40; i++) {
		thaw_must(shim_call(THAW_SHIM_CALL_map, start + i * 0x200000, THAW_PAGE_SIZE, 3,
				    0) == 0);
		*anywhere(start + i * 0x200000) = 1;
	}
	say("ok");
}

const struct command memory_commands[] = {
	{"memory", memory},
	{"overflow", overflow},
	{"scatter", scatter},
	{NULL, NULL},
};
