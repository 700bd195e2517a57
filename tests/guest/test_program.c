/* SPDX-License-Identifier: Apache-2.0 */
/* The functions' files: laid out as function.ld says, with the note, and without anything that the
 * host would refuse. */
#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-stub/include/thaw/abi.h"

static const char *const functions[] = {"counter",   "entropy", "hello",
					"misbehave", "sha256",	"spell"};

#define FOR_EACH_FUNCTION(name, file)                                                              \
	for (size_t i_ = 0; i_ < sizeof(functions) / sizeof(functions[0]); i_++)                   \
		for (struct file file = read_file(name = functions[i_]); file.bytes;               \
		     free(file.bytes), file.bytes = NULL)

struct file {
	uint8_t *bytes;
	size_t length;
};

static struct file read_file(const char *function)
{
	char path[4096];
	struct file file = {NULL, 0};
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", FUNCTIONS, function);
	stream = fopen(path, "rbe");
	cr_assert_not_null(stream, "%s", path);
	cr_assert_eq(fseek(stream, 0, SEEK_END), 0);
	file.length = (size_t)ftell(stream);
	rewind(stream);
	file.bytes = malloc(file.length);
	cr_assert_eq(fread(file.bytes, 1, file.length, stream), file.length);
	fclose(stream);
	return file;
}

static const Elf64_Ehdr *header_of(const struct file *file)
{
	return (const Elf64_Ehdr *)file->bytes;
}

static const Elf64_Phdr *segments_of(const struct file *file)
{
	return (const Elf64_Phdr *)(file->bytes + header_of(file)->e_phoff);
}

Test(program, segments_are_separate_and_never_writable_and_executable)
{
	const char *name;

	FOR_EACH_FUNCTION(name, file)
	{
		const Elf64_Ehdr *header = header_of(&file);
		const Elf64_Phdr *segments = segments_of(&file);
		uint64_t end = 0;
		unsigned loads = 0;

		cr_assert_eq(header->e_type, ET_EXEC, "%s", name);
		for (unsigned i = 0; i < header->e_phnum; i++) {
			cr_assert(segments[i].p_type == PT_LOAD || segments[i].p_type == PT_NOTE ||
					  segments[i].p_type == PT_GNU_STACK,
				  "%s: segment type %u", name, segments[i].p_type);
			cr_assert_neq(segments[i].p_flags & (PF_W | PF_X), PF_W | PF_X);
			if (segments[i].p_type != PT_LOAD)
				continue;
			if (loads++ == 0)
				cr_assert_eq(segments[i].p_vaddr, THAW_STACK_TOP,
					     "%s: linked at the wrong place", name);
			cr_assert_geq(segments[i].p_vaddr & ~(THAW_PAGE_SIZE - 1), end,
				      "%s: two segments on a page", name);
			cr_assert_eq((segments[i].p_vaddr - segments[i].p_offset) % THAW_PAGE_SIZE,
				     0);
			end = (segments[i].p_vaddr + segments[i].p_memsz + THAW_PAGE_SIZE - 1) &
			      ~(THAW_PAGE_SIZE - 1);
		}
		cr_assert_eq(loads, 3);
	}
}

Test(program, entry_is_in_the_code)
{
	const char *name;

	FOR_EACH_FUNCTION(name, file)
	{
		const Elf64_Phdr *segments = segments_of(&file);
		bool found = false;

		for (unsigned i = 0; i < header_of(&file)->e_phnum; i++)
			found |= segments[i].p_type == PT_LOAD && (segments[i].p_flags & PF_X) &&
				 header_of(&file)->e_entry - segments[i].p_vaddr <
					 segments[i].p_filesz;
		cr_assert(found, "%s", name);
	}
}

Test(program, carries_the_note)
{
	const char *name;

	FOR_EACH_FUNCTION(name, file)
	{
		const Elf64_Phdr *segments = segments_of(&file);
		unsigned notes = 0;

		for (unsigned i = 0; i < header_of(&file)->e_phnum; i++) {
			const struct {
				Elf64_Nhdr header;
				char owner[8];
				uint32_t abi_version;
			} *note = (const void *)(file.bytes + segments[i].p_offset);

			if (segments[i].p_type != PT_NOTE)
				continue;
			notes++;
			cr_assert_eq(segments[i].p_filesz, sizeof(*note));
			cr_assert_eq(note->header.n_namesz, sizeof(THAW_NOTE_OWNER));
			cr_assert_eq(note->header.n_descsz, 4);
			cr_assert_eq(note->header.n_type, THAW_NOTE_ABI);
			cr_assert_str_eq(note->owner, THAW_NOTE_OWNER);
			cr_assert_eq(note->abi_version, THAW_ABI_VERSION);
		}
		cr_assert_eq(notes, 1, "%s", name);
	}
}

/* The loaded pages of the smallest function: one of headers and constants, one or two of code, one
 * of variables. */
Test(program, hello_is_small)
{
	struct file file = read_file("hello");
	uint64_t loaded = 0;

	for (unsigned i = 0; i < header_of(&file)->e_phnum; i++)
		if (segments_of(&file)[i].p_type == PT_LOAD)
			loaded += (segments_of(&file)[i].p_memsz + THAW_PAGE_SIZE - 1) /
				  THAW_PAGE_SIZE;
	cr_assert_leq(loaded, 6);
	free(file.bytes);
}
