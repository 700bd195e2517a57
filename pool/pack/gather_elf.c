/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what an ELF file needs; see gather_elf.h. The file may be hostile and may change while it
 * is read: everything is copied to our memory first, every sum is checked, every count is bounded.
 */
#include "pool/pack/gather_elf.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"
#include "snapshot-format/base/io.h"

#define HEADERS_MAX 128u
#define DYNAMIC_MAX 65536u /* entries */
#define NOTES_MAX   65536u

struct reading {
	int fd;
	const char *path;
	struct thaw_error *err;
	Elf64_Phdr headers[HEADERS_MAX];
	size_t header_count;
};

static int damaged(const struct reading *reading, const char *what)
{
	return thaw_fail(reading->err, THAW_ERR_FAILURE, "%s: damaged: %s", reading->path, what);
}

/* Reads up to LENGTH bytes at OFFSET. Returns how many there are, or -1. */
static ssize_t read_some(const struct reading *reading, uint64_t offset, void *buffer,
			 size_t length)
{
	ssize_t got =
		offset > INT64_MAX - length ? 0 : thaw_read_at(reading->fd, buffer, length, offset);

	if (got < 0)
		return thaw_fail_errno(reading->err, THAW_ERR_FAILURE, errno, "cannot read %s",
				       reading->path);
	return got;
}

static int read_all(const struct reading *reading, uint64_t offset, void *buffer, size_t length,
		    const char *what)
{
	ssize_t got = read_some(reading, offset, buffer, length);

	if (got < 0)
		return -1;
	return (size_t)got == length ? 0 : damaged(reading, what);
}

/* Reads the string at OFFSET of the file; the caller frees it. */
static int read_string(const struct reading *reading, uint64_t offset, const char *what, char **out)
{
	char buffer[PATH_MAX];
	ssize_t got = read_some(reading, offset, buffer, sizeof(buffer));

	if (got < 0)
		return -1;
	if (!memchr(buffer, '\0', (size_t)got))
		return damaged(reading, what);
	*out = strdup(buffer);
	return *out ? 0 : thaw_fail(reading->err, THAW_ERR_FAILURE, "out of memory");
}

/* Finds the file offset of the byte at guest ADDRESS. Returns 0, or -1 when no segment has it. */
static int file_offset(const struct reading *reading, uint64_t address, uint64_t *offset)
{
	for (size_t i = 0; i < reading->header_count; i++) {
		const Elf64_Phdr *header = &reading->headers[i];

		if (header->p_type == PT_LOAD && address >= header->p_vaddr &&
		    address - header->p_vaddr < header->p_filesz)
			return __builtin_add_overflow(header->p_offset, address - header->p_vaddr,
						      offset)
				       ? -1
				       : 0;
	}
	return -1;
}

static int take_string(const struct reading *reading, uint64_t table, uint64_t index, char **out)
{
	uint64_t offset;

	if (__builtin_add_overflow(table, index, &offset))
		return damaged(reading, "a name in its dynamic section");
	free(*out);
	*out = NULL;
	return read_string(reading, offset, "a name in its dynamic section", out);
}

static int take_needed(const struct reading *reading, uint64_t table, uint64_t index,
		       struct thaw_elf_needs *needs)
{
	char **grown;

	if (needs->needed_count == THAW_NEEDED_MAX)
		return damaged(reading, "it needs too many libraries");
	grown = realloc(needs->needed, (needs->needed_count + 1) * sizeof(*grown));
	if (!grown)
		return thaw_fail(reading->err, THAW_ERR_FAILURE, "out of memory");
	needs->needed = grown;
	needs->needed[needs->needed_count] = NULL;
	if (take_string(reading, table, index, &needs->needed[needs->needed_count]) < 0)
		return -1;
	needs->needed_count++;
	return 0;
}

static int take_entries(const struct reading *reading, const Elf64_Dyn *entries, size_t count,
			uint64_t table, struct thaw_elf_needs *needs)
{
	int done = 0;

	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL && done == 0; i++) {
		uint64_t value = entries[i].d_un.d_val;

		if (entries[i].d_tag == DT_NEEDED)
			done = take_needed(reading, table, value, needs);
		else if (entries[i].d_tag == DT_RPATH)
			done = take_string(reading, table, value, &needs->rpath);
		else if (entries[i].d_tag == DT_RUNPATH)
			done = take_string(reading, table, value, &needs->runpath);
	}
	return done;
}

static int read_dynamic(const struct reading *reading, const Elf64_Phdr *dynamic,
			struct thaw_elf_needs *needs)
{
	size_t count = dynamic->p_filesz / sizeof(Elf64_Dyn);
	thaw_autofree Elf64_Dyn *entries = NULL;
	uint64_t table = 0;
	bool has_table = false;

	if (count > DYNAMIC_MAX)
		return damaged(reading, "its dynamic section is too large");
	entries = calloc(count ? count : 1, sizeof(*entries));
	if (!entries)
		return thaw_fail(reading->err, THAW_ERR_FAILURE, "out of memory");
	if (read_all(reading, dynamic->p_offset, entries, count * sizeof(*entries),
		     "its dynamic section") < 0)
		return -1;
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++)
		if (entries[i].d_tag == DT_STRTAB)
			has_table = file_offset(reading, entries[i].d_un.d_ptr, &table) == 0;
		else if (entries[i].d_tag == DT_STRSZ)
			needs->names_size = entries[i].d_un.d_val;
	needs->names_offset = table;
	if (!has_table)
		needs->names_size = 0;
	/* A file that holds only debugging symbols has the section, but not its contents. */
	return has_table ? take_entries(reading, entries, count, table, needs) : 0;
}

/* Looks for Thaw's note in a segment of notes. Sizes have 32 bits, so sums in 64 bits cannot
 * overflow. */
static int read_notes(const struct reading *reading, const Elf64_Phdr *segment,
		      struct thaw_elf_needs *needs)
{
	const uint64_t alignment = segment->p_align == 8 ? 8 : 4;
	uint8_t notes[NOTES_MAX];
	uint64_t at = 0, size = segment->p_filesz;

	if (size > sizeof(notes) ||
	    read_some(reading, segment->p_offset, notes, size) != (ssize_t)size)
		return 0;
	while (size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name = at + sizeof(note), next;

		memcpy(&note, notes + at, sizeof(note));
		if (note.n_type == THAW_NOTE_ABI && note.n_namesz == sizeof(THAW_NOTE_OWNER) &&
		    size - name >= sizeof(THAW_NOTE_OWNER) &&
		    memcmp(notes + name, THAW_NOTE_OWNER, sizeof(THAW_NOTE_OWNER)) == 0)
			needs->kind = THAW_ELF_NATIVE;
		next = (name + note.n_namesz + alignment - 1) / alignment * alignment;
		next = (next + note.n_descsz + alignment - 1) / alignment * alignment;
		if (next > size)
			break;
		at = next;
	}
	return 0;
}

static int read_headers(struct reading *reading, struct thaw_elf_needs *needs)
{
	Elf64_Ehdr header;
	ssize_t got = read_some(reading, 0, &header, sizeof(header));

	if (got < 0)
		return -1;
	if (got < SELFMAG || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return 0;
	needs->kind = THAW_ELF_OTHER;
	if (got != sizeof(header) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64 ||
	    (header.e_type != ET_EXEC && header.e_type != ET_DYN) ||
	    header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
	    header.e_phnum > HEADERS_MAX)
		return 0;
	if (read_all(reading, header.e_phoff, reading->headers,
		     header.e_phnum * sizeof(reading->headers[0]), "its program headers") < 0)
		return -1;
	reading->header_count = header.e_phnum;
	needs->kind = THAW_ELF_LINUX;
	needs->shared = header.e_type == ET_DYN;
	return 0;
}

int thaw_elf_needs(int fd, const char *path, struct thaw_elf_needs *out, struct thaw_error *err)
{
	struct reading reading = {.fd = fd, .path = path, .err = err};
	struct thaw_elf_needs needs = {0};
	int done = read_headers(&reading, &needs);

	for (size_t i = 0; i < reading.header_count && done == 0; i++) {
		const Elf64_Phdr *header = &reading.headers[i];

		if (header->p_type == PT_INTERP && !needs.interpreter)
			done = read_string(&reading, header->p_offset, "its interpreter's name",
					   &needs.interpreter);
		else if (header->p_type == PT_DYNAMIC)
			done = read_dynamic(&reading, header, &needs);
		else if (header->p_type == PT_NOTE)
			done = read_notes(&reading, header, &needs);
	}
	if (done < 0) {
		thaw_elf_needs_free(&needs);
		return -1;
	}
	*out = needs;
	return 0;
}

uint32_t thaw_elf_find_words(int fd, uint64_t offset, uint64_t length,
			     const struct thaw_elf_word *words, size_t count)
{
	static uint8_t buffer[1u << 20];
	uint32_t found = 0;
	size_t kept = 0; /* the end of the piece before, where a word may begin */

	while (length > 0 && offset <= INT64_MAX - sizeof(buffer)) {
		size_t wanted = sizeof(buffer) - kept < length ? sizeof(buffer) - kept : length;
		ssize_t got = thaw_read_at(fd, buffer + kept, wanted, offset);

		if (got <= 0)
			break;
		for (size_t i = 0; i < count; i++)
			if (memmem(buffer, kept + (size_t)got, words[i].bytes, words[i].length))
				found |= UINT32_C(1) << i;
		offset += (uint64_t)got;
		length -= (uint64_t)got;
		kept += (size_t)got;
		if (kept > THAW_ELF_WORD_MAX) {
			memmove(buffer, buffer + kept - THAW_ELF_WORD_MAX, THAW_ELF_WORD_MAX);
			kept = THAW_ELF_WORD_MAX;
		}
	}
	return found;
}

void thaw_elf_needs_free(struct thaw_elf_needs *needs)
{
	for (size_t i = 0; i < needs->needed_count; i++)
		free(needs->needed[i]);
	free(needs->needed);
	free(needs->interpreter);
	free(needs->rpath);
	free(needs->runpath);
	*needs = (struct thaw_elf_needs){0};
}
