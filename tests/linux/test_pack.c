/* SPDX-License-Identifier: Apache-2.0 */
/* The packer and the gatherer, without a guest: trees are whole, and damage is detected. */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stub/include/thaw/tree.h"
#include "pool/pack/gather.h"
#include "pool/pack/gather_elf.h"
#include "pool/pack/gather_locale.h"
#include "pool/pack/gather_program.h"
#include "pool/pack/pack.h"
#include "tests/linux/fs_host.h"

static struct thaw_error err;

static struct thaw_pack *new_pack(void)
{
	struct thaw_pack *pack;

	cr_assert_eq(thaw_pack_create(&pack, &err), 0, "%s", err.message);
	return pack;
}

static int put(struct thaw_pack *pack, const char *directory, const char *name, const void *bytes,
	       size_t length)
{
	uint32_t parent;

	cr_assert_eq(thaw_pack_make_directories(pack, directory, &parent, &err), 0);
	return thaw_pack_put_bytes(pack, parent, name, 0644, bytes, length, &err);
}

static uint8_t *finish(struct thaw_pack *pack, size_t *size)
{
	const struct thaw_pack_config config = {.program = "/program", .cwd = "/"};
	uint64_t length;
	uint8_t *tree;
	int fd;

	cr_assert_eq(thaw_pack_finish(pack, &config, &fd, &length, &err), 0, "%s", err.message);
	tree = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	cr_assert_neq(tree, MAP_FAILED);
	close(fd);
	thaw_pack_destroy(pack);
	*size = length;
	return tree;
}

static uint8_t *sample(size_t *size)
{
	static char large[50000];
	struct thaw_pack *pack = new_pack();
	const struct thaw_pack_meta meta = {0};
	uint32_t root;

	memset(large, 'x', sizeof(large));
	memcpy(large, "\177ELF", 4);
	put(pack, "/", "program", "bytes", 5);
	put(pack, "/etc", "one", "same", 4);
	put(pack, "/etc", "two", "same", 4);
	put(pack, "/usr/lib", "large", large, sizeof(large));
	put(pack, "/usr/lib", "empty", "", 0);
	thaw_pack_make_directories(pack, "/", &root, &err);
	thaw_pack_put_link(pack, root, "lib", 3, &meta, "usr/lib", &err);
	return finish(pack, size);
}

Test(pack, the_core_accepts_a_tree)
{
	size_t size;
	uint8_t *tree = sample(&size);
	const struct thaw_tree_header *header = (const void *)tree;

	cr_expect_null(fs_host_check(tree, size), "%s", fs_host_check(tree, size));
	cr_expect_eq(size % 4096, 0);
	cr_expect_eq(header->node_count, 10);
	cr_expect_not_null(fs_host_check(tree, size - 1),
			   "the header says more bytes than there are");
}

/* The core accepts no tree in which a walk would leave the tree, whatever its bytes are. */
Test(pack, damaged_trees_are_refused_or_harmless, .timeout = 60)
{
	size_t size, tables;
	uint8_t *tree = sample(&size), *copy = malloc(size);
	const struct thaw_tree_header *header = (const void *)tree;
	uint64_t state = 88172645463325252u;
	unsigned refused = 0;

	tables = header->nodes_offset;
	for (unsigned round = 0; round < 30000; round++) {
		memcpy(copy, tree, size);
		for (unsigned i = 0; i <= round % 3; i++) {
			size_t at;

			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			at = round % 4 == 0
				     ? state % sizeof(*header)
				     : tables + state % (10 * sizeof(struct thaw_tree_node) + 100);
			copy[at] ^= (uint8_t)(state >> 40);
		}
		refused += fs_host_check(copy, size) != NULL;
	}
	cr_expect_gt(refused, 15000);
	free(copy);
}

Test(pack, equal_files_are_stored_once_and_names_are_checked)
{
	struct thaw_pack *pack = new_pack();
	struct thaw_pack_totals totals;
	static char large[100000];

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7);
	cr_expect_eq(put(pack, "/a", "one", large, sizeof(large)), 0);
	cr_expect_eq(put(pack, "/b", "two", large, sizeof(large)), 0);
	cr_expect_eq(put(pack, "/b", "short", large, 300), 0);
	cr_expect_eq(put(pack, "/c", "short", large, 300), 0);
	thaw_pack_totals(pack, &totals);
	cr_expect_eq(totals.bytes, 2 * sizeof(large) + 600);
	cr_expect_eq(totals.stored, sizeof(large) + 300);
	cr_expect_lt(put(pack, "/", "a/b", "x", 1), 0);
	cr_expect_lt(put(pack, "/", "..", "x", 1), 0);
	cr_expect_lt(put(pack, "/", "", "x", 1), 0);
	cr_expect_lt(put(pack, "/", "a", "x", 1), 0, "a directory with files in it");
	thaw_pack_destroy(pack);
}

Test(pack, the_place_of_a_duplicate_reads_as_zeros_again)
{
	struct thaw_pack *pack = new_pack();
	char small[64], back[64];
	uint32_t entry;

	memset(small, 7, sizeof(small));
	put(pack, "/", "program", small, 64);
	put(pack, "/", "again", small, 64);
	put(pack, "/", "zeros", memset(small, 0, sizeof(small)), 64);
	entry = thaw_pack_find(pack, THAW_PACK_ROOT, "/zeros", true);
	cr_expect_eq(thaw_pack_read(pack, entry, 0, back, 64), 64);
	cr_expect_eq(memcmp(back, small, 64), 0);
	thaw_pack_destroy(pack);
}

/* ---- ELF files ---- */

static int file_of(const void *bytes, size_t length)
{
	int fd = memfd_create("elf", 0);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
	return fd;
}

Test(elf_needs, this_program_and_its_damaged_copies, .timeout = 60)
{
	static uint8_t bytes[1 << 16], copy[1 << 16];
	struct thaw_elf_needs needs;
	int self = open("/proc/self/exe", O_RDONLY);
	ssize_t length = read(self, bytes, sizeof(bytes));
	uint64_t state = 2463534242u;

	cr_assert_eq(thaw_elf_needs(self, "self", &needs, &err), 0, "%s", err.message);
	cr_expect_eq(needs.kind, THAW_ELF_LINUX);
	cr_expect_not_null(needs.interpreter);
	cr_expect_gt(needs.needed_count, 1);
	thaw_elf_needs_free(&needs);
	for (unsigned round = 0; round < 3000; round++) {
		int fd;

		memcpy(copy, bytes, sizeof(copy));
		for (unsigned i = 0; i < 4; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			copy[state % (round % 2 ? 64 : 900)] = (uint8_t)(state >> 32);
		}
		fd = file_of(copy, round % 5 ? (size_t)length : state % (size_t)length);
		if (thaw_elf_needs(fd, "damaged", &needs, &err) == 0)
			thaw_elf_needs_free(&needs);
		close(fd);
	}
}

Test(elf_needs, scripts_foreign_and_cut_files_are_told_apart)
{
	Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
			     .e_type = ET_EXEC,
			     .e_machine = EM_AARCH64,
			     .e_phentsize = sizeof(Elf64_Phdr),
			     .e_phnum = 1};
	struct thaw_elf_needs needs;
	int fd = file_of("#!/bin/sh\n", 10);

	cr_expect_eq(thaw_elf_needs(fd, "script", &needs, &err), 0);
	cr_expect_eq(needs.kind, THAW_ELF_NONE);
	close(fd);
	fd = file_of(&header, sizeof(header));
	cr_expect_eq(thaw_elf_needs(fd, "foreign", &needs, &err), 0);
	cr_expect_eq(needs.kind, THAW_ELF_OTHER);
	close(fd);
	header.e_machine = EM_X86_64;
	header.e_phoff = sizeof(header);
	fd = file_of(&header, sizeof(header));
	cr_expect_lt(thaw_elf_needs(fd, "cut", &needs, &err), 0);
	cr_expect_not_null(strstr(err.message, "cut: damaged"), "%s", err.message);
	close(fd);
}

/* ---- Commands and paths ---- */

Test(gather, a_command_is_found_as_a_shell_finds_it)
{
	char directory[] = "/tmp/thaw-pack-XXXXXX", path[64],
	     *words[] = {NULL, (char[]){"arg"}, NULL};
	struct thaw_command command;
	FILE *script;

	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/script", directory);
	script = fopen(path, "w");
	fprintf(script, "#! /usr/bin/env -S sh -e \nexit\n");
	fclose(script);
	chmod(path, 0755);
	words[0] = path;
	cr_assert_eq(thaw_command_find(NULL, "/", words, NULL, &command, &err), 0, "%s",
		     err.message);
	cr_expect_eq(command.kind, THAW_ELF_LINUX);
	cr_expect_eq(command.word_count, 4);
	cr_expect_str_eq(command.words[0], "sh");
	cr_expect_str_eq(command.words[1], "-e");
	cr_expect_str_eq(command.words[2], path);
	cr_expect_str_eq(command.words[3], "arg");
	thaw_command_free(&command);
	/* A script that is its own interpreter. */
	script = fopen(path, "w");
	fprintf(script, "#!%s\n", path);
	fclose(script);
	cr_expect_lt(thaw_command_find(NULL, "/", words, NULL, &command, &err), 0);
	cr_expect_not_null(strstr(err.message, "interpreters"), "%s", err.message);
	unlink(path);
	rmdir(directory);
}

Test(gather, links_on_the_way_are_packed_and_loops_are_detected)
{
	char directory[] = "/tmp/thaw-pack-XXXXXX", command[256];
	struct thaw_gather gather = {.pack = new_pack()};
	char path[128];
	uint32_t entry;

	cr_assert_not_null(mkdtemp(directory));
	snprintf(
		command, sizeof(command),
		"cd %s && mkdir real && echo x >real/file && ln -s real link && ln -s ../link/file "
		"real/again && ln -s loop loop",
		directory);
	cr_assert_eq(system(command), 0);
	snprintf(path, sizeof(path), "%s/link/again", directory);
	cr_expect_eq(thaw_gather_path(&gather, path, false, &err), 0, "%s", err.message);
	entry = thaw_pack_find(gather.pack, THAW_PACK_ROOT, path, true);
	cr_assert_neq(entry, THAW_PACK_NONE);
	cr_expect(S_ISREG(thaw_pack_mode(gather.pack, entry)));
	snprintf(path, sizeof(path), "%s/link", directory);
	entry = thaw_pack_find(gather.pack, THAW_PACK_ROOT, path, false);
	cr_expect(S_ISLNK(thaw_pack_mode(gather.pack, entry)));
	snprintf(path, sizeof(path), "%s/loop", directory);
	cr_expect_lt(thaw_gather_path(&gather, path, false, &err), 0);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	cr_assert_eq(system(command), 0);
	thaw_gather_finish(&gather);
	thaw_pack_destroy(gather.pack);
}

/* ---- Locales ---- */

static void expect_same_file(const struct thaw_pack *pack, const char *guest, const char *host)
{
	static char packed[1 << 22], real[1 << 22];
	uint32_t entry = thaw_pack_find(pack, THAW_PACK_ROOT, guest, true);
	FILE *file = fopen(host, "r");
	size_t length;

	cr_assert_not_null(file, "%s", host);
	cr_assert_neq(entry, THAW_PACK_NONE, "%s", guest);
	length = fread(real, 1, sizeof(real), file);
	fclose(file);
	cr_expect_eq(thaw_pack_read(pack, entry, 0, packed, sizeof(packed)), (ssize_t)length);
	cr_expect_eq(memcmp(packed, real, length), 0, "%s", guest);
}

/* localedef writes the same locale into an archive and into a directory. */
Test(locale, a_record_of_an_archive_is_the_directory_of_that_locale)
{
	static const char *const files[] = {"LC_CTYPE", "LC_COLLATE", "LC_TIME",
					    "LC_MESSAGES/SYS_LC_MESSAGES", "LC_IDENTIFICATION"};
	char directory[] = "/tmp/thaw-pack-XXXXXX", command[512], archive[64], guest[128],
	     host[128];
	struct thaw_pack *pack = new_pack();

	cr_assert_not_null(mkdtemp(directory));
	snprintf(command, sizeof(command),
		 "cd %s && mkdir -p usr/lib/locale && localedef --prefix=$PWD -i eo -f UTF-8 "
		 "eo.UTF-8 "
		 "2>/dev/null && localedef --no-archive -i eo -f UTF-8 ./eo.utf8 2>/dev/null",
		 directory);
	if (system(command) == 0) {
		snprintf(archive, sizeof(archive), "%s/usr/lib/locale/locale-archive", directory);
		cr_expect_eq(thaw_locale_extract(pack, archive, "xx_XX.UTF-8", &err), 0);
		cr_expect_eq(thaw_locale_extract(pack, archive, "eo.UTF-8", &err), 1);
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			snprintf(guest, sizeof(guest), "/usr/lib/locale/eo.utf8/%s", files[i]);
			snprintf(host, sizeof(host), "%s/eo.utf8/%s", directory, files[i]);
			expect_same_file(pack, guest, host);
		}
		/* An archive that ends too early is an error or has no such locale. */
		for (long length = 0; length < 4096; length += 61) {
			cr_assert_eq(truncate(archive, 4096 - length), 0);
			cr_expect_lt(thaw_locale_extract(pack, archive, "eo.UTF-8", &err), 1);
		}
	}
	snprintf(command, sizeof(command), "rm -r %s", directory);
	cr_assert_eq(system(command), 0);
	thaw_pack_destroy(pack);
}

Test(locale, names_tell_their_characters)
{
	cr_expect(thaw_locale_is_utf8("de_DE.UTF-8"));
	cr_expect(thaw_locale_is_utf8("C.utf8"));
	cr_expect(thaw_locale_is_utf8("sr_RS.UTF-8@latin"));
	cr_expect_not(thaw_locale_is_utf8("de_DE@UTF-8"));
	cr_expect_not(thaw_locale_is_utf8("de_DE"));
	cr_expect_not(thaw_locale_is_utf8("de_DE.ISO-8859-15"));
	cr_expect_not(thaw_locale_is_utf8("../C.UTF-8"));
	cr_expect_not(thaw_locale_is_utf8(""));
}

Test(locale, a_zone_without_a_file_describes_itself)
{
	struct thaw_pack *pack = new_pack();

	cr_expect(thaw_zone_in_tree(pack, "CET-1CEST"));
	cr_expect(thaw_zone_in_tree(pack, "<+0330>-3:30"));
	cr_expect(thaw_zone_in_tree(pack, "UTC"));
	cr_expect(thaw_zone_in_tree(pack, ""));
	cr_expect_not(thaw_zone_in_tree(pack, "Europe/Berlin"));
	cr_expect_not(thaw_zone_in_tree(pack, "Berlin"));
	thaw_pack_destroy(pack);
}
