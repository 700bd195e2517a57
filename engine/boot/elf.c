/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a program file; see elf.h. The parser checks everything that a boot will rely on, and
 * says in plain words why it refuses a program. The file is hostile and may change while it is
 * read: each byte is read once into private memory, only that copy is used, and all arithmetic on
 * its numbers is checked.
 *
 * The engine maps the guest's stack, never executable, and so ignores PT_GNU_STACK: objects that
 * merely lack the marker are far more common than programs that run code on their stack.
 */
#include "engine/boot/elf.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/io.h"
#include "snapshot-format/base/round.h"

#define PROGRAM_HEADERS_MAX 128u
#define NOTES_MAX	    65536u /* bytes of one PT_NOTE */

#define FUNCTIONS_HINT                                                                             \
	"this version runs static functions built with the guest library (docs/functions.md)"

struct program {
	int fd;
	const char *name;
	uint64_t size;
	struct thaw_error *err;
};

#define refuse(program, format, ...)                                                               \
	thaw_fail((program)->err, THAW_ERR_FAILURE, "%s: " format, (program)->name, ##__VA_ARGS__)

static int read_exactly(const struct program *program, uint64_t offset, void *buffer, size_t length,
			const char *what)
{
	uint64_t end;
	ssize_t got;

	if (__builtin_add_overflow(offset, length, &end) || end > program->size)
		return refuse(program, "the file is cut short: its %s lies past its end", what);
	got = thaw_read_at(program->fd, buffer, length, offset);
	if (got < 0)
		return thaw_fail_errno(program->err, THAW_ERR_FAILURE, errno,
				       "%s: cannot read its %s", program->name, what);
	if ((size_t)got < length)
		return refuse(program, "the file is cut short: it shrank while its %s was read",
			      what);
	return 0;
}

static int open_program(struct program *program)
{
	struct stat status;

	if (fstat(program->fd, &status) < 0)
		return thaw_fail_errno(program->err, THAW_ERR_FAILURE, errno, "%s", program->name);
	if (!S_ISREG(status.st_mode))
		return refuse(program, "is not a regular file, so it cannot be a function");
	program->size = (uint64_t)status.st_size;
	return 0;
}

/* Tells by the first bytes what kind of file this is. A script is the most common mistake. */
static int read_header(const struct program *program, Elf64_Ehdr *header)
{
	size_t length = program->size < sizeof(*header) ? (size_t)program->size : sizeof(*header);

	memset(header, 0, sizeof(*header));
	if (read_exactly(program, 0, header, length, "header") < 0)
		return -1;
	if (memcmp(header->e_ident, "#!", 2) == 0)
		return refuse(
			program,
			"is a script (it begins with \"#!\"), not a program: " FUNCTIONS_HINT);
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return refuse(program, "is not a program (no ELF file): " FUNCTIONS_HINT);
	if (length < EI_NIDENT || header->e_ident[EI_CLASS] == ELFCLASSNONE)
		return refuse(program, "the ELF header is cut short");
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return refuse(program, "is a 32-bit program; functions are 64-bit (build it "
				       "without -m32 and -mx32)");
	if (header->e_ident[EI_DATA] != ELFDATA2LSB)
		return refuse(program, "is a big-endian program; functions are x86-64");
	if (length < sizeof(*header))
		return refuse(program, "the ELF header is cut short");
	return 0;
}

static int check_header(const struct program *program, const Elf64_Ehdr *header)
{
	if (header->e_machine != EM_X86_64)
		return refuse(
			program,
			"is built for another processor (ELF machine %u); functions are x86-64",
			header->e_machine);
	if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return refuse(program, "has the unknown ELF version %" PRIu32, header->e_version);
	if (header->e_type == ET_REL)
		return refuse(
			program,
			"is an object file: link it with the guest library (docs/functions.md)");
	if (header->e_type == ET_CORE)
		return refuse(program, "is a core dump, not a program");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return refuse(program, "has the unknown ELF type %u", header->e_type);
	if (header->e_phnum == 0)
		return refuse(program, "has no program headers, so there is nothing to load");
	/* PN_XNUM, which says that the number is elsewhere, is far above the limit too. */
	if (header->e_phnum > PROGRAM_HEADERS_MAX)
		return refuse(program, "has %u program headers; at most %u are taken",
			      header->e_phnum, PROGRAM_HEADERS_MAX);
	if (header->e_ehsize != sizeof(*header) || header->e_phentsize != sizeof(Elf64_Phdr))
		return refuse(program,
			      "the ELF header is damaged: its own size is given as %u, a program "
			      "header's as %u",
			      header->e_ehsize, header->e_phentsize);
	return 0;
}

/* There are two kinds of position-independent programs, and the fix differs. */
static int check_linkage(const struct program *program, const Elf64_Ehdr *header,
			 const Elf64_Phdr *headers)
{
	for (size_t i = 0; i < header->e_phnum; i++)
		if (headers[i].p_type == PT_INTERP)
			return refuse(program, "is dynamically linked: " FUNCTIONS_HINT);
	if (header->e_type == ET_DYN)
		return refuse(program, "is position-independent (PIE, or a shared library): link "
				       "it with -static -no-pie; " FUNCTIONS_HINT);
	for (size_t i = 0; i < header->e_phnum; i++)
		if (headers[i].p_type == PT_DYNAMIC)
			return refuse(
				program,
				"has a dynamic section, so it is not static: " FUNCTIONS_HINT);
	return 0;
}

static int check_thaw_note(const struct program *program, const uint8_t *descriptor, uint32_t size,
			   struct thaw_elf *elf)
{
	if (size != sizeof(elf->abi_version))
		return refuse(program,
			      "the Thaw note is damaged: it holds %" PRIu32 " bytes instead of 4",
			      size);
	memcpy(&elf->abi_version, descriptor, sizeof(elf->abi_version));
	if (elf->abi_version != THAW_ABI_VERSION)
		return refuse(program,
			      "is built for guest ABI %" PRIu32
			      ", and this version of Thaw runs ABI %u: rebuild it with "
			      "this version's guest library",
			      elf->abi_version, THAW_ABI_VERSION);
	return 0;
}

/* Sums cannot overflow 64 bits: sizes in a note have 32 bits, and positions are at most
 * NOTES_MAX. */
static int walk_notes(const struct program *program, const uint8_t *notes, uint64_t size,
		      uint64_t alignment, struct thaw_elf *elf)
{
	uint64_t at = 0;

	while (at < size && size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name = at + sizeof(note), descriptor;

		memcpy(&note, notes + at, sizeof(note));
		descriptor = thaw_round_up(name + note.n_namesz, alignment);
		if (descriptor > size || note.n_descsz > size - descriptor)
			return refuse(program,
				      "a note is damaged: it reaches past the end of its segment");
		if (note.n_type == THAW_NOTE_ABI && note.n_namesz == sizeof(THAW_NOTE_OWNER) &&
		    memcmp(notes + name, THAW_NOTE_OWNER, sizeof(THAW_NOTE_OWNER)) == 0 &&
		    check_thaw_note(program, notes + descriptor, note.n_descsz, elf) < 0)
			return -1;
		at = thaw_round_up(descriptor + note.n_descsz, alignment);
	}
	return 0;
}

static int read_notes(const struct program *program, const Elf64_Phdr *headers, size_t count,
		      struct thaw_elf *elf)
{
	static_assert(THAW_ABI_VERSION != 0, "0 stands for: no note seen");
	uint8_t notes[NOTES_MAX];

	for (size_t i = 0; i < count; i++) {
		if (headers[i].p_type != PT_NOTE)
			continue;
		if (headers[i].p_filesz > sizeof(notes))
			return refuse(program,
				      "program header %zu holds %" PRIu64
				      " bytes of notes; at most %u are taken",
				      i, headers[i].p_filesz, NOTES_MAX);
		if (read_exactly(program, headers[i].p_offset, notes, headers[i].p_filesz,
				 "notes") < 0)
			return -1;
		/* Only x86's property notes use 8; every other value in use means 4. */
		if (walk_notes(program, notes, headers[i].p_filesz, headers[i].p_align == 8 ? 8 : 4,
			       elf) < 0)
			return -1;
	}
	if (!elf->abi_version)
		return refuse(program, "is not a Thaw function: build it with the guest library "
				       "(docs/functions.md)");
	return 0;
}

static int check_segment(const struct program *program, size_t index, const Elf64_Phdr *segment,
			 uint64_t previous_end)
{
	uint64_t memory_end, file_end;

	if (segment->p_filesz > segment->p_memsz)
		return refuse(program, "segment %zu has more bytes in the file than in memory",
			      index);
	if (__builtin_add_overflow(segment->p_offset, segment->p_filesz, &file_end) ||
	    file_end > program->size)
		return refuse(program, "the file is cut short: segment %zu lies past its end",
			      index);
	if (segment->p_align & (segment->p_align - 1))
		return refuse(program,
			      "segment %zu has the alignment %" PRIu64
			      ", which is not a power of two",
			      index, segment->p_align);
	if (segment->p_filesz && (segment->p_offset ^ segment->p_vaddr) % THAW_PAGE_SIZE)
		return refuse(program,
			      "segment %zu lies differently in a page of the file than in a page "
			      "of memory",
			      index);
	if (__builtin_add_overflow(segment->p_vaddr, segment->p_memsz, &memory_end) ||
	    segment->p_vaddr < THAW_STACK_TOP || memory_end > THAW_REGION_END)
		return refuse(
			program,
			"segment %zu lies at %#" PRIx64 " and is %" PRIu64
			" bytes long; a function lives between %#lx "
			"and %#lx (link it with the guest library's recipe, docs/functions.md)",
			index, segment->p_vaddr, segment->p_memsz, THAW_STACK_TOP, THAW_REGION_END);
	if (segment->p_vaddr < previous_end)
		return refuse(program, "segment %zu overlaps the one before it, or is out of order",
			      index);
	if ((segment->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
		return refuse(program,
			      "segment %zu is both writable and executable, which a function may "
			      "not have (link it without "
			      "-N and with -z separate-code)",
			      index);
	if (!(segment->p_flags & (PF_R | PF_W | PF_X)))
		return refuse(program, "segment %zu may be neither read nor written nor executed",
			      index);
	return 0;
}

/* The processor can read whatever it can write or execute, so PROT_READ is always set. */
static uint32_t segment_prot(const Elf64_Phdr *segment)
{
	return THAW_PROT_READ | (segment->p_flags & PF_W ? THAW_PROT_WRITE : 0) |
	       (segment->p_flags & PF_X ? THAW_PROT_EXEC : 0);
}

/* Adds the whole pages of a segment. Segments come in ascending order. */
static int add_range(const struct program *program, size_t index, const Elf64_Phdr *segment,
		     struct thaw_elf *elf)
{
	uint64_t start = thaw_round_down(segment->p_vaddr, THAW_PAGE_SIZE);
	uint64_t end = thaw_round_up(segment->p_vaddr + segment->p_memsz, THAW_PAGE_SIZE);
	uint32_t prot = segment_prot(segment);
	struct thaw_range *last = elf->range_count ? &elf->ranges[elf->range_count - 1] : NULL;

	if (last && start <= elf->end && last->prot == prot) {
		last->length = end - last->start;
	} else if (last && start < elf->end) {
		return refuse(program,
			      "segment %zu shares the page at %#" PRIx64
			      " with the one before it, but not its permissions "
			      "(link it with -z separate-code)",
			      index, start);
	} else {
		elf->ranges[elf->range_count++] = (struct thaw_range){start, end - start, prot};
	}
	elf->end = end;
	return 0;
}

static int add_segments(const struct program *program, const Elf64_Phdr *headers, size_t count,
			struct thaw_elf *elf)
{
	uint64_t previous_end = 0;
	size_t loaded = 0;

	for (size_t i = 0; i < count; i++) {
		const Elf64_Phdr *segment = &headers[i];

		if (segment->p_type != PT_LOAD || (segment->p_memsz == 0 && segment->p_filesz == 0))
			continue;
		if (++loaded > THAW_ELF_SEGMENTS_MAX)
			return refuse(program, "has more than %u segments", THAW_ELF_SEGMENTS_MAX);
		if (check_segment(program, i, segment, previous_end) < 0 ||
		    add_range(program, i, segment, elf) < 0)
			return -1;
		previous_end = segment->p_vaddr + segment->p_memsz;
		if (segment->p_filesz)
			elf->segments[elf->segment_count++] = (struct thaw_elf_segment){
				segment->p_vaddr, segment->p_offset, segment->p_filesz};
	}
	if (!loaded)
		return refuse(program, "has no segment to load");
	return 0;
}

static int check_memory(const struct program *program, const struct thaw_elf *elf,
			uint64_t memory_size)
{
	uint64_t total = 0;

	/* Disjoint ranges inside a region of 64 GiB: the sum cannot overflow. */
	for (size_t i = 0; i < elf->range_count; i++)
		total += elf->ranges[i].length;
	if (total > memory_size)
		return refuse(
			program,
			"needs %" PRIu64
			" KiB of memory for itself alone, and the function's limit is %" PRIu64
			" KiB: give it more with --memory",
			total / 1024, memory_size / 1024);
	return 0;
}

static int check_entry(const struct program *program, const struct thaw_elf *elf)
{
	for (size_t i = 0; i < elf->range_count; i++)
		if (elf->entry >= elf->ranges[i].start &&
		    elf->entry - elf->ranges[i].start < elf->ranges[i].length &&
		    elf->ranges[i].prot & THAW_PROT_EXEC)
			return 0;
	return refuse(program, "its entry point %#" PRIx64 " is in no executable segment",
		      elf->entry);
}

/* Finds the program headers in memory: in the file part of the segment that holds them, if there is
 * one. */
static void find_headers(const Elf64_Ehdr *header, struct thaw_elf *elf)
{
	uint64_t size = (uint64_t)header->e_phnum * sizeof(Elf64_Phdr);

	elf->phdr_count = header->e_phnum;
	elf->phdr_size = sizeof(Elf64_Phdr);
	for (size_t i = 0; i < elf->segment_count; i++) {
		const struct thaw_elf_segment *segment = &elf->segments[i];
		uint64_t into = header->e_phoff - segment->file_offset;

		if (header->e_phoff >= segment->file_offset && into <= segment->file_length &&
		    size <= segment->file_length - into) {
			elf->phdr_address = segment->address + into;
			return;
		}
	}
}

int thaw_elf_parse(int fd, const char *name, uint64_t memory_size, struct thaw_elf *out,
		   struct thaw_error *err)
{
	struct program program = {.fd = fd, .name = name, .err = err};
	Elf64_Phdr headers[PROGRAM_HEADERS_MAX];
	Elf64_Ehdr header;
	struct thaw_elf elf = {0};

	if (open_program(&program) < 0 || read_header(&program, &header) < 0 ||
	    check_header(&program, &header) < 0)
		return -1;
	if (read_exactly(&program, header.e_phoff, headers, header.e_phnum * sizeof(headers[0]),
			 "program headers") < 0)
		return -1;
	elf.entry = header.e_entry;
	if (check_linkage(&program, &header, headers) < 0 ||
	    read_notes(&program, headers, header.e_phnum, &elf) < 0 ||
	    add_segments(&program, headers, header.e_phnum, &elf) < 0 ||
	    check_memory(&program, &elf, memory_size) < 0 || check_entry(&program, &elf) < 0)
		return -1;
	find_headers(&header, &elf);
	*out = elf;
	return 0;
}
