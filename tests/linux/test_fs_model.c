/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the core's file system with the kernel's. Both get the same random calls on the same
 * files, and must give the same answers, errors, contents and listings. A seed repeats a run:
 *
 *   test-fs-model [SEED [ROUNDS]]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/pack/gather.h"
#include "pool/pack/pack.h"
#include "tests/linux/fs_host.h"

#define OPEN_MAX_ 8
#define PIECE	  9000
#define WHERE	  "/deep/er/work"

static uint64_t state, seed;
static unsigned step_number;
static char did[512]; /* the call at hand, for messages */

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned below(unsigned n)
{
	return (unsigned)(next_random() >> 16) % n;
}

#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("seed %" PRIu64 ", step %u, %s:%d: %s\n  %s\n", seed, step_number,  \
			       __FILE__, __LINE__, #condition, did);                               \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static const char *pick_name(void)
{
	static const char *const names[] = {"a",
					    "b",
					    "c",
					    "d",
					    "big",
					    "small",
					    "link",
					    "dir",
					    "dir/x",
					    "dir/y",
					    "dir/deeper",
					    "dir/deeper/z",
					    "a/b",
					    "a/b/c",
					    "b/a",
					    "./c",
					    "dir/../small",
					    "link/x",
					    "a/",
					    "dir/",
					    "dir/deeper/",
					    ".",
					    "dir/.",
					    "big/x",
					    "nothing/x",
					    "loop",
					    "dangling",
					    "c/c",
					    "dir/deeper/../x",
					    "to-dir/x",
					    "to-dir",
					    "to-dir/",
					    "a/../b",
					    ""};

	return names[below(sizeof(names) / sizeof(names[0]))];
}

static long host_result(long result)
{
	return result < 0 ? -errno : result;
}

static uint64_t address(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

#define AT ((uint64_t)(int64_t)AT_FDCWD)

/* ---- Comparisons ---- */

static void compare_stat(long mine, const struct stat *own, long theirs, const struct stat *host)
{
	must(mine == theirs);
	if (mine)
		return;
	must(own->st_mode == host->st_mode);
	must(S_ISDIR(own->st_mode) || own->st_size == host->st_size);
	must(S_ISDIR(own->st_mode) || own->st_nlink == host->st_nlink);
}

static void do_stat(void)
{
	const char *name = pick_name();
	int flags = below(2) ? AT_SYMLINK_NOFOLLOW : 0;
	struct stat own, host;

	snprintf(did, sizeof(did), "stat %s %#x", name, flags);
	compare_stat(fs_host(FS_HOST_newfstatat, AT, address(name), address(&own), (uint64_t)flags),
		     &own, host_result(fstatat(AT_FDCWD, name, &host, flags)), &host);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Writes the names in the directory FD, with their types, sorted, to OUT. */
static void list(bool core, int fd, char *out, size_t size)
{
	char buffer[512], *names[512];
	size_t count = 0, used = 0;
	long got;

	for (;;) {
		got = core ? fs_host(FS_HOST_getdents64, (uint64_t)fd, address(buffer),
				     sizeof(buffer), 0)
			   : syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
		must(got >= 0);
		if (got == 0)
			break;
		for (long at = 0; at < got;) {
			const struct dirent64 *entry = (const void *)(buffer + at);

			must(count < 512);
			must(asprintf(&names[count++], "%s:%d", entry->d_name, entry->d_type) > 0);
			at += entry->d_reclen;
		}
	}
	qsort(names, count, sizeof(names[0]), by_text);
	out[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		used += (size_t)snprintf(out + used, size - used, "%s ", names[i]);
		free(names[i]);
	}
}

static void do_list(void)
{
	const char *name = pick_name();
	char own[4096], host[4096];
	long mine = fs_host(FS_HOST_openat, AT, address(name), O_RDONLY | O_DIRECTORY, 0);
	long theirs = host_result(open(name, O_RDONLY | O_DIRECTORY));

	snprintf(did, sizeof(did), "list %s", name);
	must((mine < 0) == (theirs < 0) && (mine >= 0 || mine == theirs));
	if (mine < 0)
		return;
	list(true, (int)mine, own, sizeof(own));
	list(false, (int)theirs, host, sizeof(host));
	if (strcmp(own, host) != 0)
		printf("core: %s\nhost: %s\n", own, host);
	must(strcmp(own, host) == 0);
	fs_host(FS_HOST_close, (uint64_t)mine, 0, 0, 0);
	close((int)theirs);
}

static void do_readlink(void)
{
	const char *name = pick_name();
	char own[300] = {0}, host[300] = {0};
	long mine = fs_host(FS_HOST_readlinkat, AT, address(name), address(own), 299);

	snprintf(did, sizeof(did), "readlink %s", name);
	must(mine == host_result(readlink(name, host, 299)));
	must(strcmp(own, host) == 0);
}

static void do_access(void)
{
	const char *name = pick_name();

	snprintf(did, sizeof(did), "access %s", name);
	must(fs_host(FS_HOST_faccessat2, AT, address(name), F_OK, 0) ==
	     host_result(access(name, F_OK)));
}

/* ---- Names ---- */

static void do_mkdir(void)
{
	const char *name = pick_name();

	snprintf(did, sizeof(did), "mkdir %s", name);
	must(fs_host(FS_HOST_mkdirat, AT, address(name), 0755, 0) ==
	     host_result(mkdir(name, 0755)));
}

static void do_unlink(void)
{
	const char *name = pick_name();
	int flags = below(3) ? 0 : AT_REMOVEDIR;

	snprintf(did, sizeof(did), "unlink %s %#x", name, flags);
	must(fs_host(FS_HOST_unlinkat, AT, address(name), (uint64_t)flags, 0) ==
	     host_result(unlinkat(AT_FDCWD, name, flags)));
}

static void do_rename(void)
{
	const char *from = pick_name(), *to = pick_name();

	snprintf(did, sizeof(did), "rename %s %s", from, to);
	must(fs_host(FS_HOST_renameat2, AT, address(from), AT, address(to)) ==
	     host_result(rename(from, to)));
}

static void do_link(void)
{
	const char *from = pick_name(), *to = pick_name();

	snprintf(did, sizeof(did), "link %s %s", from, to);
	must(fs_host(FS_HOST_linkat, AT, address(from), AT, address(to)) ==
	     host_result(linkat(AT_FDCWD, from, AT_FDCWD, to, 0)));
}

static void do_symlink(void)
{
	static const char *const targets[] = {"a",	 "b",	"dir",	"dir/x",
					      "nowhere", "./c", "link", "big"};
	const char *target = targets[below(8)], *name = pick_name();

	snprintf(did, sizeof(did), "symlink %s %s", target, name);
	must(fs_host(FS_HOST_symlinkat, address(target), AT, address(name), 0) ==
	     host_result(symlink(target, name)));
}

static void do_chmod(void)
{
	const char *name = pick_name();
	mode_t mode = below(2) ? 0600 : 0755;

	snprintf(did, sizeof(did), "chmod %s %o", name, mode);
	must(fs_host(FS_HOST_fchmodat, AT, address(name), mode, 0) ==
	     host_result(chmod(name, mode)));
}

static void do_truncate(void)
{
	const char *name = pick_name();
	long length = below(4) ? below(20000) : 0;

	snprintf(did, sizeof(did), "truncate %s %ld", name, length);
	must(fs_host(FS_HOST_truncate, address(name), (uint64_t)length, 0, 0) ==
	     host_result(truncate(name, length)));
}

/* ---- Open files ---- */

static int own_fd[OPEN_MAX_], host_fd[OPEN_MAX_];

static int pick_slot(void)
{
	return (int)below(OPEN_MAX_);
}

static void do_close(int slot)
{
	if (own_fd[slot] < 0)
		return;
	must(fs_host(FS_HOST_close, (uint64_t)own_fd[slot], 0, 0, 0) == 0);
	close(host_fd[slot]);
	own_fd[slot] = -1;
}

static void do_open(void)
{
	static const int more[] = {0,	       O_CREAT,		  O_CREAT | O_EXCL,
				   O_TRUNC,    O_CREAT | O_TRUNC, O_APPEND,
				   O_NOFOLLOW, O_DIRECTORY,	  O_CREAT | O_NOFOLLOW};
	const char *name = pick_name();
	int flags = (int)below(3) | more[below(9)], slot = pick_slot();
	long mine, theirs;

	do_close(slot);
	snprintf(did, sizeof(did), "open %s %#o", name, (unsigned)flags);
	mine = fs_host(FS_HOST_openat, AT, address(name), (uint64_t)flags, 0644);
	theirs = host_result(open(name, flags, 0644));
	if ((mine < 0 || theirs < 0) && mine != theirs)
		printf("core %ld, host %ld\n", mine, theirs);
	must((mine < 0) == (theirs < 0) && (mine >= 0 || mine == theirs));
	own_fd[slot] = (int)mine;
	host_fd[slot] = (int)theirs;
	if (mine < 0)
		own_fd[slot] = -1;
}

static void do_read(void)
{
	static char own[PIECE], host[PIECE];
	int slot = pick_slot();
	size_t length = below(PIECE);
	long offset = below(30000), mine, theirs;
	bool at = below(2);

	if (own_fd[slot] < 0)
		return;
	snprintf(did, sizeof(did), "read %zu at %ld (%d)", length, offset, at);
	mine = at ? fs_host(FS_HOST_pread64, (uint64_t)own_fd[slot], address(own), length,
			    (uint64_t)offset)
		  : fs_host(FS_HOST_read, (uint64_t)own_fd[slot], address(own), length, 0);
	theirs = host_result(at ? pread(host_fd[slot], host, length, offset)
				: read(host_fd[slot], host, length));
	if (mine != theirs)
		printf("core %ld, host %ld\n", mine, theirs);
	must(mine == theirs);
	must(mine <= 0 || memcmp(own, host, (size_t)mine) == 0);
}

static void do_write(void)
{
	static char bytes[PIECE];
	int slot = pick_slot();
	size_t length = below(PIECE);
	long offset = below(30000);

	if (own_fd[slot] < 0)
		return;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)next_random();
	snprintf(did, sizeof(did), "write %zu at %ld", length, offset);
	if (below(2))
		must(fs_host(FS_HOST_write, (uint64_t)own_fd[slot], address(bytes), length, 0) ==
		     host_result(write(host_fd[slot], bytes, length)));
	else if (!(fcntl(host_fd[slot], F_GETFL) & O_APPEND))
		must(fs_host(FS_HOST_pwrite64, (uint64_t)own_fd[slot], address(bytes), length,
			     (uint64_t)offset) ==
		     host_result(pwrite(host_fd[slot], bytes, length, offset)));
}

static void do_seek(void)
{
	int slot = pick_slot(), whence = (int)below(3);
	long offset = (long)below(20000) - 5000;
	struct stat status;

	if (own_fd[slot] < 0 || fstat(host_fd[slot], &status) < 0 || S_ISDIR(status.st_mode))
		return;
	snprintf(did, sizeof(did), "seek %ld %d", offset, whence);
	must(fs_host(FS_HOST_lseek, (uint64_t)own_fd[slot], (uint64_t)offset, (uint64_t)whence,
		     0) == host_result(lseek(host_fd[slot], offset, whence)));
}

static void do_resize(void)
{
	int slot = pick_slot();
	long length = below(30000);

	if (own_fd[slot] < 0)
		return;
	snprintf(did, sizeof(did), "ftruncate %ld", length);
	must(fs_host(FS_HOST_ftruncate, (uint64_t)own_fd[slot], (uint64_t)length, 0, 0) ==
	     host_result(ftruncate(host_fd[slot], length)));
}

static void do_fstat(void)
{
	int slot = pick_slot();
	struct stat own, host;

	if (own_fd[slot] < 0)
		return;
	snprintf(did, sizeof(did), "fstat");
	compare_stat(fs_host(FS_HOST_fstat, (uint64_t)own_fd[slot], address(&own), 0, 0), &own,
		     host_result(fstat(host_fd[slot], &host)), &host);
}

/* ---- The run ---- */

static void step(void)
{
	static void (*const calls[])(void) = {
		do_stat, do_list,    do_readlink, do_access,   do_mkdir,  do_unlink, do_rename,
		do_link, do_symlink, do_chmod,	  do_truncate, do_open,	  do_open,   do_read,
		do_read, do_write,   do_write,	  do_seek,     do_resize, do_fstat};

	calls[below(sizeof(calls) / sizeof(calls[0]))]();
}

static void put(const char *name, size_t length)
{
	FILE *file = fopen(name, "w");

	must(file);
	for (size_t i = 0; i < length; i++)
		fputc((int)(next_random() & 0xff), file);
	must(fclose(file) == 0);
}

static void make_files(void)
{
	must(mkdir("dir", 0755) == 0 && mkdir("dir/deeper", 0755) == 0);
	put("big", 25000);
	put("small", 100);
	put("dir/x", 4096);
	put("dir/y", 0);
	put("dir/deeper/z", 5000);
	must(symlink("dir/x", "link") == 0 && symlink("loop", "loop") == 0 &&
	     symlink("nowhere", "dangling") == 0 && symlink("dir", "to-dir") == 0);
}

static void start_core(const char *here)
{
	const struct thaw_pack_config config = {
		.program = WHERE "/small", .cwd = WHERE, .uid = getuid(), .gid = getgid()};
	struct thaw_error err = THAW_ERROR_INIT;
	struct thaw_gather gather = {0};
	uint64_t size;
	int fd;

	snprintf(did, sizeof(did), "packing");
	if (thaw_pack_create(&gather.pack, &err) < 0 ||
	    thaw_gather_directory(&gather, here, WHERE, NULL, false, &err) < 0 ||
	    thaw_pack_finish(gather.pack, &config, &fd, &size, &err) < 0) {
		printf("%s\n", err.message);
		exit(1);
	}
	fs_host_start(fd, size);
	thaw_gather_finish(&gather);
	thaw_pack_destroy(gather.pack);
}

/* The current directory and its parent are removed in turn, so that no path leads up. */
static void stay_in_what_is_removed(void)
{
	char at[300];

	must(fs_host(FS_HOST_mkdirat, AT, address("/gone"), 0755, 0) == 0);
	must(fs_host(FS_HOST_mkdirat, AT, address("/gone/here"), 0755, 0) == 0);
	must(fs_host(FS_HOST_chdir, address("/gone/here"), 0, 0, 0) == 0);
	must(fs_host(FS_HOST_unlinkat, AT, address("/gone/here"), AT_REMOVEDIR, 0) == 0);
	must(fs_host(FS_HOST_unlinkat, AT, address("/gone"), AT_REMOVEDIR, 0) == 0);
	must(fs_host(FS_HOST_getcwd, address(at), sizeof(at), 0, 0) == -ENOENT);
	must(fs_host(FS_HOST_faccessat2, AT, address(".."), F_OK, 0) <= 0);
}

int main(int argc, char **argv)
{
	char here[] = "/tmp/thaw-fs-model-XXXXXX";
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 60000;
	const char *remove[] = {"rm -rf ", here};
	char command[64];

	seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20260101;
	state = seed * 2654435761u + 1;
	umask(022);
	must(mkdtemp(here) && chmod(here, 0755) == 0 && chdir(here) == 0);
	make_files();
	start_core(here);
	for (int i = 0; i < OPEN_MAX_; i++)
		own_fd[i] = -1;
	for (step_number = 0; step_number < rounds; step_number++)
		step();
	stay_in_what_is_removed();
	snprintf(command, sizeof(command), "%s%s", remove[0], remove[1]);
	printf("%u calls, the same answers\n", rounds);
	return system(command) != 0;
}
