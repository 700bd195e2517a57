/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF loader: copies a program, and the interpreter that it names, from the tree into pages.
 * The files are the user's, and a wrong one ends the boot with a reason.
 */
#include <elf.h>

#include "guest-stub/linux/entry/core.h"
#include "guest-stub/linux/fs/files.h"
#include "guest-stub/linux/host/host.h"
#include "guest-stub/linux/memory/memory.h"

#define HEADERS_MAX 64u
#define PATH_SIZE   4096u

struct object {
	const char *path;
	struct file *file;
	Elf64_Ehdr header;
	Elf64_Phdr segments[HEADERS_MAX];
	uint64_t low, high; /* the pages of its segments, at the linked addresses */
	uint64_t bias;
};

static void read_at(struct object *object, void *to, uint64_t length, uint64_t offset)
{
	int64_t position = (int64_t)offset;
	uint8_t *at = to;

	while (length > 0) {
		long got = object->file->operations->read(object->file, at, length, &position);

		if (got <= 0)
			host_abort("%s: the file is shorter than its headers say", object->path);
		at += got;
		length -= (uint64_t)got;
	}
}

static void read_headers(struct object *object)
{
	Elf64_Ehdr *header = &object->header;

	read_at(object, header, sizeof(*header), 0);
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_machine != EM_X86_64 ||
	    (header->e_type != ET_EXEC && header->e_type != ET_DYN))
		host_abort("%s: not a 64-bit x86 ELF program", object->path);
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > HEADERS_MAX)
		host_abort("%s: %u program headers", object->path, header->e_phnum);
	read_at(object, object->segments, header->e_phnum * sizeof(Elf64_Phdr), header->e_phoff);
	object->low = UINT64_MAX;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		const Elf64_Phdr *segment = &object->segments[i];
		uint64_t end;

		if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
			continue;
		if (segment->p_filesz > segment->p_memsz ||
		    __builtin_add_overflow(segment->p_vaddr, segment->p_memsz, &end) ||
		    end > LINUX_MMAP_TOP)
			host_abort("%s: a segment at %#lx cannot be", object->path,
				   segment->p_vaddr);
		if (segment->p_vaddr < object->low)
			object->low = page_down(segment->p_vaddr);
		if (page_up(end) > object->high)
			object->high = page_up(end);
	}
	if (object->high == 0)
		host_abort("%s: no segment to load", object->path);
}

static int prot_of(const Elf64_Phdr *segment)
{
	return (segment->p_flags & PF_R ? PROT_READ_ : 0) |
	       (segment->p_flags & PF_W ? PROT_WRITE_ : 0) |
	       (segment->p_flags & PF_X ? PROT_EXEC_ : 0);
}

/* Maps a segment that is large for the limit, so that its pages come as they are touched. Whether
 * this is one. */
static bool load_on_demand(const struct object *object, const Elf64_Phdr *segment, uint64_t from,
			   uint64_t to)
{
	const struct backing backing = {.name = object->path,
					.file = object->file,
					.offset = page_down(segment->p_offset),
					.on_demand = true};

	return !memory_fits_well(to - from) &&
	       !memory_map(from, to - from, prot_of(segment), &backing);
}

/* Loads a segment and returns the end of its pages. DONE is that of the segment before, with which
 * it may share a page. */
static uint64_t load_segment(struct object *object, const Elf64_Phdr *segment, uint64_t done)
{
	uint64_t start = object->bias + segment->p_vaddr;
	uint64_t from = page_down(start), to = page_up(start + segment->p_memsz);
	uint64_t filled = page_up(start + segment->p_filesz);
	int prot = prot_of(segment);
	const struct backing empty = {.on_demand = true}; /* a large .bss */
	struct backing backing = {.name = object->path};
	int error = 0;

	/* Pages that reach beyond the file's part of the segment are not the file's. */
	if (filled == to)
		backing.file = object->file;
	if (backing.file && from >= done && load_on_demand(object, segment, from, to))
		return to;
	if (to - filled <= LINUX_AT_ONCE)
		filled = to;
	if (from < done) {
		error = memory_protect(from, done - from, PROT_READ_ | PROT_WRITE_);
		if (!error)
			error = memory_supply(from, done);
		from = done;
	}
	backing.offset = page_down(segment->p_offset) + (from - page_down(start));
	if (!error && from < filled)
		error = memory_map(from, filled - from, PROT_READ_ | PROT_WRITE_, &backing);
	if (!error && filled < to)
		error = memory_map(filled, to - filled, PROT_READ_ | PROT_WRITE_, &empty);
	if (error)
		host_abort("%s: the segment at %#lx does not fit; %s", object->path, start,
			   memory_shortage(filled - from));
	read_at(object, (void *)start, segment->p_filesz, segment->p_offset);
	if (memory_protect(page_down(start), to - page_down(start), prot))
		host_abort("%s: the segment at %#lx cannot be protected", object->path, start);
	return to;
}

static void load_segments(struct object *object)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < object->header.e_phnum; i++)
		if (object->segments[i].p_type == PT_LOAD && object->segments[i].p_memsz > 0)
			done = load_segment(object, &object->segments[i], done);
}

static void open_object(struct object *object, const char *path)
{
	int error = file_open(path, 0, 0, &object->file);

	object->path = path;
	if (error)
		host_abort("%s: cannot be opened in the file tree (error %d)", path, -error);
	/* /proc/self/maps shows the name, so it must stay. */
	if (object->file->path)
		object->path = object->file->path;
	read_headers(object);
}

static const Elf64_Phdr *find_segment(const struct object *object, uint32_t type)
{
	for (unsigned i = 0; i < object->header.e_phnum; i++)
		if (object->segments[i].p_type == type)
			return &object->segments[i];
	return NULL;
}

/* The address of the program headers, in the segment that contains them; 0: in none. */
static uint64_t headers_address(const struct object *object)
{
	const Elf64_Phdr *own = find_segment(object, PT_PHDR);
	uint64_t offset = object->header.e_phoff;

	if (own)
		return object->bias + own->p_vaddr;
	for (unsigned i = 0; i < object->header.e_phnum; i++) {
		const Elf64_Phdr *segment = &object->segments[i];

		if (segment->p_type == PT_LOAD && offset >= segment->p_offset &&
		    offset - segment->p_offset < segment->p_filesz)
			return object->bias + segment->p_vaddr + (offset - segment->p_offset);
	}
	return 0;
}

static void load_interpreter(const struct object *program, const Elf64_Phdr *named,
			     struct loaded *out)
{
	static char path[PATH_SIZE];
	static struct object interpreter;

	if (named->p_filesz == 0 || named->p_filesz > sizeof(path))
		host_abort("%s: the interpreter's name is too long", program->path);
	read_at((struct object *)(uintptr_t)program, path, named->p_filesz, named->p_offset);
	path[named->p_filesz - 1] = '\0';
	open_object(&interpreter, path);
	if (interpreter.header.e_type == ET_DYN)
		interpreter.bias =
			memory_find(interpreter.high - interpreter.low) - interpreter.low;
	load_segments(&interpreter);
	out->base = interpreter.bias + interpreter.low;
	out->entry = interpreter.bias + interpreter.header.e_entry;
	file_drop(interpreter.file);
}

void loader_load(const char *path, struct loaded *out)
{
	static struct object program;
	const Elf64_Phdr *interpreter;

	open_object(&program, path);
	if (program.header.e_type == ET_DYN)
		program.bias = LINUX_PIE_BASE - program.low;
	else if (program.low < THAW_REGION_BASE)
		host_abort("%s: linked at %#lx, below all that can be mapped", path, program.low);
	else if (!memory_is_open(program.low, program.high - program.low))
		host_abort(
			"%s: linked to %#lx-%#lx, where its stack is or nothing can be mapped; a "
			"program can be from %#lx to %#lx",
			path, program.low, program.high, THAW_REGION_BASE,
			LINUX_STACK_TOP - LINUX_STACK - LINUX_STACK_GAP);
	load_segments(&program);
	memory_set_brk(program.bias + program.high);
	*out = (struct loaded){
		.entry = program.bias + program.header.e_entry,
		.program = program.bias + program.header.e_entry,
		.headers = headers_address(&program),
		.header_count = program.header.e_phnum,
		.header_size = program.header.e_phentsize,
	};
	interpreter = find_segment(&program, PT_INTERP);
	if (interpreter)
		load_interpreter(&program, interpreter, out);
	file_drop(program.file);
}
