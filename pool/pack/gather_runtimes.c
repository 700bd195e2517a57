/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of what language runtimes need beside their program and its libraries. What a function
 * does not need is left out, because it would be in every image and every load: tests,
 * documentation, development files, modules for terminals and windows.
 */
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pack/gather.h"
#include "snapshot-format/base/cleanup.h"

#define LISTED 16

static const struct runtime {
	const char *program, *library; /* patterns of the names of their files */
	/* Patterns of directories and files. '@' in front is the directory that has the program's
	 * bin/. */
	const char *paths[LISTED];
	const char *except[4 * LISTED]; /* EXCEPT of thaw_gather_directory() */
} runtimes[] = {
	/* Python is the first: see add_python_hook(). */
	{"python3.*",
	 "libpython3.*",
	 {"@/lib/python3.*", "/etc/python3.*", "@/pyvenv.cfg"},
	 {"/test",
	  "tests",
	  "idlelib",
	  "/turtledemo",
	  "/turtle.py",
	  "lib2to3",
	  "/ensurepip",
	  "/tkinter",
	  "pydoc_data",
	  "config-3*",
	  "*.a",
	  "*.o",
	  "*.exe",
	  "/site-packages",
	  "/__pycache__/turtle.*",
	  "*.opt-[12].pyc",
	  "/lib-dynload/_test*",
	  "/lib-dynload/_xx*",
	  "/lib-dynload/xx*",
	  "/lib-dynload/nis.*",
	  "/lib-dynload/_curses*",
	  "/lib-dynload/readline.*",
	  "/lib-dynload/ossaudiodev.*",
	  "/lib-dynload/_tkinter.*",
	  "/lib-dynload/_dbm.*",
	  "/lib-dynload/_gdbm.*",
	  "/lib-dynload/_ctypes_test*",
	  "LICENSE.txt"}},
	{"perl*",
	 "libperl.so*",
	 {"/etc/perl", "/usr/lib/x86_64-linux-gnu/perl-base", "/usr/lib/x86_64-linux-gnu/perl/5.*",
	  "/usr/share/perl/5.*"},
	 {"*.pod", "*.h", "*.a", "*.ld", "CORE", "/CPAN*", "/Pod", "/pod", "/perl5db.pl", "/Test*",
	  "/TAP", "/App", "/ExtUtils", "/Module/Build*", "/Unicode/Collate", "/Encode/*.c"}},
	{"lua5.*",
	 "liblua5.*",
	 {"/usr/share/lua/5.*", "/usr/lib/x86_64-linux-gnu/lua/5.*", "/usr/local/share/lua/5.*"},
	 {"*.a"}},
	{"gawk*", NULL, {"/usr/share/awk", "/usr/lib/x86_64-linux-gnu/gawk"}, {NULL}},
	{"ruby*",
	 "libruby-*",
	 {"/usr/lib/ruby/[0-9]*", "/usr/lib/ruby/vendor_ruby",
	  "/usr/lib/x86_64-linux-gnu/ruby/[0-9]*", "/usr/share/rubygems-integration"},
	 {"*.a", "*.h", "/rdoc*", "/ri", "/irb*", "/bundler*", "doc", "test", "spec"}},
	{"tclsh*", "libtcl8*", {"/usr/share/tcltk/tcl8*", "/usr/lib/tcltk"}, {"/tzdata", "/msgs"}},
	{"node*",
	 "libnode.so*",
	 {"/usr/share/nodejs/acorn*", "/usr/share/nodejs/cjs-module-lexer",
	  "/usr/share/nodejs/undici"},
	 {"*.md", "test"}},
	{"guile*",
	 "libguile-*",
	 {"/usr/share/guile/[0-9]*", "/usr/lib/x86_64-linux-gnu/guile/[0-9]*"},
	 {NULL}},
	{"php*", NULL, {"/etc/php", "/usr/lib/php/20*", "/usr/share/php"}, {"apache2", "fpm"}},
	{"file",
	 "libmagic.so*",
	 {"/etc/magic*", "/usr/lib/file", "/usr/share/misc/magic.mgc"},
	 {NULL}},
};

static int add_path(struct thaw_gather *gather, const char *path, const char *const *except,
		    struct thaw_error *err)
{
	struct stat status;

	if (stat(path, &status) < 0 || access(path, R_OK) < 0)
		return 0;
	if (S_ISREG(status.st_mode))
		return thaw_gather_path(gather, path, false, err);
	/* A link is packed as one, and its directory at the real path. */
	if (thaw_gather_path(gather, path, false, err) < 0)
		return -1;
	char real[PATH_MAX];

	if (!S_ISDIR(status.st_mode) || !realpath(path, real))
		return 0;
	return thaw_gather_directory(gather, real, NULL, except, true, err);
}

static int add_pattern(struct thaw_gather *gather, const char *prefix, const char *pattern,
		       const char *const *except, struct thaw_error *err)
{
	char whole[PATH_MAX];
	glob_t found = {0};
	int done = 0;

	if ((size_t)snprintf(whole, sizeof(whole), "%s%s", *pattern == '@' ? prefix : "",
			     *pattern == '@' ? pattern + 1 : pattern) >= sizeof(whole))
		return 0;
	if (glob(whole, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc && done == 0; i++)
			done = add_path(gather, found.gl_pathv[i], except, err);
	globfree(&found);
	return done;
}

/* ---- Python's sitecustomize ---- */

extern const uint8_t thaw_python_hook[], thaw_python_hook_end[]; /* hooks/python.py */

#define HOOK	  "sitecustomize.py"
#define HOST_HOOK "_host_sitecustomize.py"
#define HOOK_MAX  65536u

/* Puts hooks/python.py in the place of the host's sitecustomize, which it imports under another
 * name. */
static int add_python_hook(struct thaw_gather *gather, const char *prefix, const char *version,
			   struct thaw_error *err)
{
	static uint8_t original[HOOK_MAX];
	uint32_t directory, entry;
	char path[PATH_MAX];

	if (!version || (size_t)snprintf(path, sizeof(path), "%s/lib/python3.%s", prefix,
					 version) >= sizeof(path))
		return 0;
	directory = thaw_pack_find(gather->pack, THAW_PACK_ROOT, path, true);
	if (directory == THAW_PACK_NONE || !S_ISDIR(thaw_pack_mode(gather->pack, directory)))
		return 0;
	entry = thaw_pack_find(gather->pack, directory, HOOK, true);
	if (entry != THAW_PACK_NONE && S_ISREG(thaw_pack_mode(gather->pack, entry))) {
		ssize_t got = thaw_pack_read(gather->pack, entry, 0, original, sizeof(original));

		if (got < 0 || got == sizeof(original))
			return thaw_fail(err, THAW_ERR_FAILURE, "cannot read %s/" HOOK, path);
		if (thaw_pack_put_bytes(gather->pack, directory, HOST_HOOK, 0644, original,
					(size_t)got, err) < 0)
			return -1;
	}
	return thaw_pack_put_bytes(gather->pack, directory, HOOK, 0644, thaw_python_hook,
				   (size_t)(thaw_python_hook_end - thaw_python_hook), err);
}

/* PREFIX is "/usr" for "/usr/bin/python3.11", and VERSION is "11". */
static int add_runtime(struct thaw_gather *gather, const struct runtime *runtime,
		       const char *prefix, const char *version, struct thaw_error *err)
{
	for (size_t i = 0; i < LISTED && runtime->paths[i]; i++) {
		char pattern[PATH_MAX];
		size_t length = strlen(runtime->paths[i]);

		/* Of several installed versions, take the program's. */
		if (version && runtime->paths[i][length - 1] == '*' && length >= 2 &&
		    runtime->paths[i][length - 2] == '.')
			snprintf(pattern, sizeof(pattern), "%.*s%s", (int)length - 1,
				 runtime->paths[i], version);
		else
			snprintf(pattern, sizeof(pattern), "%s", runtime->paths[i]);
		if (add_pattern(gather, prefix, pattern, runtime->except, err) < 0)
			return -1;
	}
	return runtime == &runtimes[0] ? add_python_hook(gather, prefix, version, err) : 0;
}

/* Returns the digits after the first dot of a name like python3.11 or libpython3.11.so.1.0. */
static const char *version_in(const char *name, char *buffer, size_t size)
{
	const char *dot = strchr(name, '.');
	size_t length = dot ? strspn(dot + 1, "0123456789") : 0;

	if (length == 0 || length >= size)
		return NULL;
	memcpy(buffer, dot + 1, length);
	buffer[length] = '\0';
	return buffer;
}

static int add_matching(struct thaw_gather *gather, const char *path, bool library, uint64_t *done,
			struct thaw_error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char prefix[PATH_MAX] = "/usr", number[16];

	if (!library && slash) {
		snprintf(prefix, sizeof(prefix), "%.*s", (int)(slash - path), path);
		slash = strrchr(prefix, '/');
		if (slash)
			prefix[slash - prefix] = '\0';
	}
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		const char *pattern = library ? runtimes[i].library : runtimes[i].program;

		if (*done & UINT64_C(1) << i || !pattern || fnmatch(pattern, name, 0) != 0)
			continue;
		*done |= UINT64_C(1) << i;
		if (add_runtime(gather, &runtimes[i], prefix,
				version_in(name, number, sizeof(number)), err) < 0)
			return -1;
	}
	return 0;
}

int thaw_gather_runtimes(struct thaw_gather *gather, const char *program, struct thaw_error *err)
{
	thaw_autofree char *real = realpath(program, NULL);
	uint64_t done = 0;

	if (add_matching(gather, real ? real : program, false, &done, err) < 0)
		return -1;
	for (size_t i = 0; i < gather->object_count; i++) {
		/* A copy, because the table moves as it grows. */
		thaw_autofree char *path = strdup(gather->objects[i].path);

		if (!path)
			return thaw_fail(err, THAW_ERR_FAILURE, "out of memory");
		if (add_matching(gather, path, true, &done, err) < 0)
			return -1;
	}
	return 0;
}
