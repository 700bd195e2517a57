/* SPDX-License-Identifier: Apache-2.0 */
/* The program parser: what it accepts, and that each refusal gives its own reason. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"
#include "tests/engine/test_elf_image.h"

#define MEMORY (UINT64_C(64) << 20)

static void expect_accepted(const struct test_elf *file, uint64_t memory, struct thaw_elf *out)
{
	struct thaw_error err = THAW_ERROR_INIT;
	const char *broken;

	cr_assert_eq(test_elf_parse(file->bytes, file->size, memory, out, &err), 0, "%s",
		     err.message);
	broken = test_elf_broken_promise(out, file->size, memory);
	cr_assert_null(broken, "broken promise: %s", broken);
}

static void expect_refused(const struct test_elf *file, uint64_t memory, const char *reason)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_elf out, before;

	memset(&out, 0xa5, sizeof(out));
	before = out;
	cr_assert_eq(test_elf_parse(file->bytes, file->size, memory, &out, &err), -1,
		     "not refused: %s", reason);
	cr_expect_eq(err.kind, THAW_ERR_FAILURE);
	cr_expect_eq(strncmp(err.message, "prog: ", 6), 0, "the message does not name the file: %s",
		     err.message);
	cr_expect_not_null(strstr(err.message, reason), "got: %s\nwanted: %s", err.message, reason);
	cr_expect_eq(memcmp(&out, &before, sizeof(out)), 0, "the output was touched");
}

Test(elf, a_good_program_is_described)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.entry, 0x400900);
	cr_expect_eq(elf.end, 0x409000);
	cr_expect_eq(elf.abi_version, THAW_ABI_VERSION);
	cr_assert_eq(elf.range_count, 3);
	cr_expect_eq(elf.ranges[0].start, 0x400000);
	cr_expect_eq(elf.ranges[0].length, 0x1000);
	cr_expect_eq(elf.ranges[0].prot, THAW_PROT_READ | THAW_PROT_EXEC);
	cr_expect_eq(elf.ranges[1].start, 0x401000);
	cr_expect_eq(elf.ranges[1].prot, THAW_PROT_READ);
	cr_expect_eq(elf.ranges[2].start, 0x405000);
	cr_expect_eq(elf.ranges[2].length, 0x4000, "the bss reaches into a fourth page");
	cr_expect_eq(elf.ranges[2].prot, THAW_PROT_READ | THAW_PROT_WRITE);
	cr_assert_eq(elf.segment_count, 3);
	cr_expect_eq(elf.segments[2].address, 0x405010);
	cr_expect_eq(elf.segments[2].file_offset, 0x2010);
	cr_expect_eq(elf.segments[2].file_length, 0x100);
	cr_expect_eq(elf.phdr_address, 0x400000 + sizeof(Elf64_Ehdr));
	cr_expect_eq(elf.phdr_count, 4);
	cr_expect_eq(elf.phdr_size, sizeof(Elf64_Phdr));
}

Test(elf, the_offset_of_the_descriptor_stays)
{
	thaw_autoclose int fd = memfd_create("program", MFD_CLOEXEC);
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	cr_assert_eq(write(fd, file.bytes, file.size), (ssize_t)file.size);
	cr_assert_eq(lseek(fd, 77, SEEK_SET), 77);
	cr_expect_eq(thaw_elf_parse(fd, "prog", MEMORY, &elf, NULL), 0);
	cr_expect_eq(lseek(fd, 0, SEEK_CUR), 77);
}

Test(elf, a_page_with_one_permission_may_hold_two_segments)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	file.segment[1] = file.segment[0];
	file.segment[0].p_filesz = file.segment[0].p_memsz = 0xa00;
	file.segment[1].p_offset = file.segment[0].p_memsz + 0x10;
	file.segment[1].p_vaddr = 0x400000 + file.segment[1].p_offset;
	file.segment[1].p_filesz = file.segment[1].p_memsz = 0x100;
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.range_count, 2);
	cr_expect_eq(elf.segment_count, 3);
	cr_expect_eq(elf.ranges[0].length, 0x1000);
}

Test(elf, neighbours_with_one_permission_become_one_range)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	file.segment[1].p_flags = PF_R | PF_X;
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.range_count, 2);
	cr_expect_eq(elf.ranges[0].length, 0x2000);
}

Test(elf, what_can_be_executed_or_written_can_be_read)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	file.segment[0].p_flags = PF_X;
	file.segment[2].p_flags = PF_W;
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.ranges[0].prot, THAW_PROT_READ | THAW_PROT_EXEC);
	cr_expect_eq(elf.ranges[2].prot, THAW_PROT_READ | THAW_PROT_WRITE);
}

Test(elf, a_segment_without_bytes_in_the_file_is_all_zero)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	file.segment[2].p_filesz = 0;
	file.segment[2].p_offset = 1; /* means nothing without bytes */
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.range_count, 3);
	cr_expect_eq(elf.segment_count, 2);
}

Test(elf, an_empty_segment_is_not_there)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	file.segment[1].p_filesz = file.segment[1].p_memsz = 0;
	file.segment[1].p_vaddr = 0; /* would be refused if the parser looked at it */
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.range_count, 2);
}

Test(elf, the_note_is_found_among_others_and_in_a_later_segment)
{
	static const uint32_t version = THAW_ABI_VERSION;
	struct test_elf file;
	struct thaw_elf elf;
	size_t end;

	test_elf_build(&file);
	end = test_elf_put_note(&file, TEST_ELF_NOTE, "GNU", NT_GNU_BUILD_ID,
				"01234567890123456789", 17);
	file.segment[3].p_filesz = end - TEST_ELF_NOTE;
	file.segment[4] = file.segment[3];
	file.segment[4].p_offset = end;
	end = test_elf_put_note(&file, end, "", 0, "", 0);
	end = test_elf_put_note(&file, end, "Thaw", THAW_NOTE_ABI + 1, "another type", 12);
	end = test_elf_put_note(&file, end, "Thaws", THAW_NOTE_ABI, "another owner", 12);
	end = test_elf_put_note(&file, end, THAW_NOTE_OWNER, THAW_NOTE_ABI, &version,
				sizeof(version));
	file.segment[4].p_filesz = end - file.segment[4].p_offset;
	file.header.e_phnum = 5;
	expect_accepted(&file, MEMORY, &elf);
}

/* x86's property notes pad to eight bytes; a walk in steps of four would lose its place in them. */
Test(elf, notes_aligned_to_eight_are_walked_in_eights)
{
	static const uint32_t version = THAW_ABI_VERSION;
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	memset(file.bytes + TEST_ELF_NOTE, 0, 64);
	test_elf_put_note(&file, TEST_ELF_NOTE, "GNU", 5, "property", 4);
	test_elf_put_note(&file, TEST_ELF_NOTE + 24, THAW_NOTE_OWNER, THAW_NOTE_ABI, "", 0);
	((Elf64_Nhdr *)(file.bytes + TEST_ELF_NOTE + 24))->n_descsz = sizeof(version);
	memcpy(file.bytes + TEST_ELF_NOTE + 24 + 24, &version, sizeof(version));
	file.segment[3].p_filesz = 24 + 24 + sizeof(version);
	file.segment[3].p_align = 8;
	expect_accepted(&file, MEMORY, &elf);
}

Test(elf, program_headers_outside_memory_have_no_address)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	file.segment[0].p_offset = 0x1000;
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.phdr_address, 0);
}

Test(elf, the_memory_limit_is_exact)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	expect_accepted(&file, 0x6000, &elf);
	expect_refused(&file, 0x6000 - 1, "--memory");
}

Test(elf, as_many_segments_as_the_limit_and_not_one_more)
{
	struct test_elf file;
	struct thaw_elf elf;
	Elf64_Phdr *table = (Elf64_Phdr *)(file.bytes + 0x1000);

	test_elf_build(&file);
	file.header.e_phoff = 0x1000;
	for (size_t i = 0; i < THAW_ELF_SEGMENTS_MAX + 1; i++) {
		table[i] = file.segment[0];
		table[i].p_vaddr += i * 0x2000;
	}
	table[THAW_ELF_SEGMENTS_MAX + 1] = file.segment[3];
	file.header.e_phnum = THAW_ELF_SEGMENTS_MAX + 2;
	expect_refused(&file, MEMORY, "more than 64 segments");
	table[0].p_type = PT_NULL;
	file.header.e_entry += 0x2000;
	expect_accepted(&file, MEMORY, &elf);
	cr_expect_eq(elf.range_count, THAW_ELF_SEGMENTS_MAX);
}

Test(elf, what_is_no_file_is_refused)
{
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_elf elf;
	int pipes[2];

	cr_assert_eq(pipe(pipes), 0);
	cr_expect_eq(thaw_elf_parse(pipes[0], "prog", MEMORY, &elf, &err), -1);
	cr_expect_not_null(strstr(err.message, "not a regular file"), "%s", err.message);
	cr_expect_eq(thaw_elf_parse(-1, "prog", MEMORY, &elf, &err), -1);
	cr_expect_not_null(strstr(err.message, "Bad file descriptor"), "%s", err.message);
}

Test(elf, a_cut_anywhere_is_refused_or_harmless)
{
	struct test_elf file;
	struct thaw_elf elf;

	test_elf_build(&file);
	for (size_t size = 0; size < TEST_ELF_SIZE; size += size < 0x300 ? 1 : 0x91) {
		const char *broken = NULL;

		if (test_elf_parse(file.bytes, size, MEMORY, &elf, NULL) == 0)
			broken = test_elf_broken_promise(&elf, size, MEMORY);
		cr_assert_null(broken, "cut to %zu: %s", size, broken);
	}
}

/* ---- Refusals: on each line, what is spoilt and what the parser must say ---- */

struct refusal {
	void (*spoil)(struct test_elf *file);
	const char *reason;
};

#define REFUSALS(X)                                                                                \
	X(empty_file, file->size = 0, "no ELF file")                                               \
	X(text_file, memcpy(file->bytes, "hello, world\n", 13), "no ELF file")                     \
	X(script, memcpy(file->bytes, "#!/bin/sh\n", 10), "is a script")                           \
	X(two_byte_script, (memcpy(file->bytes, "#!", 2), file->size = 2), "is a script")          \
	X(cut_identification, file->size = EI_CLASS, "header is cut short")                        \
	X(cut_header, file->size = sizeof(Elf64_Ehdr) - 1, "header is cut short")                  \
	X(class_none, file->header.e_ident[EI_CLASS] = ELFCLASSNONE, "header is cut short")        \
	X(class_32, file->header.e_ident[EI_CLASS] = ELFCLASS32, "32-bit")                         \
	X(big_endian, file->header.e_ident[EI_DATA] = ELFDATA2MSB, "big-endian")                   \
	X(other_machine, file->header.e_machine = EM_AARCH64,                                      \
	  "another processor (ELF machine 183)")                                                   \
	X(other_version, file->header.e_version = 2, "unknown ELF version")                        \
	X(other_ident_version, file->header.e_ident[EI_VERSION] = 0, "unknown ELF version")        \
	X(object_file, file->header.e_type = ET_REL, "object file")                                \
	X(core_dump, file->header.e_type = ET_CORE, "core dump")                                   \
	X(unknown_type, file->header.e_type = 0xfe00, "unknown ELF type")                          \
	X(dynamic, file->segment[2].p_type = PT_INTERP, "dynamically linked")                      \
	X(dynamic_pie, (file->segment[2].p_type = PT_INTERP, file->header.e_type = ET_DYN),        \
	  "dynamically linked")                                                                    \
	X(static_pie, file->header.e_type = ET_DYN, "-static -no-pie")                             \
	X(dynamic_section, file->segment[2].p_type = PT_DYNAMIC, "dynamic section")                \
	X(no_headers, file->header.e_phnum = 0, "no program headers")                              \
	X(many_headers, file->header.e_phnum = 129, "129 program headers; at most 128")            \
	X(pn_xnum, file->header.e_phnum = PN_XNUM, "65535 program headers")                        \
	X(header_entry_size, file->header.e_phentsize = 55, "a program header's as 55")            \
	X(header_entry_size_zero, file->header.e_phentsize = 0, "a program header's as 0")         \
	X(header_size, file->header.e_ehsize = 52, "its own size is given as 52")                  \
	X(headers_past_end, file->header.e_phoff = TEST_ELF_SIZE - 8,                              \
	  "program headers lies past its end")                                                     \
	X(headers_overflow, file->header.e_phoff = UINT64_MAX - 8,                                 \
	  "program headers lies past its end")                                                     \
	X(no_note, file->segment[3].p_type = PT_NULL, "is not a Thaw function")                    \
	X(other_note, file->bytes[TEST_ELF_NOTE + 12] = 't', "is not a Thaw function")             \
	X(note_cut_before_header, file->segment[3].p_filesz = 11, "is not a Thaw function")        \
	X(note_cut, file->segment[3].p_filesz--, "a note is damaged")                              \
	X(note_name_huge, memset(file->bytes + TEST_ELF_NOTE, 0xff, 4), "a note is damaged")       \
	X(note_descriptor_huge, memset(file->bytes + TEST_ELF_NOTE + 4, 0xff, 4),                  \
	  "a note is damaged")                                                                     \
	X(note_descriptor_short, file->bytes[TEST_ELF_NOTE + 4] = 3,                               \
	  "the Thaw note is damaged: it holds 3")                                                  \
	X(note_version, file->bytes[TEST_ELF_NOTE + 20] = 9, "is built for guest ABI 9")           \
	X(note_version_zero, file->bytes[TEST_ELF_NOTE + 20] = 0, "is built for guest ABI 0")      \
	X(notes_large, file->segment[3].p_filesz = 65537, "65537 bytes of notes")                  \
	X(notes_past_end, file->segment[3].p_offset = TEST_ELF_SIZE - 4,                           \
	  "notes lies past its end")                                                               \
	X(notes_overflow, file->segment[3].p_offset = UINT64_MAX, "notes lies past its end")       \
	X(nothing_to_load,                                                                         \
	  (file->segment[0].p_type = file->segment[1].p_type = file->segment[2].p_type = PT_NULL), \
	  "no segment to load")                                                                    \
	X(file_larger_than_memory, file->segment[1].p_memsz--,                                     \
	  "more bytes in the file than in memory")                                                 \
	X(empty_with_file, file->segment[1].p_memsz = 0, "more bytes in the file than in memory")  \
	X(segment_past_end, file->segment[2].p_offset = 0x3010, "segment 2 lies past its end")     \
	X(segment_cut, file->size = 0x2100, "segment 2 lies past its end")                         \
	X(offset_overflow, file->segment[1].p_offset = UINT64_MAX - 0xfff,                         \
	  "segment 1 lies past its end")                                                           \
	X(alignment_odd, file->segment[1].p_align = 0x1800, "not a power of two")                  \
	X(incongruent, file->segment[1].p_offset += 8, "lies differently in a page")               \
	X(below_region, file->segment[0].p_vaddr = 0x3ff000, "a function lives between")           \
	X(at_zero, file->segment[0].p_vaddr = 0, "a function lives between")                       \
	X(above_region, file->segment[2].p_vaddr = THAW_REGION_END - 0x2000 + 0x10,                \
	  "a function lives between")                                                              \
	X(address_overflow, file->segment[2].p_memsz = UINT64_MAX - 0x405010 + 1,                  \
	  "a function lives between")                                                              \
	X(memory_wraps, file->segment[2].p_memsz = UINT64_MAX, "a function lives between")         \
	X(overlap, file->segment[1].p_vaddr = 0x400000, "segment 1 overlaps")                      \
	X(overlap_by_a_byte, file->segment[0].p_memsz = 0x1001, "segment 1 overlaps")              \
	X(out_of_order, file->segment[1].p_vaddr = 0x500000,                                       \
	  "segment 2 overlaps the one before it, or is out")                                       \
	X(writable_code, file->segment[0].p_flags |= PF_W, "both writable and executable")         \
	X(executable_data, file->segment[2].p_flags |= PF_X, "both writable and executable")       \
	X(no_permission, file->segment[1].p_flags = 0, "neither read nor written nor executed")    \
	X(page_of_two_kinds,                                                                       \
	  file->segment[1].p_vaddr = (file->segment[1].p_offset = 0xd00) + 0x400000,               \
	  "segment 1 shares the page at 0x400000")                                                 \
	X(larger_than_memory, file->segment[2].p_memsz = MEMORY, "give it more with --memory")     \
	X(entry_nowhere, file->header.e_entry = 0x403000,                                          \
	  "entry point 0x403000 is in no executable segment")                                      \
	X(entry_in_data, file->header.e_entry = 0x405020, "is in no executable segment")

#define DEFINE_SPOILER(name, spoil, reason)                                                        \
	static void spoil_##name(struct test_elf *file)                                            \
	{                                                                                          \
		(void)(spoil);                                                                     \
	}
#define REFUSAL_ROW(name, spoil, reason) {spoil_##name, reason},

/* clang-format off */
REFUSALS(DEFINE_SPOILER)
static const struct refusal refusals[] = {REFUSALS(REFUSAL_ROW)};
/* clang-format on */

Test(elf, each_refusal_gives_its_reason)
{
	struct test_elf file;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		test_elf_build(&file);
		refusals[i].spoil(&file);
		expect_refused(&file, MEMORY, refusals[i].reason);
	}
}
