/* SPDX-License-Identifier: Apache-2.0 */
/* Building program files in memory and checking what the parser promises; see test_elf_image.h. */
#include "tests/engine/test_elf_image.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-stub/include/thaw/abi.h"
#include "snapshot-format/base/cleanup.h"

static const Elf64_Ehdr good_header = {
	.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
	.e_type = ET_EXEC,
	.e_machine = EM_X86_64,
	.e_version = EV_CURRENT,
	.e_entry = 0x400900,
	.e_phoff = sizeof(Elf64_Ehdr),
	.e_ehsize = sizeof(Elf64_Ehdr),
	.e_phentsize = sizeof(Elf64_Phdr),
	.e_phnum = 4,
};

static const Elf64_Phdr good_segments[] = {
	{.p_type = PT_LOAD,
	 .p_flags = PF_R | PF_X,
	 .p_offset = 0,
	 .p_vaddr = 0x400000,
	 .p_filesz = 0xc00,
	 .p_memsz = 0xc00,
	 .p_align = 0x1000},
	{.p_type = PT_LOAD,
	 .p_flags = PF_R,
	 .p_offset = 0x1000,
	 .p_vaddr = 0x401000,
	 .p_filesz = 0x123,
	 .p_memsz = 0x123,
	 .p_align = 0x1000},
	{.p_type = PT_LOAD,
	 .p_flags = PF_R | PF_W,
	 .p_offset = 0x2010,
	 .p_vaddr = 0x405010,
	 .p_filesz = 0x100,
	 .p_memsz = 0x3000,
	 .p_align = 0x1000},
	{.p_type = PT_NOTE,
	 .p_flags = PF_R,
	 .p_offset = TEST_ELF_NOTE,
	 .p_vaddr = 0x400000 + TEST_ELF_NOTE,
	 .p_align = 4},
};

size_t test_elf_put_note(struct test_elf *elf, size_t offset, const char *owner, uint32_t type,
			 const void *descriptor, uint32_t size)
{
	Elf64_Nhdr note = {
		.n_namesz = (uint32_t)strlen(owner) + 1, .n_descsz = size, .n_type = type};

	memcpy(elf->bytes + offset, &note, sizeof(note));
	offset += sizeof(note);
	memcpy(elf->bytes + offset, owner, note.n_namesz);
	offset += (note.n_namesz + 3u) & ~3u;
	memcpy(elf->bytes + offset, descriptor, size);
	return offset + ((size + 3u) & ~3u);
}

void test_elf_build(struct test_elf *elf)
{
	static const uint32_t version = THAW_ABI_VERSION;

	memset(elf, 0, sizeof(*elf));
	elf->size = TEST_ELF_SIZE;
	elf->header = good_header;
	memcpy(elf->segment, good_segments, sizeof(good_segments));
	elf->segment[3].p_filesz = test_elf_put_note(elf, TEST_ELF_NOTE, THAW_NOTE_OWNER,
						     THAW_NOTE_ABI, &version, sizeof(version)) -
				   TEST_ELF_NOTE;
	elf->segment[3].p_memsz = elf->segment[3].p_filesz;
}

int test_elf_parse(const void *bytes, size_t size, uint64_t memory_size, struct thaw_elf *out,
		   struct thaw_error *err)
{
	thaw_autoclose int fd = memfd_create("program", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno,
				       "the test cannot make its file");
	return thaw_elf_parse(fd, "prog", memory_size, out, err);
}

static const char *broken_range(const struct thaw_elf *elf, size_t i)
{
	const struct thaw_range *range = &elf->ranges[i];

	if (range->start % THAW_PAGE_SIZE || range->length % THAW_PAGE_SIZE || !range->length)
		return "page-aligned and not empty";
	if (range->start < THAW_STACK_TOP || range->start > THAW_REGION_END ||
	    range->length > THAW_REGION_END - range->start)
		return "inside the region";
	if (i && range->start < elf->ranges[i - 1].start + elf->ranges[i - 1].length)
		return "sorted and disjoint";
	if (!(range->prot & THAW_PROT_READ) || range->prot & ~7u)
		return "readable";
	if ((range->prot & THAW_PROT_WRITE) && (range->prot & THAW_PROT_EXEC))
		return "never writable and executable";
	return NULL;
}

static const struct thaw_range *range_of(const struct thaw_elf *elf, uint64_t address,
					 uint64_t length)
{
	for (size_t i = 0; i < elf->range_count; i++) {
		const struct thaw_range *range = &elf->ranges[i];

		if (address >= range->start && address - range->start < range->length &&
		    length <= range->length - (address - range->start))
			return range;
	}
	return NULL;
}

static const char *broken_segment(const struct thaw_elf *elf, size_t i, size_t file_size)
{
	const struct thaw_elf_segment *segment = &elf->segments[i];

	if (!segment->file_length || segment->file_offset > file_size ||
	    segment->file_length > file_size - segment->file_offset)
		return "file parts inside the file";
	if (!range_of(elf, segment->address, segment->file_length))
		return "file parts inside one range";
	if (i && segment->address < elf->segments[i - 1].address + elf->segments[i - 1].file_length)
		return "file parts sorted and disjoint";
	return NULL;
}

const char *test_elf_broken_promise(const struct thaw_elf *elf, size_t file_size,
				    uint64_t memory_size)
{
	const struct thaw_range *entry = range_of(elf, elf->entry, 1);
	const char *broken = NULL;
	uint64_t total = 0;

	if (!elf->range_count || elf->range_count > THAW_ELF_SEGMENTS_MAX ||
	    elf->segment_count > THAW_ELF_SEGMENTS_MAX)
		return "counts within their limits";
	for (size_t i = 0; i < elf->range_count && !broken; i++) {
		broken = broken_range(elf, i);
		total += elf->ranges[i].length;
	}
	for (size_t i = 0; i < elf->segment_count && !broken; i++)
		broken = broken_segment(elf, i, file_size);
	if (broken)
		return broken;
	if (total > memory_size)
		return "total at most the memory size";
	if (elf->end !=
	    elf->ranges[elf->range_count - 1].start + elf->ranges[elf->range_count - 1].length)
		return "end after the last range";
	if (!entry || !(entry->prot & THAW_PROT_EXEC))
		return "entry executable";
	if (elf->abi_version != THAW_ABI_VERSION)
		return "ABI version known";
	if (elf->phdr_address &&
	    !range_of(elf, elf->phdr_address, elf->phdr_count * elf->phdr_size))
		return "program headers in memory";
	return NULL;
}
