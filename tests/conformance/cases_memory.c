/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shim calls and the layout of memory, in the language of the guest's memory.c: M map, U unmap,
 * P protect, S any of them with every field, R W X read, write and call; small letters where the
 * access must fault.
 */
#include "tests/conformance/conform.h"

#define MEMORY(name, steps, response)                                                              \
	{                                                                                          \
		name, "memory " steps, THAW_OUTCOME_finished, 0, response                          \
	}
#define FAULTS(name, steps)                                                                        \
	{                                                                                          \
		name, "memory " steps, THAW_OUTCOME_crashed, 139, ""                               \
	}
#define REFUSED(name, steps) MEMORY(name, steps, "-22")

static const struct conform_case cases[] = {
	/* Calls that succeed. */
	MEMORY("map, write, unmap",
	       "M 900000000 1000 3 R 900000000 W 900000fff 7 R 900000fff U 900000000 1000",
	       "0 00 = 07 0"),
	FAULTS("an unmapped page is gone",
	       "M 900000000 1000 3 W 900000000 1 U 900000000 1000 r 900000000"),
	MEMORY("a page mapped again is zero",
	       "M 900000000 2000 3 W 900001000 1 U 900001000 1000 M 900001000 1000 3 Z 900000000 "
	       "2000",
	       "0 = 0 0 0"),
	MEMORY("zero even over data of the image",
	       "U 800000000 2000 M 800000000 2000 3 Z 800000000 2000 R 800002000", "0 0 0 a7"),
	MEMORY("zero even over data of the image that was written",
	       "W 800000000 1 W 800001000 1 U 800000000 2000 M 800000000 2000 1 Z 800000000 2000",
	       "= = 0 0 0"),
	MEMORY("the region's first page", "M 10000 1000 3 W 10000 1 R 10000 U 10000 1000",
	       "0 = 01 0"),
	MEMORY("the region's last page", "M ffffff000 1000 3 W fffffffff 1 R fffffffff", "0 = 01"),
	MEMORY("a range over many tables",
	       "M 8ffe00000 400000 3 W 8ffe00000 1 W 9001ff000 2 R 8ffe00000 R 9001ff000 U "
	       "8ffe00000 400000",
	       "0 = = 01 02 0"),
	MEMORY("neighbours of other protections",
	       "M 900000000 1000 3 M 900001000 1000 1 M 900002000 1000 5 U 900000000 3000",
	       "0 0 0 0"),
	MEMORY("a hole in the middle",
	       "M 900000000 5000 3 U 900002000 1000 W 900001fff 1 W 900003000 2 U 900000000 2000 U "
	       "900003000 2000",
	       "0 0 = = 0 0"),
	MEMORY("protect and back keeps the data",
	       "M 900000000 2000 3 W 900000000 9 P 900000000 2000 1 R 900000000 P 900000000 2000 3 "
	       "W 900001000 8 R 900000000 R 900001000",
	       "0 = 0 09 0 = 09 08"),
	MEMORY("protect and back keeps the image's data",
	       "P 800000000 8000 1 R 800000000 P 800000000 8000 3 W 800000000 1 R 800000000 R "
	       "800000001",
	       "0 a5 0 = 01 a8"),
	MEMORY("a constant page of the image made writable",
	       "P 800100000 1000 3 W 800100000 1 R 800100000 R 800100001", "0 = 01 a8"),
	MEMORY("code of the image", "X 800200000", "42"),
	MEMORY("code that is written, made executable and written again",
	       "M 900000000 1000 3 W 900000000 b8 W 900000001 7 W 900000005 c3 P 900000000 1000 5 "
	       "X 900000000 "
	       "P 900000000 1000 3 W 900000001 8 P 900000000 1000 5 X 900000000",
	       "0 = = = 0 7 0 = 0 8"),
	MEMORY("code of the image, changed",
	       "P 800200000 1000 3 W 800200001 2b P 800200000 1000 5 X 800200000", "0 = 0 43"),
	MEMORY("unmap does not look at the protection",
	       "M 900000000 1000 3 S 41 900000000 1000 ffff 0", "0 0"),
	MEMORY("holes are zero", "Z $hole 10000 Z 800008000 8000 Z 800400000 4000", "0 0 0"),
	MEMORY("the gate and the mailbox can be read", "R 1000000000 R $mailbox", NULL),

	/* Calls that are refused. */
	REFUSED("map nothing", "M 900000000 0 3"),
	REFUSED("map at an odd address", "M 900000001 1000 3"),
	REFUSED("map an odd length", "M 900000000 1001 3"),
	REFUSED("map half a page", "M 900000000 800 3"),
	REFUSED("map over the program", "M 400000 1000 3"),
	REFUSED("map over the stack's end", "M 3ff000 2000 3"),
	REFUSED("map over what is mapped", "M 800000000 1000 3"),
	REFUSED("map over the start of what is mapped", "M 7fffff000 2000 3"),
	REFUSED("map over the end of what is mapped", "M 80000f000 2000 3"),
	REFUSED("map around what is mapped", "M 7fffff000 20000 3"),
	REFUSED("map below the region", "M f000 1000 3"),
	REFUSED("map across the region's start", "M f000 2000 3"),
	REFUSED("map at zero", "M 0 1000 3"),
	REFUSED("map above the region", "M 1000000000 1000 3"),
	REFUSED("map across the region's end", "M ffffff000 2000 3"),
	REFUSED("map the mailbox", "M 1000100000 1000 3"),
	REFUSED("map a length that wraps", "M 900000000 fffffffffffff000 3"),
	REFUSED("map an address that wraps", "M fffffffffffff000 2000 3"),
	REFUSED("map everything", "M 0 8000000000000000 3"),
	REFUSED("map in the upper half", "M ffff800000000000 1000 3"),
	REFUSED("map where no address is canonical", "M 800000000000 1000 3"),
	REFUSED("map writable and executable", "M 900000000 1000 7"),
	REFUSED("map writable and executable, not readable", "M 900000000 1000 6"),
	REFUSED("map not readable", "M 900000000 1000 0"),
	REFUSED("map writable, not readable", "M 900000000 1000 2"),
	REFUSED("map executable, not readable", "M 900000000 1000 4"),
	REFUSED("map with an unknown protection", "M 900000000 1000 b"),
	REFUSED("map with a high bit in the protection", "M 900000000 1000 80000003"),
	REFUSED("map with something reserved", "S 40 900000000 1000 3 1"),
	REFUSED("map with a high bit reserved", "S 40 900000000 1000 3 80000000"),
	REFUSED("unmap with something reserved", "S 41 800000000 1000 0 1"),
	REFUSED("protect with something reserved", "S 42 800000000 1000 1 1"),
	REFUSED("unmap nothing", "U 800000000 0"),
	REFUSED("unmap an odd address", "U 800000800 1000"),
	REFUSED("unmap what is not mapped", "U 900000000 1000"),
	REFUSED("unmap more than is mapped", "U 800000000 11000"),
	REFUSED("unmap from before what is mapped", "U 7fffff000 2000"),
	REFUSED("unmap over a hole", "U 800300000 8000"),
	REFUSED("unmap the gate", "U 1000000000 1000"),
	REFUSED("unmap the mailbox", "U 1000100000 1000"),
	REFUSED("unmap a length that wraps", "U 800000000 fffffffffffff000"),
	REFUSED("protect nothing", "P 800000000 0 1"),
	REFUSED("protect an odd length", "P 800000000 1 1"),
	REFUSED("protect what is not mapped", "P 900000000 1000 1"),
	REFUSED("protect more than is mapped", "P 80000f000 2000 1"),
	REFUSED("protect over a hole", "P 800300000 8000 1"),
	REFUSED("protect to writable and executable", "P 800000000 1000 7"),
	REFUSED("protect to nothing", "P 800000000 1000 0"),
	REFUSED("protect the gate", "P 1000000000 1000 3"),
	MEMORY("what was refused did nothing",
	       "U 800300000 8000 R 800300000 P 80000f000 2000 1 W 80000f000 1 M 7fffff000 2000 3 U "
	       "7fffff000 1000",
	       "-22 a5 -22 = -22 -22"),

	/* Limits. */
	MEMORY("more than the limit", "M 900000000 800000 3", "-12"),
	MEMORY("far more than the limit", "M 900000000 600000000 3", "-12"),
	{"page by page to the limit", "memory L 900000000", THAW_OUTCOME_finished, .flags = LIMIT},
	MEMORY("the limit after giving back",
	       "M 900000000 400000 3 M a00000000 400000 3 U 900000000 400000 M a00000000 400000 3",
	       "0 -12 0 0"),
	MEMORY("as many ranges as there can be", "A 900000000", NULL),
	MEMORY("as many ranges, and a cut", "A 900000000 U 800001000 1000", NULL),
	MEMORY("a page here and there", "T 900000000 200000 1400", "1400"),
	{"a page here and there, left", "scatter %x", THAW_OUTCOME_finished, 0, "ok",
	 .repeat = 130},

	/* The layout. */
	FAULTS("the lowest page", "r 0"),
	FAULTS("below the region", "r ffff"),
	FAULTS("the lowest page, to write", "w 8"),
	FAULTS("the lowest page, to run", "x 0"),
	FAULTS("the region's start is not mapped", "r 10000"),
	FAULTS("below the stack", "r 3bffff"),
	FAULTS("below the stack, to write", "w 3bfff8"),
	FAULTS("behind the program and its heap", "r 7ffffffff"),
	FAULTS("a hole in the middle of data", "r 800302000"),
	FAULTS("the region's end", "r fffffffff"),
	FAULTS("behind the mailbox", "r $behind"),
	FAULTS("far behind the mailbox", "w 2000000000"),
	FAULTS("the text is not writable", "w $text"),
	FAULTS("constants are not writable", "w $rodata"),
	FAULTS("constants do not run", "x $rodata"),
	FAULTS("data does not run", "x $data"),
	FAULTS("the stack does not run", "x $stack"),
	FAULTS("bss does not run", "x $hole"),
	FAULTS("mapped data does not run", "x 800000000"),
	FAULTS("the mailbox does not run", "x $mailbox"),
	FAULTS("a constant page of the image is not writable", "w 800100000"),
	FAULTS("code of the image is not writable", "w 800200000"),
	FAULTS("a page protected against writing",
	       "M 900000000 1000 3 W 900000000 1 P 900000000 1000 1 w 900000000"),
	FAULTS("a page of the image protected against writing",
	       "P 800000000 1000 1 R 800000000 w 800000000"),
	FAULTS("a written page of the image protected against writing",
	       "W 800000000 1 P 800000000 1000 1 w 800000000"),
	FAULTS("code is not writable",
	       "M 900000000 1000 3 W 900000000 c3 P 900000000 1000 5 w 900000000"),
	FAULTS("what was code does not run", "M 900000000 1000 3 W 900000000 c3 P 900000000 1000 5 "
					     "X 900000000 P 900000000 1000 1 x 900000000"),
	FAULTS("what was code is writable and does not run",
	       "P 800200000 1000 3 W 800200000 c3 x 800200000"),
	FAULTS("a read-only page", "M 900000000 1000 1 R 900000000 w 900000000"),
	FAULTS("a page of zeroes that is read-only does not run",
	       "M 900000000 1000 1 R 900000000 x 900000000"),
	{"the stack runs over", "overflow", THAW_OUTCOME_crashed, 139, ""},

	/* Bad pointers as arguments: the fault is the guest's own. */
	FAULTS("map with a null pointer", "B 40 0"),
	FAULTS("unmap with a pointer to nothing", "B 41 900000000"),
	FAULTS("protect with a supervisor's pointer", "B 42 ffffffff80001000"),
	FAULTS("clock with a null pointer", "B 43 0"),
	FAULTS("clock with a pointer to constants", "B 43 $rodata"),
};

void conform_each_memory(void (*each)(void *context, const struct conform_case *one), void *context)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		each(context, &cases[i]);
}
